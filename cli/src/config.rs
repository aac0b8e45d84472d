//! The configuration of the suite: one section per service, all with defaults that work.

use camino::{Utf8Path, Utf8PathBuf};
use kork::service::{
    config::{self, ConfigProblem, Layers, Loaded, Origin},
    telemetry::Format,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    args::{LogFormat, SuiteArgs},
    client::Failure,
};

/// Configuration of `gennaker up` and `gennaker demo`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Config {
    /// Directory of the data; `$XDG_DATA_HOME/gennaker` or `~/.local/share/gennaker` when empty.
    pub(crate) data_dir: String,
    /// Port of health and metrics on 127.0.0.1; 0 takes a free one.
    pub(crate) health_port: u16,
    /// What the services say on stderr.
    pub(crate) log: Log,
    /// The HTTP API.
    pub(crate) gate: gate::Config,
    /// Executions.
    pub(crate) orca: orca::Config,
    /// Stored applications and pipelines.
    pub(crate) front50: front50::Config,
    /// Accounts, server groups and their proxy.
    pub(crate) clouddriver: clouddriver::Config,
    /// Senders of webhooks, CI servers, registries, repositories.
    pub(crate) igor: igor::Config,
}

/// What the services say on stderr.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Log {
    /// How the lines look.
    pub(crate) format: Format,
    /// Which lines there are, such as `info,orca=debug`; the variable `GENNAKER_LOG` goes first.
    pub(crate) filter: String,
}

/// Defaults, under the file, under the environment, under these flags.
pub(crate) fn load(file: Option<&Utf8Path>, flags: Value) -> Result<Loaded<Config>, Failure> {
    let layers = Layers::of_process(file.map(Utf8Path::to_owned), flags);
    let loaded = config::load::<Config>(layers).map_err(|problems| wrong(&problems))?;
    let problems = loaded.config.gate.problems();
    if problems.is_empty() {
        return Ok(loaded);
    }
    Err(Failure::Config {
        detail: "the section gate cannot work".to_owned(),
        fields: problems
            .into_iter()
            .map(|text| ("/gate".to_owned(), text))
            .collect(),
    })
}

/// Everything that is wrong, each with its place and where it was set.
fn wrong(problems: &[ConfigProblem]) -> Failure {
    let fields = problems.iter().map(|problem| {
        let pointer = match problem.path.as_str() {
            "" | "." => "the whole".to_owned(),
            path => format!("/{}", path.replace('.', "/")),
        };
        (pointer, format!("{} ({})", problem.detail, problem.origin))
    });
    Failure::Config {
        detail: match problems.len() {
            1 => "the configuration has a mistake".to_owned(),
            several => format!("the configuration has {several} mistakes"),
        },
        fields: fields.collect(),
    }
}

/// The flags of a suite as a layer of the configuration.
pub(crate) fn flags(args: &SuiteArgs, health_port: Option<u16>) -> Value {
    let mut flags = Map::new();
    if let Some(port) = args.gate_port {
        flags.insert("gate".to_owned(), json!({"port": port}));
    }
    if let Some(port) = health_port {
        flags.insert("healthPort".to_owned(), json!(port));
    }
    if let Some(dir) = &args.data_dir {
        flags.insert("dataDir".to_owned(), json!(dir));
    }
    if let Some(format) = args.log_format {
        let name = match format {
            LogFormat::Text => "human",
            LogFormat::Json => "json",
        };
        flags.insert("log".to_owned(), json!({"format": name}));
    }
    Value::Object(flags)
}

/// Somebody chose this setting: it does not have its default because nobody said anything.
pub(crate) fn is_chosen(loaded: &Loaded<Config>, path: &str) -> bool {
    let settings = loaded.dump().into_iter();
    settings
        .filter(|setting| setting.origin != Origin::Default)
        .any(|setting| setting.path == path)
}

/// Settings that are not the default, with where they come from.
pub(crate) fn chosen(loaded: &Loaded<Config>) -> Vec<String> {
    let settings = loaded
        .dump()
        .into_iter()
        .filter(|setting| setting.origin != Origin::Default);
    settings
        .map(|s| format!("{} = {} ({})", s.path, s.value, s.origin))
        .collect()
}

/// Where the data are when nobody says.
pub(crate) fn default_data_dir() -> Result<Utf8PathBuf, Failure> {
    let path = |name: &str| {
        let value = std::env::var(name)
            .ok()
            .filter(|value| value.starts_with('/'));
        value.map(Utf8PathBuf::from)
    };
    let found =
        path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")));
    found
        .map(|dir| dir.join("gennaker"))
        .ok_or_else(|| Failure::Config {
            detail: "there is no place for the data: neither XDG_DATA_HOME nor HOME is set"
                .to_owned(),
            fields: vec![(
                "/dataDir".to_owned(),
                "set it, or use --data-dir DIR or --ephemeral".to_owned(),
            )],
        })
}
