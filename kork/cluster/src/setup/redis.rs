//! Users of Redis: each service with a password of its own, all with the same rights.

use camino::Utf8Path;
use sha2::{Digest, Sha256};

use super::files::hex;

/// What [`crate::cache`] says to Redis, and what tells how the server is. Of keys that are not the
/// suite's, SCAN shows the names.
const COMMANDS: &str =
    "+get +mget +set +psetex +del +zadd +zrem +zrevrange +zcard +scan +unlink +ping +info +select";

/// The file of users: hashes of their passwords, the keys and the commands of the suite.
pub(super) fn users(namespace: &str, passwords: &[(&str, String)]) -> String {
    let mut text = "user default off\n".to_owned();
    for (name, password) in passwords {
        let hash = hex(&Sha256::digest(password.as_bytes()));
        let user =
            format!("user {name} on #{hash} resetchannels ~{namespace}:* -@all {COMMANDS}\n");
        text.push_str(&user);
    }
    text
}

/// What the server is told: a cache, with these users.
pub(super) fn config(users: &Utf8Path) -> String {
    format!(
        "# Made by gennaker-setup, and again at each run; do not change it here.\n\
         aclfile {users}\n\
         # A cache: lost at any moment, it costs nothing but speed.\n\
         save \"\"\nappendonly no\n"
    )
}
