//! Users of Redis: each service with a password of its own, all with the same rights.

use camino::Utf8Path;
use sha2::{Digest, Sha256};

/// What [`crate::cache`] says to Redis. SCAN is the only one that sees keys of others, by name.
const COMMANDS: [&str; 11] = [
    "get",
    "set",
    "psetex",
    "del",
    "zadd",
    "zrem",
    "zrevrange",
    "zcard",
    "scan",
    "unlink",
    "ping",
];

/// The file of users: hashes of their passwords, the keys and the commands of the suite.
pub(super) fn users(namespace: &str, passwords: &[(&str, String)]) -> String {
    let commands: Vec<String> = COMMANDS.iter().map(|c| format!("+{c}")).collect();
    let commands = commands.join(" ");
    let mut text = "user default off\n".to_owned();
    for (name, password) in passwords {
        let hash = Sha256::digest(password.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let user = format!(
            "user {name} on #{hash} resetchannels ~{namespace}:* -@all {commands} +select\n"
        );
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
