//! The configuration of one source of webhooks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Sender;

/// A source of webhooks: who sends under a name, and what they must prove. Its secrets are handed in apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Source {
    /// `{source}` of `POST /webhooks/{type}/{source}`.
    pub name: String,
    /// Who sends. Its secrets prove nothing under the path of another sender; `/webhooks/webhook/{source}` asks
    /// for the proof of this sender, while its events stay plain webhooks. When absent it is whoever the path
    /// says, other than `build` and `docker`, which speak for controllers and accounts of others.
    pub sender: Option<Sender>,
    /// How deliveries prove where they come from; the sender's own way when absent.
    pub authentication: Authentication,
    /// Files with its secrets, one a line; read at each use, so that they are exchanged without a restart.
    /// Any of them is right: one can take the place of another.
    pub secret_files: Vec<std::path::PathBuf>,
    /// Variables of the environment with more of its secrets.
    pub secret_env: Vec<String>,
    /// Events that prove nothing may start pipelines. The receiver only marks them.
    pub allow_unverified: bool,
    /// GitHub: a delivery that is signed with SHA-1 alone is good enough.
    pub allow_sha1: bool,
    /// Registry host of images whose sender does not name it, `host[:port]`: Nexus, and distribution behind
    /// a proxy. It wins over the host in the body.
    pub host: Option<String>,
    /// The CI server whose builds it tells of, as triggers name it in `master`; its own name when absent.
    pub controller: Option<String>,
    /// Account of docker triggers for images of this source; its name when absent.
    pub account: Option<String>,
    /// Largest body in bytes, at most 393216, which it is when absent.
    pub max_body_bytes: Option<usize>,
    /// Name of the subscription for pub/sub messages that come over HTTP; as the message says when absent.
    pub subscription: Option<String>,
}

impl Source {
    /// It has secrets, and the sender's own way to prove that it knows them.
    pub(crate) fn has_secrets_of_its_sender(&self) -> bool {
        let has_secrets = !self.secret_files.is_empty() || !self.secret_env.is_empty();
        has_secrets && self.authentication == Authentication::Sender {}
    }
}

/// How deliveries of a source prove where they come from.
// Variants without settings have braces: serde would take any member beside a bare one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Authentication {
    /// As the sender does it. A sender without a way of its own puts a secret into `Authorization` (as it
    /// is, as a bearer token, or as `user:password` of basic authentication) or into the query as `token`.
    Sender {},
    /// The header of this name holds one of the secrets and nothing else: `X-Api-Key`, `Authorization`.
    Header { name: String },
    /// HTTP basic authentication; the secret is `user:password`.
    Basic {},
    /// `Authorization: Bearer` and one of the secrets.
    Bearer {},
    /// A HMAC of the raw body in a header: `<prefix><code>`.
    Hmac {
        header: String,
        #[serde(default)]
        algorithm: Algorithm,
        /// What stands before the code: `sha256=`, `v1=`, or nothing.
        #[serde(default)]
        prefix: String,
        #[serde(default)]
        encoding: Encoding,
    },
    /// The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks.
    StandardWebhooks {},
    /// An identity token of Google, as Pub/Sub push sends it.
    Google {
        /// Claim `aud`: what the push subscription was given, its URL unless told otherwise.
        audience: String,
        /// Claim `email`: the service account that pushes.
        email: String,
    },
}

impl Default for Authentication {
    fn default() -> Self {
        Self::Sender {}
    }
}

/// Checksums under a HMAC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    Sha1,
    Sha224,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

/// How the bytes of a HMAC are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}
