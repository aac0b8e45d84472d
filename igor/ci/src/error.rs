//! What goes wrong with a CI server, by what the caller can do about it.

use std::sync::Arc;

/// Why a CI server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// It is not there, or hidden from our user.
    #[error("{what} was not found; the user may also lack the permission to see it")]
    NotFound { what: String },
    /// The credentials are wrong or too weak.
    #[error("{what} was denied with status {status}: {said}")]
    Denied {
        what: String,
        status: u16,
        said: String,
    },
    /// The job cannot be built now.
    #[error("{what} cannot be built: {said}")]
    NotBuildable { what: String, said: String },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// It is not known whether it was done; the server may still tell.
    #[error("{0}")]
    Unknown(String),
    /// Any other answer below 500.
    #[error("{what} was answered with status {status}: {said}")]
    Rejected {
        what: String,
        status: u16,
        said: String,
    },
    /// Nothing was done, and it may be asked again later.
    #[error("{what} is not available: {said}")]
    Unavailable {
        what: String,
        said: String,
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The request went out and nothing came back: it may have taken effect.
    #[error("{what} was not answered: {said}")]
    Unanswered {
        what: String,
        said: String,
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The answer is larger than what is read.
    #[error("the answer of {what} has more than {max} bytes")]
    TooLarge { what: String, max: usize },
    /// The answer makes no sense.
    #[error("the answer of {what} cannot be read: {reason}")]
    Malformed { what: String, reason: String },
    /// A password or token cannot be had.
    #[error("the secret {what} cannot be read: {source}")]
    Secret {
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// What another caller, who asked the same at the same time, was told.
    #[error(transparent)]
    Same(#[from] Arc<Self>),
}

impl CiError {
    /// It may work later without anybody doing something.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unanswered { .. } => true,
            Self::Same(error) => error.is_passing(),
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::NotBuildable { .. }
            | Self::Invalid(_)
            | Self::Unknown(_)
            | Self::Rejected { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Secret { .. } => false,
        }
    }

    /// Somebody may be at it: credentials are exchanged, a proxy comes back, a right is given.
    pub fn may_be_mended(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Unknown(_)
            | Self::Rejected { .. }
            | Self::Secret { .. } => true,
            Self::Same(error) => error.may_be_mended(),
            Self::Unavailable { .. }
            | Self::Unanswered { .. }
            | Self::NotBuildable { .. }
            | Self::Invalid(_)
            | Self::TooLarge { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// It is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Same(error) => error.is_not_found(),
            Self::Denied { .. }
            | Self::NotBuildable { .. }
            | Self::Invalid(_)
            | Self::Unknown(_)
            | Self::Rejected { .. }
            | Self::Unavailable { .. }
            | Self::Unanswered { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Secret { .. } => false,
        }
    }
}
