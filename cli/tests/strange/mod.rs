//! What goes wrong around the command: answers of something that is no gate, readers that go away,
//! a full disk, and requests that make no sense.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{fake_gate::FakeGate, gennaker, gennaker_with, status, stderr, stdout};

/// One of each command that reads an answer of gate.
const COMMANDS: [&[&str]; 16] = [
    &["application", "list"],
    &["application", "get", "shop"],
    &["application", "save", "shop", "--email", "a@b.c"],
    &["pipeline", "list", "shop"],
    &["pipeline", "get", "shop", "Deliver"],
    &["pipeline", "execute", "shop", "Deliver"],
    &["pipeline", "execute", "shop", "Deliver", "--dry-run"],
    &["execution", "list", "shop"],
    &["execution", "get", "01A"],
    &["execution", "watch", "01A"],
    &["execution", "cancel", "01A"],
    &["judge", "01A", "continue"],
    &["server-group", "list", "shop"],
    &["server-group", "logs", "shop-prod-v001"],
    &["stage", "list"],
    &["doctor"],
];

#[test]
fn what_is_no_gate_is_status_3_whatever_it_answers() {
    let page = "<html><head><title>Welcome!</title></head></html>";
    for (code, kind, body, said) in [
        (200, "text/html", page, "not JSON"),
        (200, "application/json", "[1, null]", "cannot be read: it"),
        (200, "application/json", "\"text\"", "cannot be read: it"),
        (200, "application/json", "", "cannot be read: it"),
        (302, "text/html", "", "sends the request on"),
        (502, "text/html", page, "status 502: Welcome!"),
        (500, "text/plain", "", "status 500 and not a word"),
    ] {
        let gate = FakeGate::always(code, kind, body);
        for arguments in COMMANDS {
            let output = gennaker(&[arguments, &["--gate", gate.url()]].concat());
            let told = stderr(&output);
            assert_eq!(status(&output), 3, "{arguments:?} on {body:?}: {told}");
            assert!(told.contains(said), "{arguments:?} on {body:?}: {told}");
            assert!(
                told.contains("next: ") && stdout(&output).is_empty(),
                "{told}"
            );
        }
    }
}

#[test]
fn a_404_that_is_not_of_gate_creates_nothing() {
    let gate = FakeGate::always(404, "text/html", "<html>not here</html>");
    let arguments = ["application", "save", "shop", "--email", "a@b.c"];
    let output = gennaker(&[&arguments[..], &["--gate", gate.url()]].concat());
    assert_eq!(status(&output), 2, "{}", stderr(&output));
    assert!(!gate.saw("POST /tasks"), "a task was sent to no gate");
}

#[test]
fn a_failure_is_one_json_object_on_stderr_when_json_is_asked_for() {
    let arguments = ["application", "list", "-o", "json", "--gate", "nowhere"];
    let output = gennaker(&arguments);
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(told["exitStatus"], 2, "{told}");
    assert!(told["next"].as_str().unwrap().contains("http://"), "{told}");
}

#[test]
fn an_empty_list_of_an_unknown_application_is_an_error() {
    let gate = FakeGate::start();
    for noun in ["pipeline", "execution", "server-group"] {
        let output = gennaker(&[noun, "list", "nope", "--gate", gate.url()]);
        assert_eq!(status(&output), 2, "{noun}: {}", stdout(&output));
        assert!(gate.saw("GET /applications/nope"), "{noun} did not ask");
    }
}

#[test]
fn what_an_execution_cannot_do_any_more_is_bad_input() {
    let gate = FakeGate::start();
    for (arguments, said) in [
        (&["execution", "cancel", "BAD"][..], "has ended (TERMINAL)"),
        (&["execution", "pause", "BAD"], "has ended (TERMINAL)"),
        (
            &["execution", "resume", "WAITS"],
            "is not held, it is RUNNING",
        ),
        (&["judge", "BAD", "stop", "--stage", "Wait"], "is a deploy"),
    ] {
        let output = gennaker(&[arguments, &["--gate", gate.url()]].concat());
        assert_eq!(status(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn a_list_of_pipelines_is_saved_whole_or_not_at_all() {
    let gate = FakeGate::start();
    let save = |text: &str| {
        let arguments = ["pipeline", "save", "-f", "-", "--gate", gate.url()];
        gennaker_with(&arguments, text)
    };
    let second = save("- {application: shop, name: A}\n- {application: shop}\n");
    assert_eq!(status(&second), 2);
    let told = stderr(&second);
    assert!(told.contains("the pipeline at /1 has no name"), "{told}");
    for (text, said) in [("[]", "has no pipelines"), ("hello", "not an object")] {
        let output = save(text);
        assert_eq!(status(&output), 2, "{text}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    assert!(!gate.saw("POST /pipelines"), "something was saved");
}

#[test]
fn limits_and_parameters_that_make_no_sense_are_refused_before_gate_is_asked() {
    for arguments in [
        &["execution", "list", "shop", "--limit", "0"][..],
        &["server-group", "logs", "shop-prod-v001", "--lines", "50000"],
        &[
            "pipeline", "execute", "shop", "Deliver", "-p", "a=1", "-p", "a=2",
        ],
        &["demo", "--yes", "--ephemeral"],
    ] {
        let output = gennaker(&[arguments, &["--gate", crate::NOBODY]].concat());
        assert_eq!(status(&output), 2, "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn data_that_cannot_be_written_are_no_success() {
    let gate = FakeGate::start();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gennaker"))
        .args(["application", "list", "--gate", gate.url()])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(status(&output), 70);
    let told = stderr(&output);
    assert!(
        told.contains("stdout cannot be written: No space left"),
        "{told}"
    );
}

#[test]
fn following_ends_when_nobody_reads() {
    let gate = FakeGate::start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gennaker"))
        .args(["execution", "watch", "WAITS", "--gate", gate.url()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("Wait RUNNING"), "{line}");
    // The execution waits for a judgment for ever; only the reader ends this.
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}
