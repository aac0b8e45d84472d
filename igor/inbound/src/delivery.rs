//! What came in over HTTP, and what becomes of it.

use std::collections::BTreeMap;

use kork_model::{
    Timestamp,
    inbound::{InboundEvent, Verified},
};

use crate::{Sender, proof::Proof};

/// One `POST /webhooks/{type}/{source}`.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// `{type}` of the path: one of Spinnaker's (`webhook`, `git`, ...) or the name of a sender.
    pub kind: &'a str,
    /// `{source}` of the path.
    pub source: &'a str,
    /// Names in small letters.
    pub headers: &'a BTreeMap<String, String>,
    /// May hold the secret of a sender that can set no header: keep it out of logs.
    pub query: &'a BTreeMap<String, String>,
    /// The bytes as they arrived: still compressed when `content-encoding` says so. Every signature is
    /// checked over these.
    pub body: &'a [u8],
    pub received: Timestamp,
}

impl Delivery<'_> {
    /// The value of a header (name in small letters), without surrounding blanks; absent when it is empty.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }
}

/// A delivery that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub sender: Sender,
    /// The sender's own name for the delivery: the same when it is sent again.
    pub delivery_id: Option<String>,
    /// What the sender could prove. A build of Jenkins is [`Verified::No`] in its event all the same,
    /// until it has been fetched with our own credentials.
    pub verified: Verified,
    /// How it did so.
    pub proof: Option<Proof>,
    pub events: Vec<InboundEvent>,
    /// The body as it came has a secret of the source in it, which the events have not: it is not to be kept.
    pub has_secret: bool,
    /// Why a proper delivery holds no event, or holds more than its events: `ignored, because it is a ping`.
    pub ignored: Option<String>,
}

/// Why a delivery is not taken. The message of each is what a caller may see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender could not prove who it is. The message does not say why, so that nobody learns to guess
    /// better; `log` does, for those who run the suite, and never holds a secret or a signature.
    #[error("the signature or the credentials are not right for this source")]
    BadSignature { log: String },
    /// The body or a header cannot be read.
    #[error("{place}: {what}; {remedy}")]
    Invalid {
        /// Where: `body`, `body.build.full_url`, `header ce-id`.
        place: String,
        what: String,
        remedy: String,
    },
    /// More than a limit allows.
    #[error("{what} is more than {limit}; {remedy}")]
    TooLarge {
        what: &'static str,
        limit: u64,
        remedy: &'static str,
    },
    /// No sender has this name.
    #[error("there is no sender `{kind}`; use one of {known}")]
    UnsupportedType { kind: String, known: String },
    /// `/webhooks/git/{source}` for a source that is no source control.
    #[error("git webhooks of `{git}` are not known; use one of {known}")]
    UnsupportedSource { git: String, known: String },
}

impl Refused {
    /// The HTTP status that says it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadSignature { .. } => 401,
            Self::Invalid { .. } => 400,
            Self::TooLarge { .. } => 413,
            Self::UnsupportedType { .. } | Self::UnsupportedSource { .. } => 404,
        }
    }

    pub(crate) fn invalid(
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            place: place.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn unproven(log: impl Into<String>) -> Self {
        Self::BadSignature { log: log.into() }
    }
}
