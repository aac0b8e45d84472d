use jenkins_double::{
    Checkout, Fault, Jenkins as Double, Job, Kind, Options, Parameter, Rule, Script,
};
use kork::embedded::TokioClock;
use kork_model::{
    Timestamp,
    inbound::{EventKind, Verified},
};

use super::*;
use crate::Controller;

struct World {
    double: Double,
    ci: Jenkins,
}

async fn world() -> World {
    let double = Double::start(Options::default()).await.unwrap();
    let controller = Controller {
        name: "ci".to_owned(),
        address: double.url().to_owned(),
        username: "igor".to_owned(),
        password: kork::service::config::Secret::new("11aa22bb"),
        item_upper_threshold: 3,
        ..Controller::default()
    };
    let clock = TokioClock::shared(Timestamp(jenkins_double::state::START_MS + 3_600_000));
    let ci = Jenkins::new(&controller, clock).unwrap();
    World { double, ci }
}

impl World {
    fn start(&self, path: &str, key: &str) {
        let names: Vec<String> = path.split('/').map(str::to_owned).collect();
        let given = [("KEY".to_owned(), key.to_owned())].into();
        self.double
            .with(|s| s.trigger(&names, Some(&given), Some(0)))
            .unwrap();
    }

    async fn poll(&self, cursor: &mut Cursor) -> Vec<String> {
        let polled = poll_once(&self.ci, cursor).await.unwrap();
        *cursor = serde_json::from_value(serde_json::to_value(polled.cursor).unwrap()).unwrap();
        assert!(polled.failed.is_empty(), "{:?}", polled.failed);
        polled.events.into_iter().map(|e| e.id).collect()
    }
}

fn job() -> Job {
    let script = Script {
        duration_ms: 10_000,
        finalize_ms: 0,
        checkouts: vec![Checkout {
            remote: "https://git.acme.example/payments/ledger.git".to_owned(),
            branch: "refs/remotes/origin/feature/x".to_owned(),
            commit: "3f0c".to_owned(),
        }],
        artifacts: [("out/a.properties".to_owned(), b"A=1".to_vec())].into(),
        ..Script::default()
    };
    Job::pipeline()
        .with_parameters(&[Parameter::text("KEY", "")])
        .with_script(script)
}

const BRANCH: &str = "payments/ledger/feature%2Fx";

#[tokio::test]
async fn the_first_look_is_silent_and_later_ones_tell_what_ended() {
    let world = world().await;
    world
        .double
        .add_job("payments/ledger", Job::folder(Kind::Multibranch));
    world.double.add_job(BRANCH, job());
    world.double.add_job("plain", job());
    world.start(BRANCH, "1");
    world.double.advance(20_000);
    world.start("plain", "1");
    let mut cursor = Cursor::default();
    assert!(world.poll(&mut cursor).await.is_empty());
    assert!(world.poll(&mut cursor).await.is_empty());
    world.double.advance(20_000);
    assert_eq!(
        world.poll(&mut cursor).await,
        ["jenkins:ci:plain:1"],
        "it ran at first sight"
    );
    world.start(BRANCH, "2");
    world.double.advance(20_000);
    let before = cursor.clone();
    let polled = poll_once(&world.ci, &before).await.unwrap();
    assert_eq!(
        world.poll(&mut cursor).await,
        ["jenkins:ci:payments/ledger/feature%2Fx:2"]
    );
    assert!(world.poll(&mut cursor).await.is_empty());
    let event = &polled.events[0];
    assert_eq!(
        (
            event.kind,
            event.verified,
            event.sender.as_str(),
            event.source.as_str()
        ),
        (EventKind::Build, Verified::Fetched, "jenkins", "ci")
    );
    assert_eq!(
        (event.job.as_deref(), event.build_number, event.building),
        (Some(BRANCH), Some(2), Some(false))
    );
    assert_eq!(
        (
            event.branch.as_deref(),
            event.commit.as_deref(),
            event.result.as_deref()
        ),
        (Some("feature/x"), Some("3f0c"), Some("SUCCESS"))
    );
    assert_eq!(event.repository.as_deref(), Some("payments/ledger"));
    assert!(event.url.as_ref().unwrap().contains("feature%252Fx/2/"));
    assert_eq!(event.trigger["job"], "payments/job/ledger/job/feature%2Fx");
    assert_eq!(event.trigger["buildInfo"]["result"], "SUCCESS");
    assert_eq!(event.artifacts[0]["reference"], "out/a.properties");
}

