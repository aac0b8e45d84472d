//! The suite and the demo as a user starts them: real processes, real ports, nothing left behind.

mod docs;

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A suite that was asked to stop is gone by then.
const STOP_MAX: Duration = Duration::from_secs(10);
/// What the demo may take on a busy machine; alone it takes a third of this.
const DEMO_MAX: Duration = Duration::from_secs(90);

pub(crate) fn command(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gennaker"));
    command
        .args(arguments)
        .env("TMPDIR", temporary)
        .env("XDG_DATA_HOME", temporary)
        .env_remove("GENNAKER_GATE")
        .env_remove("GENNAKER_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A process that does not outlive a test that fails.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // Most have ended by now, and there is nothing to kill.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Waits for the end and collects what was written; kills it at the deadline.
fn finish(mut guarded: Guarded, within: Duration) -> Output {
    let child = &mut guarded.0;
    let start = Instant::now();
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
            return Output {
                status,
                stdout,
                stderr,
            };
        }
        if start.elapsed() > within {
            child.kill().unwrap();
            let told = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
            panic!("still running after {within:?}: {told}");
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has told all it will tell.
        pipe.map(|mut pipe| pipe.read_to_end(&mut bytes).ok());
        bytes
    })
}

/// Living processes that know this directory: from their environment or their command line.
fn processes(directory: &Path) -> Vec<String> {
    let needle = directory.to_str().unwrap().as_bytes().to_vec();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok());
    pids.filter_map(|entry| {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let (environment, line) = (read("environ"), read("cmdline"));
        let knows = |bytes: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
        (knows(&environment) || knows(&line))
            .then(|| String::from_utf8_lossy(&line).replace('\0', " "))
    })
    .collect()
}

pub(crate) fn nothing_left(temporary: &Path) {
    let start = Instant::now();
    loop {
        let left = processes(temporary);
        if left.is_empty() {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "processes are left: {left:#?}"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

pub(crate) fn signal(child: &Guarded, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.0.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A suite that listens, with the URL of its gate.
fn up(temporary: &Path, arguments: &[&str]) -> (Guarded, String) {
    let mut child = Guarded(command(temporary, arguments).spawn().unwrap());
    let mut line = String::new();
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let Some(url) = line.trim().strip_prefix("gate listens on ") else {
        let output = finish(child, STOP_MAX);
        panic!(
            "the first line is {line:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    // The rest of stdout must not fill the pipe.
    drain(Some(stdout));
    (child, url.to_owned())
}

#[test]
fn an_ephemeral_suite_tells_where_it_is_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (child, url) = up(temporary.path(), &["up", "--ephemeral", "--gate-port", "0"]);
    let doctor = command(temporary.path(), &["doctor", "--gate", &url])
        .output()
        .unwrap();
    assert!(
        doctor.status.success(),
        "{}",
        String::from_utf8_lossy(&doctor.stdout)
    );
    signal(&child, "TERM");
    let output = finish(child, STOP_MAX);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    nothing_left(temporary.path());
    let kept: Vec<_> = std::fs::read_dir(temporary.path())
        .unwrap()
        .flatten()
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn a_second_suite_in_the_same_directory_or_on_the_same_port_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let (child, url) = up(temporary.path(), &["up", "--gate-port", "0"]);
    let port = url.rsplit(':').next().unwrap().to_owned();
    for arguments in [
        &["up", "--gate-port", "0"][..],
        &["up", "--ephemeral", "--gate-port", &port],
    ] {
        let second = command(temporary.path(), arguments).output().unwrap();
        let told = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(69), "{arguments:?}: {told}");
        assert!(told.contains("next: "), "{told}");
        assert!(
            second.stdout.is_empty(),
            "{arguments:?} says that it listens"
        );
    }
    signal(&child, "INT");
    assert!(finish(child, STOP_MAX).status.success());
}

#[test]
fn demo_json_passes() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = [
        "demo",
        "--yes",
        "--ephemeral",
        "--gate-port",
        "0",
        "-o",
        "json",
    ];
    let child = Guarded(command(temporary.path(), &arguments).spawn().unwrap());
    let output = finish(child, DEMO_MAX);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!(
            "stdout is not one JSON object ({e}): {}\n{told}",
            String::from_utf8_lossy(&output.stdout)
        )
    });
    assert!(output.status.success(), "{summary:#}\n{told}");
    assert!(summary["requestsSent"].as_u64().unwrap() > 0, "{summary:#}");
    assert_eq!(summary["requestsFailed"], 0, "{summary:#}");
    assert_eq!(summary["productionServes"], "2");
    let executions = summary["executions"].as_array().unwrap();
    let ended: Vec<_> = executions
        .iter()
        .map(|e| (&e["name"], &e["status"]))
        .collect();
    let expected = [
        ("version 1", "SUCCEEDED"),
        ("version 2", "SUCCEEDED"),
        ("version 3", "TERMINAL"),
    ];
    assert_eq!(ended.len(), expected.len(), "{summary:#}");
    for ((name, status), (expected_name, expected_status)) in ended.into_iter().zip(expected) {
        assert_eq!(
            (name, status),
            (&expected_name.into(), &expected_status.into()),
            "{summary:#}"
        );
    }
    let reasons = executions[2]["reasons"].to_string();
    assert!(
        reasons.contains("price list"),
        "the log of the broken release is not shown: {reasons}"
    );
    nothing_left(temporary.path());
}

/// A pipeline that deploys the sample service as an application of its own.
const KEEP: &str = r#"{"application": "keep", "name": "Deploy", "stages": [{"refId": "1", "type": "deploy",
    "name": "Deploy", "clusters": [{"account": "local", "cloudProvider": "local", "application": "keep",
    "stack": "main", "capacity": {"min": 1, "max": 1, "desired": 1}, "loadBalancers": ["keep-main"],
    "command": ["$GENNAKER", "sample-service"], "health": {"path": "/health"}}]}]}"#;

