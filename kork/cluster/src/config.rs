//! Where the servers of a cluster are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses and logins of NATS, Redis and S3. Keys for S3 come from the usual AWS chain (environment,
/// files, roles).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Name in front of every stream, subject and key, so that several suites share servers.
    pub namespace: String,
    pub nats: NatsConfig,
    pub redis: RedisConfig,
    pub s3: S3Config,
}

/// NATS 2.12 or later with JetStream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NatsConfig {
    /// `nats://host:4222`, several with commas; `tls://` asks for TLS. A user and a password may stand
    /// in it.
    pub url: String,
    /// File with a JWT and a seed, as `nsc` writes it.
    pub credentials_file: Option<String>,
    /// File with the seed of an nkey.
    pub nkey_file: Option<String>,
    pub user: Option<String>,
    /// File with the password of `user`.
    pub password_file: Option<String>,
    /// PEM file with certificates of authorities to trust besides the system's.
    pub ca_file: Option<String>,
    /// Copies of each stream: 1, or 3 in a cluster of at least three servers.
    pub replicas: usize,
}

/// Redis 6 or later, or Valkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://host:6379/0`, `rediss://` with TLS; `user:password@` logs in.
    pub url: String,
    /// File with the password, when it should not stand in the URL.
    pub password_file: Option<String>,
}

/// Any S3 that honours conditional writes and keeps versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct S3Config {
    /// Address of the server; empty: AWS.
    pub endpoint: String,
    pub bucket: String,
    pub region: String,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`.
    pub path_style: bool,
    /// File with keys as `aws configure` writes it, instead of the one that the AWS tools use.
    pub credentials_file: Option<String>,
    /// Folder in the bucket, with a slash at the end; empty: the bucket as a whole.
    pub prefix: String,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            namespace: "gennaker".to_owned(),
            nats: NatsConfig::default(),
            redis: RedisConfig::default(),
            s3: S3Config::default(),
        }
    }
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            credentials_file: None,
            nkey_file: None,
            user: None,
            password_file: None,
            ca_file: None,
            replicas: 1,
        }
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            password_file: None,
        }
    }
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            bucket: "gennaker".to_owned(),
            region: "us-east-1".to_owned(),
            path_style: true,
            credentials_file: None,
            prefix: String::new(),
        }
    }
}

/// A secret from a file, without the line end that editors leave.
pub(crate) fn secret(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path} cannot be read: {e}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// An address that may be shown: without user and password.
pub(crate) fn shown(address: &str) -> String {
    let one = |part: &str| {
        url::Url::parse(part).map_or_else(
            |_| "an address that cannot be read".to_owned(),
            |mut url| {
                // An address that can have no login has none to hide.
                url.set_username("").ok();
                url.set_password(None).ok();
                url.to_string()
            },
        )
    };
    address.split(',').map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(
            shown("nats://me:secret@a:4222,nats://b:4222"),
            "nats://a:4222,nats://b:4222"
        );
        assert!(!shown("me:secret@nowhere").contains("secret"));
    }
}
