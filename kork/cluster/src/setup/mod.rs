//! The logins of a cluster, made once: keys for NATS, passwords for Redis and S3, and what the servers
//! are told about them. `gennaker-setup` is its command.
//!
//! Secrets are made when they are not there and never changed. What the servers are told is made of
//! them at each run: a newer release may need other permissions.

mod files;
mod nats;
mod redis;

use camino::Utf8PathBuf;

use self::files::Folder;
use crate::nats::{
    flows::{OPERATOR, SERVICES, WORKER},
    permissions,
};

/// Why the logins were not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{path} cannot be {what}")]
    File {
        path: Utf8PathBuf,
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{path} should hold {expected}; remove it and run the setup again, then restart NATS and whoever \
         uses it"
    )]
    Broken {
        path: Utf8PathBuf,
        expected: &'static str,
    },
    #[error("the system gives no random numbers")]
    Random(#[source] rand::rngs::SysError),
    #[error("a key for NATS cannot be made")]
    Key(#[source] nkeys::error::Error),
    #[error("{0:?} cannot be a namespace: letters, digits, - and _ can")]
    Namespace(String),
}

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where everything is written.
    pub dir: Utf8PathBuf,
    /// Name in front of streams, subjects and keys: the services' `namespace`.
    pub namespace: String,
    /// Where NATS keeps its streams.
    pub nats_store: String,
    /// Makes the user `operator` too; once made, it stays.
    pub operator: bool,
}

impl Setup {
    /// For this directory, with everything else as usual.
    pub fn new(dir: impl Into<Utf8PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            namespace: "gennaker".to_owned(),
            nats_store: "/data".to_owned(),
            operator: false,
        }
    }

    /// Makes what is missing; answers with the files that were written.
    pub fn run(&self) -> Result<Vec<Utf8PathBuf>, SetupError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if self.namespace.is_empty() || !self.namespace.bytes().all(plain) {
            return Err(SetupError::Namespace(self.namespace.clone()));
        }
        let mut folder = Folder::new(&self.dir);
        let mut users = Vec::new();
        for name in self.users() {
            users.push(self.user(&mut folder, name)?);
        }
        let config = nats::config(&self.nats_store, &users);
        folder.write("nats/nats.conf", &config)?;
        self.redis(&mut folder)?;
        s3(&mut folder)?;
        Ok(folder.written())
    }

    fn users(&self) -> Vec<&'static str> {
        let mut users: Vec<_> = SERVICES.into_iter().chain([WORKER]).collect();
        if self.operator || self.dir.join(OPERATOR).join("nats.nkey").exists() {
            users.push(OPERATOR);
        }
        users
    }

    fn user(&self, folder: &mut Folder<'_>, name: &str) -> Result<nats::User, SetupError> {
        let suite = permissions::in_suite(&self.namespace, name);
        let logs = permissions::in_logs(&self.namespace, name);
        let keys = nats::keys(folder, name, 1 + usize::from(logs.is_some()))?;
        let mut keys = keys.into_iter();
        let mut next = |permissions| {
            let public_key = keys.next().unwrap_or_default();
            nats::Login {
                public_key,
                permissions,
            }
        };
        Ok(nats::User {
            name: name.to_owned(),
            suite: next(suite),
            logs: logs.map(next),
        })
    }

    fn redis(&self, folder: &mut Folder<'_>) -> Result<(), SetupError> {
        let mut users = Vec::new();
        for name in SERVICES {
            let password = folder.secret(&format!("{name}/redis.password"), 32)?;
            users.push((name, password));
        }
        let users = redis::users(&self.namespace, &users);
        folder.write("redis/users.acl", &users)?;
        let path = self.dir.join("redis/users.acl");
        folder.write("redis/redis.conf", &redis::config(&path))
    }
}

/// Services that need objects use the only user that the server has.
fn s3(folder: &mut Folder<'_>) -> Result<(), SetupError> {
    let user = folder.secret("s3/root-user", 10)?;
    let password = folder.secret("s3/root-password", 20)?;
    let keys =
        format!("[default]\naws_access_key_id = {user}\naws_secret_access_key = {password}\n");
    for name in SERVICES {
        folder.keep(&format!("{name}/s3.credentials"), || Ok(keys.clone()))?;
    }
    Ok(())
}
