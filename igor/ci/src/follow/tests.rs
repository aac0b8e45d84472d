mod calls;
mod stopping;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jenkins_double::{
    Checkout, Fault, Force, Jenkins as Double, Job, Kind, Options, Parameter, ParameterKind, Rule,
    Script, Tests,
};
use kork::ports::Clock;
use kork_model::Timestamp;

use super::*;
use crate::{Controller, Jenkins, server::Started};

/// Time passes only when somebody waits for it.
struct DoubleClock(Arc<Double>);

#[async_trait]
impl Clock for DoubleClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.with(|state| state.now_ms))
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.0.advance(moment.ms_since(self.now()));
    }
}

/// Runs `act` when so many pauses were made.
type At = (usize, Box<dyn Fn(&Double) -> bool + Send + Sync>);

struct Watcher {
    double: Arc<Double>,
    seen: Mutex<Vec<Context>>,
    pauses: AtomicU64,
    at: Vec<At>,
    called_back: AtomicBool,
    /// What is answered before builds are asked for; then, that it may be.
    permits: Mutex<VecDeque<Permit>>,
}

impl Listener for Watcher {
    async fn progress(&self, context: Context) {
        self.seen.lock().unwrap().push(context);
    }

    async fn may_start(&self, progress: &Progress) -> Permit {
        assert!(progress.may_have_build(), "a build would not be looked for");
        let next = self.permits.lock().unwrap().pop_front();
        next.unwrap_or(Permit::Given)
    }

    async fn is_shared(&self, _progress: &Progress) -> Result<bool, String> {
        Ok(false)
    }

    async fn pause(&self, time: Duration) -> bool {
        let count = self.pauses.fetch_add(1, Ordering::SeqCst) as usize;
        assert!(count < 5_000, "it waits without an end");
        for (_, act) in self.at.iter().filter(|(when, _)| *when == count) {
            if !act(&self.double) {
                self.called_back.store(true, Ordering::SeqCst);
            }
        }
        self.double.advance(time.as_millis() as u64);
        !self.called_back.load(Ordering::SeqCst)
    }

    fn now_ms(&self) -> u64 {
        self.double.with(|state| state.now_ms)
    }
}

struct World {
    double: Arc<Double>,
    ci: Jenkins,
}

const JOB: &str = "shop/checkout";

async fn world_of(options: Options, change: impl FnOnce(&mut Controller)) -> World {
    let double = Arc::new(Double::start(options).await.unwrap());
    let mut controller = Controller {
        name: "ci".to_owned(),
        address: double.url().to_owned(),
        username: "igor".to_owned(),
        password: kork::service::config::Secret::new("11aa22bb"),
        ..Controller::default()
    };
    change(&mut controller);
    let ci = Jenkins::new(&controller, Arc::new(DoubleClock(Arc::clone(&double)))).unwrap();
    World { double, ci }
}

async fn world(job: Job) -> World {
    let world = world_of(Options::default(), |_| {}).await;
    world.double.add_job(JOB, job);
    world
}

fn unique() -> Job {
    Job::pipeline().with_parameters(&[
        Parameter::choice("ENV", &["staging", "production"]),
        Parameter::text("SPINNAKER_EXECUTION_ID", ""),
    ])
}

fn request() -> BuildRequest {
    BuildRequest::new(JOB, "01JEXEC-1")
}

impl World {
    fn watcher(&self, at: Vec<At>) -> Watcher {
        Watcher {
            double: Arc::clone(&self.double),
            seen: Mutex::default(),
            pauses: AtomicU64::new(0),
            at,
            called_back: AtomicBool::new(false),
            permits: Mutex::default(),
        }
    }

    async fn follow(&self, request: &BuildRequest, at: Vec<At>) -> (BuildOutcome, Vec<Context>) {
        let watcher = self.watcher(at);
        let outcome = run(&self.ci, request, Progress::default(), &watcher).await;
        (outcome, watcher.seen.into_inner().unwrap())
    }

