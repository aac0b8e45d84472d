//! How a service proves to NATS who it is.

use crate::{ClusterConfig, config::secret};

/// The accounts of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// Where the services meet.
    Suite,
    /// Where the logs are, when they are apart.
    Logs,
}

/// What a service calls itself: its name and version.
pub(super) fn name(service: Option<&str>) -> String {
    let name = service.unwrap_or("gennaker");
    format!("{name}/{}", env!("CARGO_PKG_VERSION"))
}

/// The seed for an account.
pub(super) fn seed(path: &str, account: Account) -> Result<String, String> {
    let at = match account {
        Account::Suite => 0,
        Account::Logs => 1,
    };
    let seed = seeds(path)?.into_iter().nth(at);
    seed.ok_or_else(|| format!("{path} has no seed"))
}

/// True when the login says that the logs are in an account of their own.
pub(super) fn has_logs(config: &ClusterConfig) -> Result<bool, String> {
    let file = config.nats_nkey_file.as_deref();
    let own = file.filter(|_| config.nats_credentials_file.is_none());
    own.map_or(Ok(false), |path| Ok(seeds(path)?.len() > 1))
}

/// Lines of a file with nkeys: the first is for the account of the suite, the second, if there is one,
/// for that of the logs.
fn seeds(path: &str) -> Result<Vec<String>, String> {
    let text = secret(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// With what a service logs in, for a message about its refusal; never a secret.
pub(super) fn shown(config: &ClusterConfig) -> String {
    let files = [&config.nats_credentials_file, &config.nats_nkey_file];
    match (files.into_iter().flatten().next(), &config.nats_user) {
        (Some(file), _) => format!("with what is in {file}"),
        (None, Some(user)) => format!("as the user {user}"),
        (None, None) => "without a key; give one with --nats-nkey-file".to_owned(),
    }
}
