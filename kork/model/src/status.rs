//! The states of executions, stages and tasks, with Spinnaker's names and meaning.

use serde::{Deserialize, Serialize};

/// State of an execution, a stage or a task.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Planned or waiting for its turn.
    #[default]
    NotStarted,
    /// Under way.
    Running,
    /// Held by a person.
    Paused,
    /// Legacy: held by the system.
    Suspended,
    /// Ended well.
    Succeeded,
    /// Failed, and the flow goes on.
    FailedContinue,
    /// Failed.
    Terminal,
    /// Stopped by a person or by a cancelled remote part.
    Canceled,
    /// Task result only: run the loop again.
    Redirect,
    /// Failed; this branch ends, others go on.
    Stopped,
    /// Not run, and nobody misses it.
    Skipped,
    /// Held back before it may start.
    Buffered,
}

impl Status {
    /// Every status, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::NotStarted,
        Self::Running,
        Self::Paused,
        Self::Suspended,
        Self::Succeeded,
        Self::FailedContinue,
        Self::Terminal,
        Self::Canceled,
        Self::Redirect,
        Self::Stopped,
        Self::Skipped,
        Self::Buffered,
    ];

    /// The name as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Suspended => "SUSPENDED",
            Self::Succeeded => "SUCCEEDED",
            Self::FailedContinue => "FAILED_CONTINUE",
            Self::Terminal => "TERMINAL",
            Self::Canceled => "CANCELED",
            Self::Redirect => "REDIRECT",
            Self::Stopped => "STOPPED",
            Self::Skipped => "SKIPPED",
            Self::Buffered => "BUFFERED",
        }
    }

    /// Reads a name; exact case, as in Spinnaker.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Nothing more happens by itself.
    pub const fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::FailedContinue
                | Self::Terminal
                | Self::Canceled
                | Self::Stopped
                | Self::Skipped
        )
    }

    /// Complete, and what follows must not start.
    pub const fn is_halt(self) -> bool {
        matches!(self, Self::Terminal | Self::Canceled | Self::Stopped)
    }

    /// Spinnaker's "successful": succeeded, stopped or skipped.
    pub const fn is_successful(self) -> bool {
        matches!(self, Self::Succeeded | Self::Stopped | Self::Skipped)
    }

    /// Spinnaker's "failure": terminal, stopped, or failed and continued.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Terminal | Self::Stopped | Self::FailedContinue)
    }

    /// A stage in this state lets its successors start.
    pub const fn satisfies_downstream(self) -> bool {
        matches!(self, Self::Succeeded | Self::FailedContinue | Self::Skipped)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_json_names() {
        for status in Status::ALL {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{}\"", status.name()));
            assert_eq!(Status::parse(status.name()), Some(status));
        }
    }

    #[test]
    fn a_halting_status_is_complete_and_never_satisfies_downstream() {
        for status in Status::ALL.into_iter().filter(|s| s.is_halt()) {
            assert!(status.is_complete() && !status.satisfies_downstream());
        }
    }
}
