//! What a process says about itself on stderr.

use std::io::IsTerminal;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Names of the fields that log lines have in common.
pub mod field {
    pub const EXECUTION_ID: &str = "execution.id";
    pub const STAGE_ID: &str = "stage.id";
    pub const APPLICATION: &str = "application";
    pub const USER: &str = "user";
    pub const TRACE_ID: &str = "trace.id";
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line, for collectors.
    Json,
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{filter:?} is not a log filter, try \"info\" or \"info,orca=debug\"")]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("logging was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Keep it until the process ends: what is not written yet is written when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Guard {
    _private: (),
}

/// Starts logging to stderr, once per process. `filter` is one of `tracing`: `info,orca=debug`.
pub fn init(format: Format, filter: &str) -> Result<Guard, TelemetryError> {
    let levels = EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let registry = tracing_subscriber::registry().with(levels);
    let started = match format {
        Format::Human => {
            let colours = std::io::stderr().is_terminal();
            registry
                .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours))
                .try_init()
        }
        Format::Json => registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .try_init(),
    };
    started.map_err(TelemetryError::Twice)?;
    Ok(Guard { _private: () })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_and_a_second_start_are_errors() {
        let wrong = init(Format::Human, "orca=loud").unwrap_err();
        assert!(wrong.to_string().contains("orca=loud"), "{wrong}");
        let _guard = init(Format::Json, "warn").unwrap();
        assert!(matches!(
            init(Format::Human, "info"),
            Err(TelemetryError::Twice(_))
        ));
    }
}
