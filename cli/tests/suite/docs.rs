//! What the README tells, done: a pipeline from a file, a person's answer, server groups.

use std::path::Path;

use serde_json::Value;

use super::{STOP_MAX, command, finish, nothing_left, signal, up};

const PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deliver.yaml");

fn run(temporary: &Path, url: &str, arguments: &[&str]) -> String {
    let arguments = [arguments, &["-o", "json", "--gate", url]].concat();
    let output = command(temporary, &arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_pipeline_of_the_docs_delivers_as_the_readme_tells() {
    let temporary = tempfile::tempdir().unwrap();
    let (suite, url) = up(temporary.path(), &["up", "--ephemeral", "--gate-port", "0"]);
    let run = |arguments: &[&str]| run(temporary.path(), &url, arguments);
    run(&["application", "save", "shop", "--email", "you@example.com"]);
    run(&["pipeline", "save", "-f", PIPELINE]);
    for version in ["version=1", "version=2"] {
        let started = run(&["pipeline", "execute", "shop", "Deliver", "-p", version]);
        let started: Value = serde_json::from_str(&started).unwrap();
        let id = started["id"].as_str().unwrap();
        wait_for_judgment(temporary.path(), &url, id);
        run(&["judge", id, "continue"]);
        let ended: Value = serde_json::from_str(&run(&["execution", "watch", id])).unwrap();
        assert_eq!(ended["status"], "SUCCEEDED", "{ended:#}");
    }
    let plan = run(&[
        "server-group",
        "resize",
        "shop-prod-v001",
        "--capacity",
        "4",
        "--dry-run",
    ]);
    assert_eq!(plan.matches("startInstance").count(), 2, "{plan}");
    let groups: Value = serde_json::from_str(&run(&["server-group", "list", "shop"])).unwrap();
    let enabled = |name: &str| {
        let all = groups.as_array().unwrap();
        let group = all.iter().find(|group| group["name"] == name);
        group.is_some_and(|group| group["isDisabled"] == false)
    };
    assert!(
        enabled("shop-prod-v001") && !enabled("shop-prod-v000"),
        "{groups:#}"
    );
    let log = run(&["server-group", "logs", "shop-prod-v001"]);
    assert!(log.contains("sample service version 2 starts"), "{log}");
    signal(&suite, "TERM");
    assert!(finish(suite, STOP_MAX).status.success());
    nothing_left(temporary.path());
}

fn wait_for_judgment(temporary: &Path, url: &str, id: &str) {
    let start = std::time::Instant::now();
    loop {
        let shown = run(temporary, url, &["execution", "get", id]);
        let execution: Value = serde_json::from_str(&shown).unwrap();
        let stages = execution["stages"].as_array().unwrap();
        if stages
            .iter()
            .any(|s| s["refId"] == "promote" && s["status"] == "RUNNING")
        {
            return;
        }
        assert!(
            start.elapsed() < super::DEMO_MAX,
            "it does not wait: {execution:#}"
        );
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
}
