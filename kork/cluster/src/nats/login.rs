//! How a service proves to NATS who it is.

use async_nats::ConnectOptions;

use crate::{ClusterConfig, config::secret};

/// The accounts of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// Where the services meet.
    Suite,
    /// Where the logs are, when they are apart.
    Logs,
}

/// Seeds of the file with nkeys: the first is for the account of the suite, the second, if there is
/// one, for that of the logs.
pub(super) fn seeds(config: &ClusterConfig) -> Result<Vec<String>, String> {
    let Some(path) = &config.nats_nkey_file else {
        return Ok(Vec::new());
    };
    let text = secret(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

pub(super) async fn options(
    config: &ClusterConfig,
    account: Account,
) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::new();
    if let Some(path) = &config.nats_credentials_file {
        let read = options.credentials_file(path).await;
        options = read.map_err(|e| format!("{path} cannot be read: {e}"))?;
    } else if let Some(path) = &config.nats_nkey_file {
        let mut seeds = seeds(config)?.into_iter();
        let seed = match account {
            Account::Suite => seeds.next(),
            Account::Logs => seeds.nth(1),
        };
        options = options.nkey(seed.ok_or_else(|| format!("{path} has no seed"))?);
    } else if let Some(user) = &config.nats_user {
        let file = config.nats_password_file.as_deref();
        let password = file.map(secret).transpose()?;
        options = options.user_and_password(user.clone(), password.unwrap_or_default());
    }
    if let Some(path) = &config.nats_ca_file {
        options = options.add_root_certificates(path.into());
    }
    Ok(options)
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
