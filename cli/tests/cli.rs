//! The real binary: what it prints, and which status it exits with.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot start its parts fails"
)]

mod fake_gate;
mod strange;
mod suite;
mod terminal;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use fake_gate::FakeGate;
use serde_json::Value;

/// An address that refuses connections: port 1 needs rights that no test has.
const NOBODY: &str = "http://127.0.0.1:1";

fn gennaker(arguments: &[&str]) -> Output {
    gennaker_with(arguments, "")
}

fn gennaker_with(arguments: &[&str], stdin: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_gennaker"))
        .args(arguments)
        .env_remove("GENNAKER_GATE")
        .env_remove("GENNAKER_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone already.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn status(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("killed: {}", stderr(output)))
}

#[test]
fn a_gate_that_does_not_answer_is_status_3_with_its_cause_and_a_next_step() {
    for arguments in [
        &["application", "list"][..],
        &["pipeline", "execute", "shop", "Deliver", "--watch"],
        &["execution", "watch", "01A"],
        &["judge", "01A", "continue"],
        &["server-group", "list", "shop"],
        &["stage", "list"],
        &["doctor"],
        &["demo", "--yes"],
    ] {
        let output = gennaker(&[arguments, &["--gate", NOBODY]].concat());
        let told = stderr(&output);
        assert_eq!(status(&output), 3, "{arguments:?}: {told}");
        assert!(
            told.contains("127.0.0.1:1") && told.contains("because:"),
            "{told}"
        );
        assert!(
            told.contains("next: start a suite with `gennaker up`"),
            "{told}"
        );
        if arguments[0] != "demo" {
            assert_eq!(stdout(&output), "", "{arguments:?} wrote data");
        }
    }
    let output = gennaker(&["demo", "--yes", "-o", "json", "--gate", NOBODY]);
    assert_eq!((status(&output), stdout(&output)), (3, String::new()));
}

#[test]
fn bad_input_is_status_2() {
    let no_file = ["pipeline", "save", "-f", "/does/not/exist.json"];
    let no_url = ["application", "list", "--gate", "localhost:8084"];
    let no_name = ["pipeline", "execute", "shop", "Deliver", "-p", "version"];
    for arguments in [&no_file[..], &no_url, &no_name, &["frobnicate"], &["demo"]] {
        let output = gennaker(arguments);
        assert_eq!(status(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{arguments:?} says nothing");
    }
    let broken = gennaker_with(&["pipeline", "save", "-f", "-"], "{\"name\": ");
    assert_eq!(status(&broken), 2);
    assert!(
        stderr(&broken).contains("is not JSON"),
        "{}",
        stderr(&broken)
    );
    let nameless = gennaker_with(&["pipeline", "save", "-f", "-"], "stages: []");
    assert_eq!(status(&nameless), 2);
    assert!(
        stderr(&nameless).contains("no application and no name"),
        "{}",
        stderr(&nameless)
    );
}

#[test]
fn every_exit_status_is_in_the_help_and_in_the_readme() {
    let readme = include_str!("../README.md");
    let help = stdout(&gennaker(&["--help"]));
    for status in [0, 1, 2, 3, 4, 64, 69, 70, 130, 141] {
        assert!(readme.contains(&format!("\n| {status} | ")), "{status}");
        assert!(
            help.contains(&format!("\n  {status:<5}")),
            "{status}: {help}"
        );
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = gennaker(&["completions", shell]);
        assert_eq!(status(&output), 0);
        let script = stdout(&output);
        for word in ["server-group", "dry-run", "judge"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn help_teaches_the_exit_statuses() {
    let output = gennaker(&["--help"]);
    assert_eq!(status(&output), 0);
    let text = stdout(&output);
    assert!(
        text.contains("Exit statuses:") && text.contains("gennaker demo --yes"),
        "{text}"
    );
    assert!(
        !text.contains("sample-service"),
        "hidden commands are shown: {text}"
    );
}

#[test]
fn the_config_schema_is_json_and_the_dump_passes_the_check() {
    let schema = gennaker(&["config", "schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["type"], "object");
    assert!(schema["properties"]["gate"].is_object(), "{schema}");
    let dump = gennaker(&["config", "dump"]);
    assert_eq!(status(&dump), 0, "{}", stderr(&dump));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gennaker.yaml");
    std::fs::write(&file, &dump.stdout).unwrap();
    let check = gennaker(&["config", "check", "--config", text(&file)]);
    assert_eq!(status(&check), 0, "{}", stderr(&check));
}

#[test]
fn a_wrong_configuration_is_status_64_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gennaker.yaml");
    std::fs::write(&file, "gate:\n  prot: 1\n").unwrap();
    for arguments in [&["config", "check"][..], &["up", "--ephemeral"]] {
        let output = gennaker(&[arguments, &["--config", text(&file)]].concat());
        assert_eq!(status(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("prot"), "{}", stderr(&output));
    }
}

#[test]
fn a_table_has_a_row_for_each_thing_and_json_is_the_answer_itself() {
    let gate = FakeGate::start();
    let output = gennaker(&["application", "list", "--gate", gate.url()]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let expected = "NAME  EMAIL       ACCOUNTS  DESCRIPTION\nshop  shop@a.b    local     sells\nblog  \
                    blog@a.b\n";
    let table = stdout(&output);
    assert_eq!(squeezed(&table), squeezed(expected), "{table}");
    assert!(!table.contains('\u{1b}'), "colours in a pipe: {table:?}");
    let output = gennaker(&["application", "list", "-o", "json", "--gate", gate.url()]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer[0]["name"], "shop");
    let output = gennaker(&[
        "pipeline",
        "get",
        "shop",
        "Deliver",
        "-o",
        "yaml",
        "--gate",
        gate.url(),
    ]);
    assert!(
        stdout(&output).contains("name: Deliver"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_api() {
    let gate = FakeGate::start();
    let arguments = ["pipeline", "get", "shop", "Nothing", "--gate", gate.url()];
    let output = gennaker(&arguments);
    assert_eq!(status(&output), 2);
    let told = stderr(&output);
    for part in [
        "no pipeline Nothing in shop",
        "/name: is unknown",
        "because: nobody saved it",
        "X-0001",
    ] {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    let output = gennaker(&[&arguments[..], &["-o", "json"]].concat());
    let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(problem["code"], "X-0001");
    let output = gennaker(&["server-group", "list", "shop", "--gate", gate.url()]);
    assert_eq!(status(&output), 3, "a 503 of gate is not bad input");
}

#[test]
fn watching_ends_with_the_execution_and_its_status() {
    let gate = FakeGate::start();
    let good = gennaker(&["execution", "watch", "GOOD", "--gate", gate.url()]);
    assert_eq!(status(&good), 0, "{}", stderr(&good));
    let lines = stdout(&good);
    assert!(
        lines.contains("Wait RUNNING") && lines.contains("Wait SUCCEEDED"),
        "{lines}"
    );
    let bad = gennaker(&["execution", "watch", "BAD", "--gate", gate.url()]);
    assert_eq!(status(&bad), 1, "{}", stderr(&bad));
    assert!(
        stdout(&bad).contains("the health check failed"),
        "{}",
        stdout(&bad)
    );
}

#[test]
fn executions_are_listed_newest_first() {
    let gate = FakeGate::start();
    let output = gennaker(&["execution", "list", "shop", "--gate", gate.url()]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let shown = stdout(&output);
    let ids: Vec<&str> = shown
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(ids, ["01NEW", "09OLD"], "{shown}");
    assert!(
        shown.contains("webhook") && !shown.contains("()"),
        "{shown}"
    );
}

#[test]
fn a_judgment_finds_the_stage_that_waits() {
    let gate = FakeGate::start();
    let output = gennaker(&["judge", "WAITS", "continue", "--gate", gate.url()]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let patched = gate.seen("PATCH /pipelines/WAITS/stages/S1");
    assert!(
        patched.contains("\"judgmentStatus\":\"continue\""),
        "{patched}"
    );
    let output = gennaker(&["judge", "GOOD", "stop", "--gate", gate.url()]);
    assert_eq!(status(&output), 2);
    assert!(
        stderr(&output).contains("waits for no judgment"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn saving_a_pipeline_keeps_the_id_of_the_stored_one() {
    let gate = FakeGate::start();
    let document = "application: shop\nname: Deliver\nstages: []\n";
    let output = gennaker_with(
        &["pipeline", "save", "-f", "-", "--gate", gate.url()],
        document,
    );
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let posted = gate.seen("POST /pipelines");
    assert!(posted.contains("\"id\":\"stored-id\""), "{posted}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn squeezed(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}
