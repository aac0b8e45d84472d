//! Start, second start, stop: what a person sees first.

use integration_tests::{
    harness::{STOP_MAX, Suite, command},
    pipeline::{judgment, pipeline, wait},
};
use tokio::process::Command;

/// Exit status for a directory or a port that is in use.
const IN_USE: i32 = 69;
/// Exit status for a configuration that cannot work.
const BAD_CONFIGURATION: i32 = 64;

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    command.stderr(std::process::Stdio::piped());
    let output = tokio::time::timeout(STOP_MAX, command.output());
    let output = output.await.expect("it ends by itself").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn text(url: &str) -> String {
    let client = kork_http::client().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_free_port_is_taken_told_and_served() {
    let suite = Suite::start().await;
    let port = suite.gate().base().strip_prefix("http://127.0.0.1:");
    assert_ne!(port.unwrap().parse::<u16>().unwrap(), 0);
    let version = suite.gate().get("/version").await.unwrap();
    assert!(version["version"].is_string(), "{version}");
    let ready = text(&format!("{}/health/ready", suite.health())).await;
    assert!(ready.contains("\"UP\""), "{ready}");
    let definition = pipeline("seen", "p", &[wait("1", &[], 0)]);
    suite.gate().start(&definition).await.unwrap();
    let metrics = text(&format!("{}/metrics", suite.health())).await;
    let counted = "gennaker_orca_commands_total{command=\"create\",outcome=\"done\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_second_suite_on_the_same_directory_is_refused_with_the_reason() {
    let suite = Suite::start().await;
    let (status, stdout, stderr) = output(suite.command()).await;
    assert_eq!(status, Some(IN_USE), "{stderr}");
    assert!(stderr.contains(suite.data_dir().as_str()), "{stderr}");
    assert!(stderr.contains(&suite.pid().to_string()), "{stderr}");
    assert!(stdout.is_empty(), "it says that it listens: {stdout}");
    suite.gate().get("/health").await.unwrap();
}

#[tokio::test]
async fn a_suite_without_logins_does_not_listen_to_the_world() {
    let home = tempfile::tempdir().unwrap();
    for host in ["0.0.0.0", "::"] {
        let file = home.path().join("gennaker.json");
        let text = serde_json::json!({"gate": {"host": host, "port": 0}, "healthPort": 0});
        std::fs::write(&file, text.to_string()).unwrap();
        let mut command = command(&["up", "--config"]);
        command.arg(&file);
        command.arg("--data-dir").arg(home.path().join("data"));
        let (status, stdout, stderr) = output(command).await;
        assert_eq!(status, Some(BAD_CONFIGURATION), "{host}: {stderr}");
        assert!(stderr.contains(host), "{host}: {stderr}");
        assert!(stderr.contains("GATE-0012"), "{host}: {stderr}");
        assert!(stderr.contains("127.0.0.1"), "{host}: {stderr}");
        assert!(
            stdout.is_empty(),
            "{host}: it says that it listens: {stdout}"
        );
    }
}

#[tokio::test]
async fn a_suite_with_work_under_way_stops_in_time() {
    let mut suite = Suite::start().await;
    let stages = [wait("1", &[], 3600), judgment("2", &[])];
    for n in 0..20 {
        let definition = pipeline("busy", &format!("p{n}"), &stages);
        suite.gate().start(&definition).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let status = suite.stop().await;
    assert!(status.success(), "{status}: {}", suite.log());
    println!("stopped after {:?}", began.elapsed());
    let left = suite.processes();
    assert!(left.0.is_empty(), "{left:#?}");
}