    fn count(&self, part: &str) -> usize {
        self.double
            .calls()
            .iter()
            .filter(|call| call.contains(part))
            .count()
    }
}

fn at(pause: usize, act: impl Fn(&Double) + Send + Sync + 'static) -> At {
    (
        pause,
        Box::new(move |double| {
            act(double);
            true
        }),
    )
}

fn called_back_at(pause: usize) -> At {
    (pause, Box::new(|_| false))
}

fn fault(matching: &str, times: u32, fault: Fault) -> Vec<Rule> {
    vec![Rule {
        matching: matching.to_owned(),
        times,
        fault,
    }]
}

#[tokio::test]
async fn a_build_is_started_followed_and_handed_on() {
    let script = Script {
        artifacts: [(
            "out/build.properties".to_owned(),
            b"VERSION=1.4.2\nbuildInfo=evil".to_vec(),
        )]
        .into(),
        checkouts: vec![Checkout {
            remote: "https://git.acme.example/shop/checkout.git".to_owned(),
            branch: "origin/feature/x".to_owned(),
            commit: "3f0c9d7a".to_owned(),
        }],
        tests: Some(Tests {
            total: 4,
            failed: 1,
            skipped: 0,
        }),
        console: "x".repeat(100_000) + "Finished: SUCCESS",
        ..Script::default()
    };
    let world = world(unique().with_script(script)).await;
    let mut request = request();
    request
        .parameters
        .insert("ENV".to_owned(), "production".to_owned());
    request.property_file = Some("build.properties".to_owned());
    let (outcome, seen) = world.follow(&request, vec![]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(outcome.outputs["propertyFileContents"]["VERSION"], "1.4.2");
    assert_eq!(outcome.context["VERSION"], "1.4.2");
    let info = &outcome.outputs["buildInfo"];
    assert_eq!(
        (&info["result"], &info["building"], &info["number"]),
        (&json!("SUCCESS"), &json!(false), &json!(1))
    );
    assert_eq!(
        (&info["scm"][0]["branch"], &info["scm"][0]["message"]),
        (&json!("feature/x"), &json!("round half even"))
    );
    assert_eq!(info["testResults"][0]["failCount"], 1);
    assert_eq!(
        outcome.outputs["artifacts"][0]["relativePath"],
        "out/build.properties"
    );
    assert_eq!(outcome.context["buildNumber"], 1);
    let end = outcome.context["consoleTail"].as_str().unwrap();
    assert!(end.ends_with("Finished: SUCCESS"), "{end}");
    let build = &world.double.builds(JOB)[0];
    assert_eq!(build.parameters["ENV"], "production");
    assert_eq!(build.parameters["SPINNAKER_EXECUTION_ID"], "01JEXEC-1");
    let tails: Vec<_> = seen
        .iter()
        .filter_map(|c| c.get("consoleTail")?.as_str())
        .collect();
    assert!(
        tails.iter().all(|t| t.len() <= LOG_TAIL_BYTES)
            && tails.iter().any(|t| t.len() == LOG_TAIL_BYTES)
    );
    assert!(seen.iter().any(|c| {
        c.get("queueReason")
            .is_some_and(|r| r.as_str().unwrap().contains("quiet period"))
    }));
    assert_eq!(
        seen[0].get("queuedBuild"),
        None,
        "it is kept before it is asked for"
    );
}

#[tokio::test]
async fn results_become_statuses() {
    for (result, lenient, status) in [
        ("SUCCESS", false, Status::Succeeded),
        ("UNSTABLE", false, Status::Terminal),
        ("UNSTABLE", true, Status::Succeeded),
        ("FAILURE", true, Status::Terminal),
        ("NOT_BUILT", true, Status::Terminal),
        ("ABORTED", true, Status::Canceled),
    ] {
        let script = Script {
            result: result.to_owned(),
            ..Script::default()
        };
        let world = world(Job::pipeline().with_script(script)).await;
        let mut request = request();
        request.mark_unstable_as_successful = lenient;
        let (outcome, _) = world.follow(&request, vec![]).await;
        assert_eq!(outcome.status, status, "{result} {lenient}");
        assert_eq!(
            outcome.error.is_none(),
            status == Status::Succeeded,
            "{result}"
        );
        assert_eq!(outcome.outputs["buildInfo"]["result"], result);
    }
}

#[tokio::test]
async fn a_result_that_is_set_early_does_not_end_it() {
    let script = Script {
        result_early_ms: 50_000,
        finalize_ms: 20_000,
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(outcome.status, Status::Succeeded);
    assert!(world.double.builds(JOB)[0].finalized);
    assert_eq!(outcome.outputs["buildInfo"]["duration"], 60_000);
}

#[tokio::test]
async fn an_equal_queued_item_is_shared() {
    let world = world(Job::pipeline()).await;
    let first = world
        .double
        .with(|s| s.trigger(&["shop".to_owned(), "checkout".to_owned()], None, None))
        .unwrap();
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(outcome.status, Status::Succeeded);
    assert_eq!(
        (
            &outcome.context["queuedBuild"],
            &outcome.context["sharedBuild"]
        ),
        (&json!(first.item), &json!(true))
    );
    assert_eq!(world.double.builds(JOB).len(), 1);
}

#[tokio::test]
async fn two_stages_with_a_unique_parameter_have_builds_of_their_own() {
    let world = world(unique()).await;
    let second = BuildRequest::new(JOB, "01JEXEC-2");
    let first = request();
    let (one, two) = tokio::join!(world.follow(&first, vec![]), world.follow(&second, vec![]));
    assert_eq!(world.double.builds(JOB).len(), 2);
    assert_ne!(one.0.context["buildNumber"], two.0.context["buildNumber"]);
    assert!(!one.0.context.contains_key("sharedBuild"));
}

#[tokio::test]
async fn a_worker_that_was_away_for_six_minutes_finds_its_build() {
    // Without the unique parameter only the id of the queue item leads to the build.
    for job in [unique(), Job::pipeline()] {
        let script = Script {
            duration_ms: 900_000,
            ..Script::default()
        };
        let world = world(job.with_script(script)).await;
        let watcher = world.watcher(vec![]);
        let prepared = world.ci.prepare(&request()).await.unwrap();
        let started = world.ci.start(&request(), &prepared).await.unwrap();
        let mut progress = Progress {
            prepared: Some(prepared),
            since_ms: watcher.now_ms(),
            ..Progress::default()
        };
        progress.started(started);
        let kept = progress.shown();
        world.double.advance(360_000);
        world
            .double
            .with(|s| assert!(s.items.is_empty(), "Jenkins forgot the item"));
        let outcome = run(&world.ci, &request(), Progress::of(&kept), &watcher).await;
        let builds = world.double.builds(JOB).len();
        assert_eq!((outcome.status, builds), (Status::Succeeded, 1));
    }
}

#[tokio::test]
async fn an_earlier_build_with_the_same_parameters_is_not_taken_for_ours() {
    let world = world(Job::pipeline()).await;
    assert_eq!(
        world.follow(&request(), vec![]).await.0.status,
        Status::Succeeded
    );
    world
        .double
        .set_faults(fault("/build", 1, Fault::DropRequest));
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(outcome.status, Status::Succeeded);
    assert_eq!(outcome.context["buildNumber"], 2);
}

#[tokio::test]
async fn a_build_that_is_aborted_in_jenkins_ends_the_stage() {
    let world = world(Job::pipeline()).await;
    let abort = at(6, |double| {
        double.with(|s| {
            assert!(s.stop(&["shop".to_owned(), "checkout".to_owned()], 1, Force::Stop));
        });
    });
    let (outcome, _) = world.follow(&request(), vec![abort]).await;
    assert_eq!(outcome.status, Status::Canceled);
}

#[tokio::test]
async fn an_unanswered_request_is_looked_for_before_it_is_repeated() {
    for (job, declared) in [(unique(), true), (Job::pipeline(), false)] {
        for (lost, calls) in [
            (Fault::DropReply, 1),
            (Fault::DropRequest, 2),
            (Fault::Status { status: 504 }, 2),
        ] {
            let world = world(job.clone()).await;
            world.double.set_faults(fault("/build", 1, lost.clone()));
            let (outcome, _) = world.follow(&request(), vec![]).await;
            assert_eq!(outcome.status, Status::Succeeded, "{lost:?} {declared}");
            assert_eq!(world.double.builds(JOB).len(), 1, "{lost:?} {declared}");
            assert_eq!(
                world.count("POST /job/shop/job/checkout/build"),
                calls,
                "{lost:?} {declared}"
            );
        }
    }
}

#[tokio::test]
async fn an_unanswered_request_is_found_though_not_all_of_it_is_shown() {
    let job = Job::pipeline().with_parameters(&[
        Parameter::new(ParameterKind::Password, "TOKEN", ""),
        Parameter::new(ParameterKind::Trimmed, "NOTE", ""),
        Parameter::new(ParameterKind::Boolean, "DRY", "false"),
        Parameter::new(ParameterKind::Run, "BASE", ""),
    ]);
    for quiet_ms in [0, 60_000] {
        let world = world(Job {
            quiet_ms,
            ..job.clone()
        })
        .await;
        world
            .double
            .set_faults(fault("/build", 1, Fault::DropReply));
        let mut request = request();
        let given = [
            ("TOKEN", "hush"),
            ("NOTE", " spaced "),
            ("DRY", "TRUE"),
            ("BASE", "shop#12"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        request.parameters = given.into();
        let (outcome, _) = world.follow(&request, vec![]).await;
        assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
        assert_eq!(world.double.builds(JOB).len(), 1, "{quiet_ms}");
        assert_eq!(world.count("POST /job/shop"), 1, "{quiet_ms}");
    }
}

#[tokio::test]
async fn an_unanswered_request_that_is_a_build_by_now_is_found() {
    let mut job = unique();
    job.quiet_ms = 0;
    let world = world(job).await;
    world
        .double
        .set_faults(fault("/build", 1, Fault::DropReply));
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(
        (outcome.status, world.double.builds(JOB).len()),
        (Status::Succeeded, 1)
    );
    assert!(!outcome.context.contains_key("sharedBuild"));
}

#[tokio::test]
async fn an_unanswered_request_that_takes_effect_late_is_not_repeated() {
    let mut job = unique();
    job.quiet_ms = 0;
    let world = world(job).await;
    world
        .double
        .set_faults(fault("/build", 1, Fault::DropRequest));
    let late = at(2, |double| {
        let given = [("SPINNAKER_EXECUTION_ID".to_owned(), "01JEXEC-1".to_owned())];
        let path = JOB.split('/').map(str::to_owned).collect::<Vec<_>>();
        double
            .with(|s| s.trigger(&path, Some(&given.into()), Some(0)))
            .unwrap();
    });
    let (outcome, _) = world.follow(&request(), vec![late]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(world.double.builds(JOB).len(), 1);
}

#[tokio::test]
async fn a_request_that_timed_out_is_not_sent_again() {
    let world = world_of(Options::default(), |c| c.trigger_timeout_ms = 50).await;
    world.double.add_job(JOB, unique());
    world
        .double
        .set_faults(fault("/build", 1, Fault::Slow { ms: 500 }));
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(
        (outcome.status, world.double.builds(JOB).len()),
        (Status::Succeeded, 1)
    );
    assert_eq!(world.count("POST /job/shop"), 1);
}

#[tokio::test]
async fn nothing_is_asked_for_before_it_is_kept_that_it_will_be() {
    let world = world(unique()).await;
    let watcher = world.watcher(vec![]);
    let away = Permit::Withheld("the store is away".to_owned());
    *watcher.permits.lock().unwrap() = [away.clone(), away].into();
    let outcome = run(&world.ci, &request(), Progress::default(), &watcher).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(world.double.builds(JOB).len(), 1);
    let seen = watcher.seen.into_inner().unwrap();
    let told = seen.iter().filter_map(|c| c.get("ciError")?.as_str());
    assert_eq!(told.filter(|t| t.contains("the store is away")).count(), 2);
}

#[tokio::test]
async fn a_worker_killed_anywhere_never_starts_a_second_build() {
    let world = world(unique()).await;
    let (_, seen) = world.follow(&request(), vec![]).await;
    let known = seen.len();
    assert!(known > 5);
    for kept in &seen {
        let watcher = world.watcher(vec![]);
        let outcome = run(&world.ci, &request(), Progress::of(kept), &watcher).await;
        assert_eq!(outcome.status, Status::Succeeded);
        assert_eq!(world.double.builds(JOB).len(), 1, "{kept:?}");
    }
}

#[tokio::test]
async fn a_branch_with_a_slash_works_everywhere() {
    let world = world_of(Options::default(), |_| {}).await;
    let script = Script {
        artifacts: [("a b/ü%.properties".to_owned(), b"K=1".to_vec())].into(),
        checkouts: vec![Checkout {
            remote: "https://h/p/l.git".to_owned(),
            branch: "refs/remotes/origin/feature/x".to_owned(),
            commit: "aa".to_owned(),
        }],
        ..Script::default()
    };
    world
        .double
        .add_job("payments/ledger", Job::folder(Kind::Multibranch));
    world.double.add_job(
        "payments/ledger/feature%2Fx",
        Job::pipeline().with_script(script),
    );
    let mut request = BuildRequest::new("payments/job/ledger/job/feature%2Fx", "k");
    request.property_file = Some("ü%.properties".to_owned());
    let (outcome, seen) = world.follow(&request, vec![]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(
        outcome.outputs["buildInfo"]["scm"][0]["branch"],
        "feature/x"
    );
    assert_eq!(outcome.outputs["propertyFileContents"]["K"], "1");
    assert!(seen.iter().any(|c| {
        c.get("consoleTail")
            .is_some_and(|t| !t.as_str().unwrap().is_empty())
    }));
}

#[tokio::test]
async fn crumb_and_cookie_go_together_and_survive_a_restart() {
    for csrf in [true, false] {
        let world = world_of(Options::default(), |c| {
            c.password = kork::service::config::Secret::new("secret");
            c.csrf = csrf;
        })
        .await;
        world.double.add_job(JOB, unique());
        for run in 0..3 {
            let request = BuildRequest::new(JOB, &format!("k{run}"));
            let (outcome, _) = world.follow(&request, vec![]).await;
            assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
            if run == 1 {
                world.double.restart(0);
            }
        }
        assert_eq!(
            world.count("crumbIssuer"),
            2,
            "once, and once after the restart"
        );
    }
}

#[tokio::test]
async fn where_csrf_protection_is_off_no_crumb_is_needed() {
    let options = Options {
        csrf: false,
        ..Options::default()
    };
    let world = world_of(options, |c| {
        c.password = kork::service::config::Secret::new("secret");
        c.csrf = true;
    })
    .await;
    world.double.add_job(JOB, Job::pipeline());
    assert_eq!(
        world.follow(&request(), vec![]).await.0.status,
        Status::Succeeded
    );
}

#[tokio::test]
async fn three_minutes_of_503_do_not_fail_the_stage() {
    let script = Script {
        duration_ms: 600_000,
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let (outcome, seen) = world
        .follow(&request(), vec![at(8, |double| double.restart(180_000))])
        .await;
    assert_eq!(outcome.status, Status::Succeeded);
    let told = seen
        .iter()
        .filter_map(|c| c.get("ciError")?.as_str())
        .collect::<Vec<_>>();
    assert!(
        told.iter().any(|t| t.contains("getting ready to work")),
        "{told:?}"
    );
    assert!(told.len() < 30, "it backs off: {}", told.len());
    let last = |key: &str| seen.iter().rev().find_map(|c| c.get(key));
    assert_eq!(last("ciError"), Some(&Value::Null), "it is over");
    assert_eq!(outcome.context["ciError"], Value::Null);
}

#[tokio::test]
async fn credentials_that_are_exchanged_slowly_do_not_fail_a_running_stage() {
    let script = Script {
        duration_ms: 600_000,
        ..Script::default()
    };
    for (errors, status) in [(10, Status::Succeeded), (100, Status::Terminal)] {
        let world = world(Job::pipeline().with_script(script.clone())).await;
        let denied = fault("builds", errors, Fault::Status { status: 401 });
        let deny = at(8, move |double| double.set_faults(denied.clone()));
        let (outcome, seen) = world.follow(&request(), vec![deny]).await;
        assert_eq!(outcome.status, status, "{errors} {:?}", outcome.error);
        let told = seen.iter().filter_map(|c| c.get("ciError")?.as_str());
        let told: Vec<_> = told.collect();
        assert!(
            told.len() > 8 && told.iter().all(|t| t.contains("401")),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn connections_that_are_refused_do_not_fail_the_stage() {
    let script = Script {
        duration_ms: 600_000,
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let away = at(8, |double| double.set_away(true));
    let back = at(20, |double| double.set_away(false));
    let (outcome, seen) = world.follow(&request(), vec![away, back]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    let mut told = seen.iter().filter_map(|c| c.get("ciError")?.as_str());
    assert!(told.any(|text| text.contains("no connection")));
}

#[tokio::test]
async fn jenkins_is_away_when_the_build_is_asked_for() {
    let world = world(Job::pipeline()).await;
    world.double.restart(180_000);
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(
        (outcome.status, world.double.builds(JOB).len()),
        (Status::Succeeded, 1)
    );
}

#[tokio::test]
async fn property_files_fail_in_three_ways() {
    let mut errors = Vec::new();
    for (file, bytes) in [
        ("other.json", "{}"),
        ("build.json", " "),
        ("build.json", "{"),
    ] {
        let script = Script {
            artifacts: [(format!("out/{file}"), bytes.as_bytes().to_vec())].into(),
            ..Script::default()
        };
        let world = world(Job::pipeline().with_script(script)).await;
        let mut request = request();
        request.property_file = Some("build.json".to_owned());
        let (outcome, _) = world.follow(&request, vec![]).await;
        assert_eq!(outcome.status, Status::Terminal);
        let error = outcome.error.unwrap();
        assert!(error.contains(&format!("out/{file}")), "{error}");
        assert_eq!(outcome.outputs["buildInfo"]["result"], "SUCCESS");
        errors.push(error);
    }
    for (error, word) in errors
        .iter()
        .zip(["did not archive", "is empty", "cannot be read"])
    {
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn of_very_many_artifacts_the_property_file_is_found_and_some_are_shown() {
    let name = |n: usize| format!("{}/{n:04}.txt", "long-name-of-a-folder/".repeat(20));
    let mut artifacts: BTreeMap<_, _> = (0..600).map(|n| (name(n), Vec::new())).collect();
    artifacts.insert("zz/build.properties".to_owned(), b"VERSION=1".to_vec());
    let script = Script {
        artifacts,
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let mut request = request();
    request.property_file = Some("build.properties".to_owned());
    let (outcome, _) = world.follow(&request, vec![]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(outcome.outputs["VERSION"], "1");
    let cut = outcome.context["resultCut"].as_str().unwrap();
    assert!(cut.contains("of the 500 artifacts"), "{cut}");
    let bytes = json!([outcome.context, outcome.outputs]).to_string().len();
    assert!(bytes <= request.result_bytes_max, "{bytes}");
}

#[tokio::test]
async fn properties_that_no_stage_can_hold_fail_it_with_the_reason() {
    let large = format!("A={}", "x".repeat(250_000));
    let script = Script {
        artifacts: [("p.properties".to_owned(), large.into_bytes())].into(),
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let mut request = request();
    request.property_file = Some("p.properties".to_owned());
    let (outcome, _) = world.follow(&request, vec![]).await;
    assert_eq!(outcome.status, Status::Terminal);
    let error = outcome.error.unwrap();
    assert!(error.contains("more than a stage may hold"), "{error}");
    assert_eq!(outcome.outputs["buildInfo"]["result"], "SUCCESS");
}

#[tokio::test]
async fn a_property_file_is_asked_for_again_and_also_after_a_failure() {
    let script = Script {
        result: "FAILURE".to_owned(),
        artifacts: [("p.properties".to_owned(), b"A=1".to_vec())].into(),
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    world
        .double
        .set_faults(fault("/artifact/", 4, Fault::Status { status: 404 }));
    let mut request = request();
    request.property_file = Some("p.properties".to_owned());
    let (outcome, _) = world.follow(&request, vec![]).await;
    assert_eq!(outcome.status, Status::Terminal);
    assert_eq!(outcome.outputs["propertyFileContents"]["A"], "1");
    assert!(outcome.error.unwrap().contains("FAILURE"));
}

#[tokio::test]
async fn what_cannot_be_built_ends_at_once_with_the_reason() {
    let disabled = Job {
        disabled: true,
        ..Job::pipeline()
    };
    let vetoed = Job {
        vetoed: true,
        ..Job::pipeline()
    };
    let hidden = Job {
        hidden: true,
        ..Job::pipeline()
    };
    for (job, word) in [
        (disabled, "disabled"),
        (vetoed, "vetoed"),
        (hidden, "was not found"),
        (Job::folder(Kind::Folder), "folder"),
    ] {
        let world = world(job).await;
        let (outcome, _) = world.follow(&request(), vec![]).await;
        assert_eq!(outcome.status, Status::Terminal);
        assert!(
            outcome.error.as_ref().unwrap().contains(word),
            "{outcome:?}"
        );
    }
    let world = world(unique()).await;
    for (name, value, word) in [
        ("NOPE", "1", "ENV, SPINNAKER_EXECUTION_ID"),
        ("ENV", "moon", "staging, production"),
    ] {
        let mut request = request();
        request.parameters.insert(name.to_owned(), value.to_owned());
        let (outcome, _) = world.follow(&request, vec![]).await;
        assert!(
            outcome.error.as_ref().unwrap().contains(word),
            "{outcome:?}"
        );
    }
    assert_eq!(world.count("POST"), 0);
}

#[tokio::test]
async fn a_secret_that_is_rotated_in_its_file_is_used_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("token")).unwrap();
    std::fs::write(&path, "wrong").unwrap();
    let world = world_of(Options::default(), |c| {
        c.password = kork::service::config::Secret::default();
        c.password_file = Some(path.clone());
    })
    .await;
    world.double.add_job(JOB, Job::pipeline());
    let right = at(1, move |_| std::fs::write(&path, "11aa22bb\n").unwrap());
    let (outcome, seen) = world.follow(&request(), vec![right]).await;
    assert_eq!(outcome.status, Status::Succeeded);
    assert!(seen.iter().any(|c| {
        c.get("ciError")
            .is_some_and(|e| e.as_str().unwrap().contains("401"))
    }));
}

#[tokio::test]
async fn a_stage_that_does_not_wait_ends_when_the_build_began() {
    let world = world(Job::pipeline()).await;
    let mut request = request();
    request.wait_for_completion = false;
    let (outcome, _) = world.follow(&request, vec![]).await;
    assert_eq!(
        (outcome.status, &outcome.outputs["buildInfo"]["building"]),
        (Status::Succeeded, &json!(true))
    );
}