#[test]
fn a_demo_leaves_the_server_groups_of_others_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = command(temporary.path(), arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let start = ["up", "--gate-port", "0"];
    let (suite, url) = up(temporary.path(), &start);
    let file = temporary.path().join("keep.json");
    std::fs::write(&file, KEEP).unwrap();
    run(&[
        "application",
        "save",
        "keep",
        "--email",
        "a@b.c",
        "--gate",
        &url,
    ]);
    run(&[
        "pipeline",
        "save",
        "-f",
        file.to_str().unwrap(),
        "--gate",
        &url,
    ]);
    run(&[
        "pipeline", "execute", "keep", "Deploy", "--watch", "--gate", &url,
    ]);
    signal(&suite, "TERM");
    assert!(finish(suite, STOP_MAX).status.success());
    run(&["demo", "--yes", "--gate-port", "0", "-o", "json"]);

    let (suite, url) = up(temporary.path(), &start);
    let groups = run(&["server-group", "list", "keep", "-o", "json", "--gate", &url]);
    assert!(groups.contains("keep-main-v000"), "{groups}");
    run(&["server-group", "destroy", "keep-main-v000", "--gate", &url]);
    signal(&suite, "TERM");
    assert!(finish(suite, STOP_MAX).status.success());
    nothing_left(temporary.path());
}

#[test]
fn a_demo_takes_another_port_when_the_usual_one_is_in_use() {
    let temporary = tempfile::tempdir().unwrap();
    // Whether this succeeds or not: the port is in use then.
    let usual = std::net::TcpListener::bind("127.0.0.1:8084");
    let arguments = ["demo", "--yes", "--ephemeral"];
    let mut demo = Guarded(command(temporary.path(), &arguments).spawn().unwrap());
    let mut line = String::new();
    let mut stdout = BufReader::new(demo.0.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drain(Some(stdout));
    signal(&demo, "TERM");
    let output = finish(demo, STOP_MAX);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        line.starts_with("gate listens on http://127.0.0.1:"),
        "{line}: {told}"
    );
    assert!(!line.trim_end().ends_with(":8084"), "{line}");
    assert_eq!(output.status.code(), Some(130), "{told}");
    nothing_left(temporary.path());
    drop(usual);
}
