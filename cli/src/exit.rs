//! The exit statuses of the command, and what each tells a script.

use std::process::ExitCode;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went as asked.
    Success,
    /// The execution, the task or the demo ended badly.
    ExecutionFailed,
    /// The command line, a file or the request is wrong (HTTP 4xx).
    BadInput,
    /// Gate does not answer, or not as a gate does, or a part of the suite is not available (HTTP 5xx).
    Unreachable,
    /// It did not end within the time the command waits.
    TimedOut,
    /// The configuration is wrong.
    Config,
    /// The data directory or a port is in use.
    InUse,
    /// Something that should not happen: a mistake in Gennaker, or a broken disk.
    Internal,
    /// Stopped by Ctrl-C or another signal before it was done.
    Interrupted,
    /// The reader of the output went away before the end, as with any command in a pipe.
    NotRead,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::ExecutionFailed => 1,
            Self::BadInput => 2,
            Self::Unreachable => 3,
            Self::TimedOut => 4,
            Self::Config => 64,
            Self::InUse => 69,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::NotRead => 141,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// The statuses as `--help` shows them.
pub(crate) const HELP: &str = "\
Exit statuses:
  0    all went as asked
  1    the execution, the task or the demo failed
  2    bad input: the command line, a file, or a request that gate refused (4xx)
  3    gate cannot be reached, what answers there is no gate, or a service behind it
       is not available (5xx)
  4    it did not end within the time the command waits
  64   the configuration is wrong
  69   the data directory or a port is in use
  70   an internal error, or stdout cannot be written
  130  stopped by Ctrl-C or a signal before it was done
  141  the reader of the output went away before the end";
