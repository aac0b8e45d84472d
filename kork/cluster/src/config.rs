//! Where the servers of a cluster are. Every key is also a flag and a variable: `s3Endpoint`,
//! `--s3-endpoint`, `GENNAKER_S3_ENDPOINT`.

use kork::service::telemetry::Format;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses and logins of NATS, Redis and S3. Keys for S3 come from the usual AWS chain (environment,
/// files, roles).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterConfig {
    /// Name in front of every stream, subject and key, so that several suites share servers.
    pub namespace: String,
    /// NATS 2.12 or later with JetStream: `nats://host:4222`, several with commas; `tls://` asks for
    /// TLS. A user and a password may stand in it.
    pub nats: String,
    /// File with a JWT and a seed, as `nsc` writes it.
    pub nats_credentials_file: Option<String>,
    /// File with the seed of an nkey; a second line is the seed for the account of the logs, when they
    /// have one of their own.
    pub nats_nkey_file: Option<String>,
    pub nats_user: Option<String>,
    /// File with the password of `natsUser`.
    pub nats_password_file: Option<String>,
    /// PEM file with certificates of authorities to trust besides the system's.
    pub nats_ca_file: Option<String>,
    /// Copies of each stream: 1, or 3 in a cluster of at least three servers.
    pub nats_replicas: usize,
    /// Redis 6 or later, or Valkey: `redis://host:6379/0`, `rediss://` with TLS; `user:password@` logs
    /// in.
    pub redis: String,
    /// User for Redis, when it does not stand in the address.
    pub redis_user: Option<String>,
    /// File with the password, when it should not stand in the address.
    pub redis_password_file: Option<String>,
    /// An S3 that honours conditional writes and keeps versions; empty: AWS.
    pub s3_endpoint: String,
    pub s3_bucket: String,
    pub s3_region: String,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`.
    pub s3_path_style: bool,
    /// Folder in the bucket, with a slash at the end; empty: the bucket as a whole.
    pub s3_prefix: String,
    /// File with keys as `aws configure` writes it, instead of the one that the AWS tools use.
    pub s3_credentials_file: Option<String>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            namespace: "gennaker".to_owned(),
            nats: "nats://127.0.0.1:4222".to_owned(),
            nats_credentials_file: None,
            nats_nkey_file: None,
            nats_user: None,
            nats_password_file: None,
            nats_ca_file: None,
            nats_replicas: 1,
            redis: "redis://127.0.0.1:6379".to_owned(),
            redis_user: None,
            redis_password_file: None,
            s3_endpoint: String::new(),
            s3_bucket: "gennaker".to_owned(),
            s3_region: "us-east-1".to_owned(),
            s3_path_style: true,
            s3_prefix: String::new(),
            s3_credentials_file: None,
        }
    }
}

/// What every service of a cluster is told, besides its own section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Common {
    #[serde(flatten)]
    pub cluster: ClusterConfig,
    /// Address of health and metrics; empty: 127.0.0.1.
    pub health_host: String,
    /// Port of health and metrics; empty: the one of the service; 0 takes a free one.
    pub health_port: Option<u16>,
    /// What the service says on stderr.
    pub log: Log,
}

/// What a service says on stderr.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Log {
    /// How the lines look.
    pub format: Format,
    /// Which lines there are, such as `info,orca=debug`; the variable `GENNAKER_LOG` goes first.
    pub filter: String,
}

/// The section of another service in a file that all six share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OtherSection(serde_json::Value);

/// A secret from a file, without the line end that editors leave.
pub(crate) fn secret(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path} cannot be read: {e}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// An address that may be shown: without user and password.
pub(crate) fn shown(address: &str) -> String {
    let one = |part: &str| {
        let parsed = url::Url::parse(part).ok().filter(url::Url::has_host);
        parsed.map_or_else(
            || "an address that cannot be read".to_owned(),
            |mut url| {
                // An address with a host can have a login.
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
