//! The configuration of the suite: one section per service, all with defaults that work.

use camino::Utf8Path;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::client::Failure;

/// Configuration of `gennaker up` and `gennaker demo`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Config {
    /// The HTTP API.
    pub(crate) gate: gate::Config,
}

/// Defaults, under the file, under the environment.
pub(crate) fn load(_file: Option<&Utf8Path>) -> Result<Config, Failure> {
    Ok(Config::default())
}

/// The JSON schema of [`Config`].
pub(crate) fn schema() -> Schema {
    schema_for!(Config)
}
