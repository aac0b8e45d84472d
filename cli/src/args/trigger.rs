//! `gennaker trigger`.

use clap::{Subcommand, value_parser};

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Say which pipelines the newest events started; of one pipeline, which trigger matched or why none did.
    #[command(
        after_help = "Examples:\n  gennaker trigger explain\n  gennaker trigger explain shop Deliver\n  gennaker trigger explain shop Deliver --delivery 01K8XJ5V7D9GQ2M4N6P8R0S1T3"
    )]
    Explain {
        /// The application of the pipeline.
        #[arg(requires = "pipeline")]
        application: Option<String>,
        /// Name or id of the pipeline.
        pipeline: Option<String>,
        /// Only what this delivery said.
        #[arg(long)]
        delivery: Option<String>,
        /// Only what this source said.
        #[arg(long)]
        source: Option<String>,
        /// How many deliveries.
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Show what each trigger of a pipeline did: what it started, when the clock fires next, which fire times
    /// were missed or made up for, and how the pipeline ended that it waits for.
    #[command(after_help = "Example:\n  gennaker trigger history shop Nightly")]
    History {
        /// The application of the pipeline.
        application: String,
        /// Name or id of the pipeline.
        pipeline: String,
    },
}
