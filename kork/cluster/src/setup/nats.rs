//! Keys for NATS, and the configuration of its servers.

use std::{collections::BTreeSet, fmt::Write};

use nkeys::{KeyPair, KeyPairType};

use super::{
    SetupError,
    files::{Folder, fill},
};
use crate::nats::permissions::Permissions;

/// One user with its logins.
pub(super) struct User {
    pub(super) name: String,
    pub(super) suite: Login,
    /// In the account of the logs, when it has a part in them.
    pub(super) logs: Option<Login>,
}

/// One key and what it opens.
pub(super) struct Login {
    pub(super) public_key: String,
    pub(super) permissions: Permissions,
}

/// Public keys of a user whose seeds are in its file, a line each.
pub(super) fn keys(
    folder: &mut Folder<'_>,
    user: &str,
    count: usize,
) -> Result<Vec<String>, SetupError> {
    let name = format!("{user}/nats.nkey");
    let text = folder.keep(&name, || (0..count).map(|_| seed()).collect())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys = lines.map(|line| KeyPair::from_seed(line.trim()).map(|key| key.public_key()));
    let keys: Result<Vec<_>, _> = keys.collect();
    match keys {
        Ok(keys) if keys.len() == count => Ok(keys),
        _ => Err(SetupError::Broken {
            path: folder.path(&name),
            expected: "a seed for each account of its user",
        }),
    }
}

fn seed() -> Result<String, SetupError> {
    let mut random = [0; 32];
    fill(&mut random)?;
    let key = KeyPair::new_from_raw(KeyPairType::User, random);
    let seed = key.and_then(|key| key.seed());
    seed.map(|seed| seed + "\n").map_err(SetupError::Key)
}

/// What a server is told. Only public keys are in it.
pub(super) fn config(store: &str, users: &[User]) -> String {
    let suite = users.iter().map(|user| (user, &user.suite));
    let logs = users
        .iter()
        .filter_map(|user| Some((user, user.logs.as_ref()?)));
    format!(
        "# Made by gennaker-setup of the keys beside it, and again at each run; do not change it here.\n\
         port: 4222\n\
         http_port: 8222\n\
         # The largest answer between services and its headers.\n\
         max_payload: 8388608\n\
         # What is acknowledged is on the disk.\n\
         jetstream {{ store_dir: {store:?}, sync_interval: always }}\n\
         # The shortest that the server takes.\n\
         lame_duck_duration: \"30s\"\n\
         lame_duck_grace_period: \"1s\"\n\
         accounts {{\n{}  # The logs of executions are out of everybody's reach but orca's.\n{}}}\n",
        account("SUITE", suite),
        account("LOGS", logs),
    )
}

fn account<'a>(name: &str, logins: impl Iterator<Item = (&'a User, &'a Login)>) -> String {
    let mut text = format!("  {name} {{\n    jetstream: enabled\n    users: [\n");
    for (user, login) in logins {
        let (publish, subscribe) = (
            subjects(&login.permissions.publish),
            subjects(&login.permissions.subscribe),
        );
        // Writing to a text cannot fail.
        write!(
            text,
            "      # {}\n      {{\n        nkey: {}\n        permissions: {{\n          \
             publish: {{ allow: [{publish}] }}\n          subscribe: {{ allow: [{subscribe}] }}\n        \
             }}\n      }}\n",
            user.name, login.public_key,
        )
        .ok();
    }
    text + "    ]\n  }\n"
}

fn subjects(all: &BTreeSet<String>) -> String {
    let each = all
        .iter()
        .map(|subject| format!("\n            {subject:?},"));
    each.chain(["\n          ".to_owned()]).collect()
}
