//! `gennaker config`: check, dump, schema.

use crate::{
    args::ConfigCommand,
    client::Failure,
    config::{load, schema},
    exit::Exit,
    output::Out,
};

pub(super) fn run(command: &ConfigCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check { config } => {
            load(config.as_deref())?;
            out.line("the configuration is right");
        }
        ConfigCommand::Dump { config } => out.document(&load(config.as_deref())?),
        ConfigCommand::Schema => out.json(&schema()),
    }
    Ok(Exit::Success)
}
