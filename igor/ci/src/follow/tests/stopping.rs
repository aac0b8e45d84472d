//! What nobody waits for any more is stopped, and nothing else.

use super::*;

#[tokio::test]
async fn an_item_cancelled_in_jenkins_ends_the_stage_at_the_next_look() {
    let world = world(Job::pipeline()).await;
    let cancel = at(0, |double| {
        double.with(|s| {
            let id = *s.items.keys().next().unwrap();
            s.cancel_item(id);
        });
    });
    let watcher = world.watcher(vec![cancel]);
    let outcome = run(&world.ci, &request(), Progress::default(), &watcher).await;
    assert_eq!(outcome.status, Status::Canceled);
    assert_eq!(watcher.pauses.load(Ordering::SeqCst), 1);
    assert!(
        outcome
            .error
            .unwrap()
            .contains("cancelled on the CI server")
    );
}

#[tokio::test]
async fn called_back_while_queued_cancels_the_item() {
    let world = world(Job::pipeline()).await;
    let (outcome, _) = world.follow(&request(), vec![called_back_at(0)]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    world.double.advance(60_000);
    assert!(world.double.builds(JOB).is_empty());
}

#[tokio::test]
async fn called_back_while_the_item_becomes_a_build_stops_the_build() {
    for uncancellable in [false, true] {
        let mut job = Job::pipeline();
        job.quiet_ms = 1_500;
        let world = world(job).await;
        world.double.with(|s| s.uncancellable = uncancellable);
        // The item leaves the queue during the pause at whose end the work is called back.
        let (outcome, _) = world.follow(&request(), vec![called_back_at(0)]).await;
        assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
        let builds = world.double.builds(JOB);
        assert_eq!(
            (builds.len(), builds[0].aborted),
            (1, true),
            "no orphan stays"
        );
        assert_eq!(world.count("cancelItem"), 1);
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_cancelled_is_stopped_as_a_build() {
    let world = world(Job::pipeline()).await;
    world.double.with(|s| s.uncancellable = true);
    let (outcome, _) = world.follow(&request(), vec![called_back_at(0)]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    assert!(world.double.builds(JOB)[0].aborted);
}

#[tokio::test]
async fn a_build_is_stopped_as_hard_as_it_takes() {
    for force in [Force::Stop, Force::Term, Force::Kill] {
        let script = Script {
            stopped_by: force,
            duration_ms: 600_000,
            // A test has failed: the result stands, and the build goes on.
            result_early_ms: 599_000,
            result: "UNSTABLE".to_owned(),
            ..Script::default()
        };
        let world = world(Job::pipeline().with_script(script)).await;
        let (outcome, _) = world.follow(&request(), vec![called_back_at(20)]).await;
        assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
        assert!(world.double.builds(JOB)[0].aborted, "{force:?}");
    }
}

#[tokio::test]
async fn called_back_after_an_unanswered_request_leaves_no_orphan() {
    let world = world(unique()).await;
    world
        .double
        .set_faults(fault("/build", 1, Fault::DropReply));
    let (outcome, _) = world.follow(&request(), vec![called_back_at(0)]).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    world.double.advance(60_000);
    assert!(world.double.builds(JOB).is_empty());
}

#[tokio::test]
async fn called_back_while_jenkins_is_away_starts_nothing_when_it_is_back() {
    let world = world(unique()).await;
    world
        .double
        .set_faults(fault("/build", 3, Fault::Status { status: 503 }));
    let watcher = world.watcher(vec![]);
    // The withdrawal is heard of only by the question before the second try.
    *watcher.permits.lock().unwrap() = [Permit::Given, Permit::CalledBack].into();
    let outcome = run(&world.ci, &request(), Progress::default(), &watcher).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    assert!(world.double.builds(JOB).is_empty());
    assert_eq!(world.count("POST /job/shop"), 1);
}

#[tokio::test]
async fn what_an_unanswered_request_left_is_stopped_by_who_only_hears_of_it() {
    let world = world(unique()).await;
    let prepared = world.ci.prepare(&request()).await.unwrap();
    world.ci.start(&request(), &prepared).await.unwrap();
    let mut progress = Progress {
        prepared: Some(prepared),
        ..Progress::default()
    };
    // Cancelling is refused at first.
    world
        .double
        .set_faults(fault("cancelItem", 2, Fault::Status { status: 403 }));
    stop(&world.ci, &request(), &mut progress).await.unwrap();
    world.double.advance(60_000);
    assert!(world.double.builds(JOB).iter().all(|build| build.aborted));
    assert!(
        world
            .double
            .with(|s| s.items.values().all(|i| !i.is_queued()))
    );
}

#[tokio::test]
async fn a_build_without_an_end_is_given_up_and_stopped() {
    let script = Script {
        duration_ms: u64::MAX / 4,
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let mut request = request();
    request.follow_ms_max = 600_000;
    let (outcome, _) = world.follow(&request, vec![]).await;
    assert_eq!(outcome.status, Status::Terminal);
    assert!(world.double.builds(JOB)[0].aborted);
}

#[tokio::test]
async fn called_back_while_jenkins_restarts_stops_the_build_when_it_is_back() {
    let script = Script {
        duration_ms: 3_600_000,
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let away = at(8, |double| double.restart(120_000));
    let (outcome, _) = world
        .follow(&request(), vec![away, called_back_at(9)])
        .await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    assert!(world.double.builds(JOB)[0].aborted);
}

#[tokio::test]
async fn a_shared_build_goes_on_when_one_of_its_stages_is_called_back() {
    for pauses in [0, 5] {
        let world = world(Job::pipeline()).await;
        let path = ["shop".to_owned(), "checkout".to_owned()];
        world.double.with(|s| s.trigger(&path, None, None)).unwrap();
        let (outcome, _) = world.follow(&request(), vec![called_back_at(pauses)]).await;
        assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
        world.double.advance(100_000);
        let builds = world.double.builds(JOB);
        assert_eq!((builds.len(), builds[0].aborted), (1, false));
    }
}
