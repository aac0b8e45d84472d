//! The calls of a client: how many there are, and what they do with odd answers.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_builds_share_few_calls() {
    let options = Options {
        latency_ms: 2,
        ..Options::default()
    };
    let world = world_of(options, |_| {}).await;
    let script = Script {
        duration_ms: 600_000,
        ..Script::default()
    };
    let path = |job: usize| vec![format!("job{job}")];
    for job in 0..10 {
        world
            .double
            .add_job(&format!("job{job}"), unique().with_script(script.clone()));
        for build in 0..50 {
            let unique = [("SPINNAKER_EXECUTION_ID".to_owned(), build.to_string())].into();
            world
                .double
                .with(|s| s.trigger(&path(job), Some(&unique), Some(0)))
                .unwrap();
        }
    }
    let looks = (0..500u64).map(|n| {
        let ci = &world.ci;
        async move {
            ci.watch(&format!("job{}", n % 10), n / 10 + 1, 1_000)
                .await
                .unwrap()
                .number
        }
    });
    let numbers = futures_util::future::join_all(looks).await;
    assert_eq!(numbers.len(), 500);
    let calls = world.count("GET");
    assert!(calls <= 20, "{calls} calls for 500 builds of 10 jobs");
    let all = (0..500u64).map(|n| world.ci.build("job0", n % 50 + 1));
    for build in futures_util::future::join_all(all).await {
        build.unwrap();
    }
    assert_eq!(world.double.stats().simultaneous_max, 8);
}

#[tokio::test]
async fn builds_beyond_the_list_of_the_newest_are_still_followed() {
    let script = Script {
        duration_ms: 600_000,
        ..Script::default()
    };
    let world = world(unique().with_script(script)).await;
    for build in 0..130 {
        let unique = [("SPINNAKER_EXECUTION_ID".to_owned(), build.to_string())].into();
        world
            .double
            .with(|s| {
                s.trigger(
                    &["shop".to_owned(), "checkout".to_owned()],
                    Some(&unique),
                    Some(0),
                )
            })
            .unwrap();
    }
    for number in [1, 30, 31, 130] {
        assert_eq!(
            world.ci.watch(JOB, number, 1_000).await.unwrap().number,
            number
        );
    }
    assert!(
        world
            .ci
            .watch(JOB, 131, 1_000)
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn a_failed_look_is_told_to_all_who_asked() {
    let world = world(Job::pipeline()).await;
    world
        .double
        .with(|s| s.trigger(&["shop".to_owned(), "checkout".to_owned()], None, Some(0)))
        .unwrap();
    world
        .double
        .set_faults(fault("builds", 1, Fault::Status { status: 500 }));
    let looks = (0..50).map(|_| world.ci.watch(JOB, 1, 1_000));
    let failed = futures_util::future::join_all(looks).await;
    assert!(
        failed
            .iter()
            .all(|f| f.as_ref().is_err_and(CiError::is_passing))
    );
    assert_eq!(world.count("builds"), 1);
    assert_eq!(
        world.ci.breaker(),
        crate::breaker::BreakerState::Closed { failures: 1 }
    );
    world.double.advance(1_000);
    assert!(world.ci.watch(JOB, 1, 1_000).await.is_ok());
}

#[tokio::test]
async fn what_the_user_did_wrong_does_not_open_the_breaker() {
    let world = world(Job::pipeline()).await;
    for _ in 0..10 {
        assert!(world.ci.build(JOB, 77).await.unwrap_err().is_not_found());
    }
    assert_eq!(
        world.ci.breaker(),
        crate::breaker::BreakerState::Closed { failures: 0 }
    );
    world.double.restart(5_000);
    for _ in 0..10 {
        assert!(world.ci.build(JOB, 77).await.unwrap_err().is_passing());
    }
    assert!(matches!(
        world.ci.breaker(),
        crate::breaker::BreakerState::Open { .. }
    ));
    let before = world.double.stats().calls;
    assert!(world.ci.build(JOB, 77).await.is_err());
    assert_eq!(
        world.double.stats().calls,
        before,
        "an open breaker lets nothing out"
    );
    world.double.advance(10_000);
    assert!(world.ci.build(JOB, 77).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_log_is_read_page_by_page() {
    let script = Script {
        console: "zeile ü\n".repeat(200_000),
        ..Script::default()
    };
    let length = script.console.len() as u64;
    let world = world(Job::pipeline().with_script(script)).await;
    let (outcome, _) = world.follow(&request(), vec![]).await;
    assert_eq!(outcome.status, Status::Succeeded);
    let mut at = 0;
    let mut pages = 0;
    loop {
        let page = world.ci.log(JOB, 1, LogStart::At(at)).await.unwrap();
        assert!(page.text.len() <= 1_100_000);
        (at, pages) = (page.next, pages + 1);
        if !page.more {
            break;
        }
    }
    assert_eq!((at, pages), (length, 2));
    world
        .double
        .set_faults(fault("start=-", 1, Fault::Status { status: 500 }));
    let tail = world.ci.log(JOB, 1, LogStart::Tail(100)).await.unwrap();
    assert!(
        tail.text.len() <= 103 && tail.text.ends_with("zeile ü\n"),
        "{tail:?}"
    );
    let calls = world.count("progressiveText");
    let again = world.ci.log(JOB, 1, LogStart::Tail(100)).await.unwrap();
    assert_eq!(again.text, tail.text);
    assert_eq!(
        world.count("progressiveText"),
        calls + 2,
        "it is known by now"
    );
    let closed = crate::breaker::BreakerState::Closed { failures: 0 };
    assert_eq!(world.ci.breaker(), closed);
}

#[tokio::test]
async fn answers_that_are_too_large_or_no_json_are_refused() {
    let script = Script {
        artifacts: [("big".to_owned(), vec![b'x'; 2 * 1024 * 1024])].into(),
        ..Script::default()
    };
    let world = world(Job::pipeline().with_script(script)).await;
    let mut request = request();
    request.property_file = Some("big".to_owned());
    let (outcome, _) = world.follow(&request, vec![]).await;
    assert_eq!(outcome.status, Status::Terminal);
    assert!(outcome.error.unwrap().contains("more than 1048576 bytes"));
    let job = crate::JobPath::parse(JOB).unwrap();
    for path in ["", "../x", "a//b", "a/./b"] {
        let refused = world.ci.artifact(&job, 1, path, 10).await.unwrap_err();
        assert!(refused.to_string().contains("is not the path"), "{path}");
    }
}

#[tokio::test]
async fn items_that_left_the_queue_do_not_open_the_breaker() {
    let mut job = unique();
    job.quiet_ms = 0;
    let world = world(job).await;
    let prepared = world.ci.prepare(&request()).await.unwrap();
    let started = world.ci.start(&request(), &prepared).await.unwrap();
    let Started::Queued { item, .. } = started else {
        panic!("{started:?}")
    };
    // One more failure, and nothing goes out for a while.
    let away = fault("/api/json", 4, Fault::Status { status: 503 });
    world.double.set_faults(away);
    for _ in 0..4 {
        assert!(world.ci.build(JOB, 1).await.unwrap_err().is_passing());
    }
    // It is a build by now, which only the item is known of.
    world
        .ci
        .stop(&BuildRequest::new(JOB, "key"), Some(item), None)
        .await
        .unwrap();
    assert!(world.double.builds(JOB).iter().all(|build| build.aborted));
    assert_eq!(world.count("cancelItem"), 1);
}
