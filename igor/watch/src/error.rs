//! Why a registry or a git server could not be asked, by what the caller can do about it.

use std::{io, path::PathBuf};

use kork::problem::chain;

/// Characters of what is wrong with an answer.
const REASON_CHARS_MAX: usize = 1_000;

/// `what` is the thing that was asked, as a person knows it: a URL without credentials, or an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or one that broke off.
    #[error("{what} cannot be reached: {}", chain(.source))]
    Unreachable {
        what: String,
        #[source]
        source: reqwest::Error,
    },
    /// The server asks for patience, for so many milliseconds if it says so.
    #[error("{what} asks for fewer requests{}", pause(*.retry_after_ms))]
    Throttled {
        what: String,
        retry_after_ms: Option<u64>,
    },
    /// The credentials are wrong, missing, or not enough.
    #[error("{what} refuses access: {reason}; check the user name and the password of the source")]
    Denied { what: String, reason: String },
    /// There is no such repository, tag or commit; some servers say so of what one may not see, too.
    #[error(
        "{what} is not there: {reason}; check its name, and that the user may read it if it is private"
    )]
    NotFound { what: String, reason: String },
    /// The server failed.
    #[error("{what} failed with status {status}: {reason}")]
    Failed {
        what: String,
        status: u16,
        reason: String,
    },
    /// The answer is not what the protocol says.
    #[error("{what} gave an answer that is not understood: {reason}")]
    Answer { what: String, reason: String },
    /// Credentials or requests would go where they must not.
    #[error("{what} is not followed: {reason}")]
    Unsafe { what: String, reason: String },
    /// The configuration of the source cannot be used.
    #[error("{what} cannot be watched: {reason}")]
    Config { what: String, reason: String },
    /// The file with the password cannot be read.
    #[error("the password of {what} cannot be read from {}: {source}", path.display())]
    Password {
        what: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// It may go away without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Throttled { .. } | Self::Failed { .. } => true,
            Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Answer { .. }
            | Self::Unsafe { .. }
            | Self::Config { .. }
            | Self::Password { .. } => false,
        }
    }

    /// How long the server asked not to be asked, milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Throttled { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        }
    }

    /// The reason is cut: it may quote the server, which may have said anything.
    pub(crate) fn answer(what: impl Into<String>, reason: impl AsRef<str>) -> Self {
        Self::Answer {
            what: what.into(),
            reason: reason.as_ref().chars().take(REASON_CHARS_MAX).collect(),
        }
    }

    pub fn config(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config {
            what: what.into(),
            reason: reason.into(),
        }
    }
}

fn pause(retry_after_ms: Option<u64>) -> String {
    retry_after_ms.map_or_else(String::new, |ms| {
        format!(", the next one in {} s", ms.div_ceil(1000))
    })
}