#[tokio::test]
async fn a_long_build_is_told_when_it_ends_though_later_ones_ended_before() {
    let world = world().await;
    let mut long = job();
    long.script.duration_ms = 100_000;
    world.double.add_job("plain", long);
    let mut cursor = Cursor::default();
    world.poll(&mut cursor).await;
    world.start("plain", "long");
    world.double.with(|s| {
        s.jobs
            .get_mut(&vec!["plain".to_owned()])
            .unwrap()
            .script
            .duration_ms = 5_000;
    });
    world.start("plain", "short");
    world.double.advance(10_000);
    assert_eq!(world.poll(&mut cursor).await, ["jenkins:ci:plain:2"]);
    assert!(world.poll(&mut cursor).await.is_empty());
    world.double.advance(100_000);
    assert_eq!(world.poll(&mut cursor).await, ["jenkins:ci:plain:1"]);
    assert!(world.poll(&mut cursor).await.is_empty());
}

#[tokio::test]
async fn above_the_threshold_only_the_newest_are_told() {
    let world = world().await;
    world.double.add_job("plain", job());
    let mut cursor = Cursor::default();
    world.poll(&mut cursor).await;
    (0..7).for_each(|key| world.start("plain", &key.to_string()));
    world.double.advance(60_000);
    let polled = poll_once(&world.ci, &cursor).await.unwrap();
    let numbers: Vec<_> = polled
        .events
        .iter()
        .filter_map(|e| e.build_number)
        .collect();
    assert_eq!(numbers, [5, 6, 7]);
    assert_eq!(polled.skipped, [(JobPath::parse("plain").unwrap(), 4)]);
}

#[tokio::test]
async fn a_long_build_behind_very_many_newer_ones_is_told_and_the_others_are_counted() {
    let world = world().await;
    let mut long = job();
    long.script.duration_ms = 1_000_000;
    world.double.add_job("plain", long);
    let mut cursor = Cursor::default();
    world.poll(&mut cursor).await;
    world.start("plain", "long");
    assert!(world.poll(&mut cursor).await.is_empty());
    world.double.with(|s| {
        let job = s.jobs.get_mut(&vec!["plain".to_owned()]).unwrap();
        job.script.duration_ms = 5_000;
    });
    (0..130).for_each(|key| world.start("plain", &key.to_string()));
    world.double.advance(10_000);
    let polled = poll_once(&world.ci, &cursor).await.unwrap();
    // Three are told; 97 that are listed are not, and 30 that are not listed any more.
    let path = JobPath::parse("plain").unwrap();
    assert_eq!(polled.skipped, [(path, 127)]);
    assert_eq!(polled.events.len(), 3);
    cursor = polled.cursor;
    assert!(world.poll(&mut cursor).await.is_empty());
    world.double.advance(1_000_000);
    assert_eq!(world.poll(&mut cursor).await, ["jenkins:ci:plain:1"]);
    assert!(world.poll(&mut cursor).await.is_empty());
    assert!(cursor.jobs.values().all(|job| job.running.is_empty()));
}

#[tokio::test]
async fn a_branch_that_appears_later_is_told_from_its_first_build_on() {
    let world = world().await;
    let mut cursor = Cursor::default();
    world.poll(&mut cursor).await;
    world.double.with(|s| s.now_ms += 3_600_000);
    world.double.add_job(BRANCH, job());
    world.start(BRANCH, "1");
    world.double.advance(60_000);
    assert_eq!(
        world.poll(&mut cursor).await,
        ["jenkins:ci:payments/ledger/feature%2Fx:1"]
    );
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_read_the_next_time() {
    let world = world().await;
    world.double.add_job("plain", job());
    world.double.add_job("other", job());
    let cursor = poll_once(&world.ci, &Cursor::default())
        .await
        .unwrap()
        .cursor;
    world.start("plain", "1");
    world.start("other", "1");
    world.double.advance(60_000);
    world.double.set_faults(vec![Rule {
        matching: "/job/plain/".to_owned(),
        times: 1,
        fault: Fault::Status { status: 500 },
    }]);
    let polled = poll_once(&world.ci, &cursor).await.unwrap();
    assert_eq!((polled.events.len(), polled.failed.len()), (1, 1));
    let again = poll_once(&world.ci, &polled.cursor).await.unwrap();
    assert_eq!(again.events[0].id, "jenkins:ci:plain:1");
    assert_eq!(again.events.len(), 1);
}
