//! `gennaker config`: check, dump, schema.

use serde_json::Value;

use crate::{
    args::{ConfigCommand, Format},
    client::Failure,
    config::{Config, chosen, load},
    exit::Exit,
    output::Out,
};

pub(super) fn run(command: &ConfigCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check { config } => {
            load(config.as_deref(), Value::Null)?;
            out.note("the configuration is right");
        }
        ConfigCommand::Dump { config } => {
            let loaded = load(config.as_deref(), Value::Null)?;
            out.document(&loaded.config);
            for line in chosen(&loaded) {
                out.note(&format!("not the default: {line}"));
            }
        }
        ConfigCommand::Schema => {
            let schema = kork::service::config::schema::<Config>();
            match out.format {
                Format::Table | Format::Json => out.json(&schema),
                Format::Yaml => out.document(&schema),
            }
        }
    }
    Ok(Exit::Success)
}
