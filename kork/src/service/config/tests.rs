use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::*;

/// A configuration with one of everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    gate: Gate,
    data_dir: Option<String>,
    limits: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Gate {
    port: u16,
    stop_grace: Duration,
    origins: Vec<String>,
    token: Option<Secret>,
    mode: Mode,
    strict: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// One process.
    #[default]
    Embedded,
    /// Many.
    Cluster,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            port: 8084,
            stop_grace: Duration::from_secs(30),
            origins: Vec::new(),
            token: None,
            mode: Mode::Embedded,
            strict: false,
        }
    }
}

fn layers(file: &str, environment: &[(&str, &str)], flags: Value) -> (Layers, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path())
        .unwrap()
        .join("gennaker.yaml");
    std::fs::write(&path, file).unwrap();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(own).collect();
    (
        Layers {
            file: Some(path),
            environment,
            flags,
        },
        dir,
    )
}

#[test]
fn nothing_at_all_is_the_default() {
    let loaded = load::<Config>(Layers::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(
        loaded
            .dump()
            .iter()
            .all(|setting| setting.origin == Origin::Default)
    );
}

#[test]
fn later_layers_win_and_the_dump_says_which() {
    let file = "gate:\n  port: 1\n  stopGrace: 5m\n  token: file-secret\n  mode: cluster\n";
    let environment = [
        ("GENNAKER_GATE_PORT", "2"),
        ("GENNAKER_GATE_STOP_GRACE", "7s"),
        ("GENNAKER_GATE_ORIGINS", "https://a, https://b"),
        ("GENNAKER_GATE_STRICT", "true"),
        ("GENNAKER_DATA_DIR", "123"),
        ("GENNAKER_LIMITS_PAGES", "9"),
        ("GENNAKER_GATE", "http://for.the.command.line"),
        ("PATH", "/bin"),
    ];
    let (layers, _dir) = layers(file, &environment, json!({"gate": {"port": 3}}));
    let loaded = load::<Config>(layers).unwrap();
    let gate = &loaded.config.gate;
    assert_eq!(
        (gate.port, gate.stop_grace, gate.mode),
        (3, Duration::from_secs(7), Mode::Cluster)
    );
    assert_eq!(gate.origins, ["https://a", "https://b"]);
    assert_eq!(gate.token.as_ref().unwrap().reveal(), "file-secret");
    assert_eq!(
        loaded.config.data_dir.as_deref(),
        Some("123"),
        "text stays text"
    );
    assert_eq!(loaded.config.limits["pages"], 9);
    let dump: BTreeMap<String, String> = loaded
        .dump()
        .into_iter()
        .map(|setting| {
            (
                setting.path,
                format!("{} <- {}", setting.value, setting.origin),
            )
        })
        .collect();
    assert_eq!(dump["gate.port"], "3 <- flag");
    assert_eq!(
        dump["gate.stopGrace"],
        "\"7s\" <- environment GENNAKER_GATE_STOP_GRACE"
    );
    assert!(
        dump["gate.token"].starts_with("\"***\" <- file "),
        "{}",
        dump["gate.token"]
    );
    assert_eq!(
        dump["gate.strict"],
        "true <- environment GENNAKER_GATE_STRICT"
    );
}

#[test]
fn every_problem_of_every_layer_is_reported_at_once() {
    let file = "gate:\n  prot: 1\n  stopGrace: soon\n  mode: clustre\n  token: 4711\n";
    let environment = [
        ("GENNAKER_GATE_PORT", "many"),
        ("GENNAKER_GATE_STOP_GRAC", "1s"),
    ];
    let (layers, _dir) = layers(
        file,
        &environment,
        json!({"dataDirr": "x", "limits": {"a": -1}}),
    );
    let problems = load::<Config>(layers).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let said = |path: &str, origin: &str, detail: &str| {
        assert!(
            problems.iter().any(|problem| problem.path == path
                && problem.origin.to_string().starts_with(origin)
                && problem.detail.contains(detail)),
            "{path} {origin} {detail} is missing in {shown:#?}"
        );
    };
    said("gate.prot", "file ", "did you mean \"port\"");
    said("gate.stopGrace", "file ", "write a number and its unit");
    said("gate.mode", "file ", "`embedded`");
    said("gate.token", "file ", "a secret must be text");
    said(
        "gate.port",
        "environment GENNAKER_GATE_PORT",
        "expected u16",
    );
    said(
        ".",
        "environment GENNAKER_GATE_STOP_GRAC",
        "GENNAKER_GATE_STOP_GRACE",
    );
    said("dataDirr", "flag", "did you mean \"dataDir\"");
    said("limits.a", "flag", "expected u32");
    assert_eq!(problems.len(), 8, "{shown:#?}");
    assert!(
        !shown.concat().contains("4711"),
        "a secret is shown: {shown:#?}"
    );
    assert_eq!(problem(&problems).errors.len(), 8);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_of_the_file() {
    for (text, detail) in [("a: [", "not YAML"), ("- 1", "keys and values")] {
        let (layers, _dir) = layers(text, &[], Value::Null);
        let problems = load::<Config>(layers).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].detail.contains(detail),
            "{problems:?}"
        );
    }
    let missing = Layers {
        file: Some("/nowhere/at.yaml".into()),
        ..Layers::default()
    };
    assert!(
        load::<Config>(missing).unwrap_err()[0]
            .detail
            .contains("cannot be read")
    );
}

#[test]
fn the_schema_names_the_settings() {
    let schema = schema::<Config>();
    assert_eq!(
        schema["properties"]["dataDir"]["type"],
        json!(["string", "null"])
    );
    let gate = schema.pointer("/$defs/Gate/properties").unwrap();
    assert_eq!(gate["stopGrace"]["type"], "string");
    assert_eq!(gate["port"]["type"], "integer");
}
