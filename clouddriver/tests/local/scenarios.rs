//! What must hold for server groups and orders.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use kork_model::{
    Status,
    api::clouddriver::{GetConsole, ListClusters, ListCredentials, PlanOperation, ServerGroupLogs},
};
use serde_json::json;

use crate::harness::{Suite, config, eventually, get, http, instances_of, sample};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_serves_and_can_be_seen() {
    let suite = Suite::start().await;
    let payload = sample(
        "one",
        &json!({"stack": "prod", "capacity": {"desired": "2"}, "env": {"SECRET": "x1y2"}}),
    );
    let outputs = suite.must("createServerGroup", &payload).await;
    assert_eq!(outputs["serverGroup"], "shop-prod-v000");
    assert_eq!(
        outputs["deploy.server.groups"],
        json!({"local": ["shop-prod-v000"]})
    );
    let address = outputs["loadBalancers"][0]["address"].as_str().unwrap();
    assert_eq!(
        get(&http(), address, "/").await,
        Ok((200, "one".to_owned()))
    );

    let group = suite.group("shop-prod-v000").await.unwrap();
    assert_eq!(group["instanceCounts"]["up"], 2);
    assert_eq!(
        (&group["type"], &group["isDisabled"], &group["status"]),
        (&json!("local"), &json!(false), &json!("stable"))
    );
    assert_eq!(
        group["moniker"],
        json!({"app": "shop", "cluster": "shop-prod", "stack": "prod", "sequence": 0})
    );
    assert!(
        !serde_json::to_string(&group).unwrap().contains("x1y2"),
        "values of the environment are not shown"
    );
    let clusters = suite
        .ask(ListClusters {
            application: "shop".to_owned(),
        })
        .await;
    assert_eq!(clusters["local"][0]["name"], "shop-prod");
    let accounts = suite.ask(ListCredentials { expand: true }).await;
    assert_eq!(accounts[0]["name"], "local");
    let console = GetConsole {
        id: "shop-prod-v000-1".to_owned(),
        lines: 50,
        ..GetConsole::default()
    };
    let console = suite.ask(console).await;
    assert!(
        console["output"][0]["output"]
            .as_str()
            .unwrap()
            .contains("version one listens"),
        "{console:?}"
    );
    let logs = ServerGroupLogs {
        name: "shop-prod-v000".to_owned(),
        lines: 50,
        ..ServerGroupLogs::default()
    };
    let logs = suite.ask(logs).await;
    assert!(
        logs.iter()
            .any(|l| l["line"] == "version one listens" && l["time"].as_u64() > Some(0)),
        "{logs:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_comes_again_gets_its_first_result() {
    let suite = Suite::start().await;
    let key = suite.next_key();
    suite
        .send(&key, "createServerGroup", &sample("one", &json!({})))
        .await;
    let first = suite.result(&key).await;
    suite
        .send(&key, "createServerGroup", &sample("two", &json!({})))
        .await;
    assert_eq!(suite.result(&key).await, first);
    assert!(suite.group("shop-v001").await.is_none());
    let unknown = suite.order("fly", &json!({})).await;
    assert_eq!(unknown.error.unwrap().code, "CLOUDDRIVER-0018");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_never_gets_ready_leaves_the_old_one_serving() {
    let suite = Suite::start().await;
    suite
        .must("createServerGroup", &sample("one", &json!({})))
        .await;
    let never = json!({"env": {"READY": "never"}, "health": {"deadlineMs": 1500}});
    let failed = suite
        .order("createServerGroup", &sample("two", &never))
        .await;
    assert_eq!(failed.status, Status::Terminal);
    let problem = failed.error.unwrap();
    assert_eq!(problem.code, "CLOUDDRIVER-0006");
    assert!(
        problem
            .detail
            .contains("GET /health answered 503: warming up for ever"),
        "{}",
        problem.detail
    );
    let tail = failed.context["logTail"].to_string();
    assert!(tail.contains("version two listens"), "{tail}");
    let address = suite.address().await;
    assert_eq!(
        get(&http(), &address, "/").await,
        Ok((200, "one".to_owned()))
    );
    let group = suite.group("shop-v001").await.unwrap();
    assert_eq!(
        (&group["status"], &group["isDisabled"]),
        (&json!("failed"), &json!(true))
    );
    assert_eq!(group["instanceCounts"]["total"], 0);
    let enabling = suite
        .order(
            "enableServerGroup",
            &json!({"serverGroupName": "shop-v001"}),
        )
        .await;
    assert_eq!(enabling.error.unwrap().code, "CLOUDDRIVER-0017");
    suite
        .must(
            "destroyServerGroup",
            &json!({"serverGroupName": "shop-v001"}),
        )
        .await;
    assert!(suite.group("shop-v001").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_is_told_at_once_with_exit_code_and_output() {
    let suite = Suite::start().await;
    let began = Instant::now();
    let failed = suite
        .order(
            "createServerGroup",
            &sample("one", &json!({"env": {"TEST_ROLE": "crash"}})),
        )
        .await;
    let problem = failed.error.unwrap();
    assert_eq!(problem.code, "CLOUDDRIVER-0007");
    assert!(
        problem.detail.contains("ended with exit code 3"),
        "{}",
        problem.detail
    );
    assert!(
        failed.context["logTail"]
            .to_string()
            .contains("cannot open the database")
    );
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "the deadline was waited for"
    );
    let missing = json!({"command": ["no-such-program"], "restart": {"policy": "never"}});
    let problem = suite
        .order("createServerGroup", &sample("one", &missing))
        .await
        .error
        .unwrap();
    assert!(
        problem.detail.contains("no-such-program"),
        "{}",
        problem.detail
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_stubborn_process_and_its_children() {
    let suite = Suite::start().await;
    suite
        .must(
            "createServerGroup",
            &sample("one", &json!({"env": {"STUBBORN": "1"}})),
        )
        .await;
    assert!(
        instances_of(&suite.dir).len() >= 2,
        "the server and its child"
    );
    suite
        .must(
            "destroyServerGroup",
            &json!({"serverGroupName": "shop-v000"}),
        )
        .await;
    assert_eq!(instances_of(&suite.dir), Vec::<u32>::new());
    assert!(!suite.dir.join("cd/groups/shop-v000").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_checked_and_stay_in_their_directory() {
    let suite = Suite::start().await;
    let script = "IyEvYmluL3NoCmVjaG8gYXJ0aWZhY3QgcnVucwpleGVjIHNsZWVwIDMwCg==";
    let artifact = |name: &str, sum: &str| {
        json!({"application": "shop", "artifact": {"type": "embedded/base64", "name": name,
            "reference": script, "metadata": {"sha256": sum}}})
    };
    let wrong = suite
        .order("createServerGroup", &artifact("run.sh", &"0".repeat(64)))
        .await;
    assert_eq!(wrong.error.unwrap().code, "CLOUDDRIVER-0009");
    let outside = json!({"application": "shop", "artifact": {"type": "embedded/base64", "name": "../../x", "reference": script}});
    assert_eq!(
        suite
            .order("createServerGroup", &outside)
            .await
            .error
            .unwrap()
            .code,
        "CLOUDDRIVER-0010"
    );
    let escape = sample("x", &json!({"command": ["../../../bin/sh"]}));
    let escape = suite
        .order("createServerGroup", &escape)
        .await
        .error
        .unwrap();
    assert!(
        escape.detail.contains("leads out of the directory"),
        "{}",
        escape.detail
    );
    let good = json!({"application": "shop", "artifact": {"type": "embedded/base64", "name": "run.sh", "reference": script}});
    let outputs = suite.must("createServerGroup", &good).await;
    let name = outputs["serverGroup"].as_str().unwrap().to_owned();
    let logs = suite
        .ask(ServerGroupLogs {
            name,
            lines: 5,
            ..ServerGroupLogs::default()
        })
        .await;
    assert_eq!(logs[0]["line"], "artifact runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_change_size_roll_back_and_jobs_run_once() {
    let suite = Suite::start().await;
    suite
        .must(
            "createServerGroup",
            &sample("one", &json!({"capacity": {"desired": 2}})),
        )
        .await;
    suite
        .must("createServerGroup", &sample("two", &json!({})))
        .await;
    suite
        .must("disableCluster", &json!({"cluster": "shop"}))
        .await;
    suite
        .must(
            "scaleDownCluster",
            &json!({"cluster": "shop", "remainingFullSizeServerGroups": 1}),
        )
        .await;
    assert_eq!(
        suite.group("shop-v000").await.unwrap()["instanceCounts"]["total"],
        0
    );
    suite
        .must(
            "resizeServerGroup",
            &json!({"asgName": "shop-v001", "capacity": {"desired": 3}}),
        )
        .await;
    assert_eq!(
        suite.group("shop-v001").await.unwrap()["instanceCounts"]["up"],
        3
    );
    let rollback = json!({"rollbackType": "EXPLICIT", "rollbackContext":
        {"rollbackServerGroupName": "shop-v001", "restoreServerGroupName": "shop-v000"}});
    suite.must("rollbackServerGroup", &rollback).await;
    let (one, two) = (
        suite.group("shop-v000").await.unwrap(),
        suite.group("shop-v001").await.unwrap(),
    );
    assert_eq!(
        (&one["isDisabled"], &one["instanceCounts"]["up"]),
        (&json!(false), &json!(3))
    );
    assert_eq!(two["isDisabled"], true);
    let target = suite
        .must(
            "determineTargetServerGroup",
            &json!({"cluster": "shop", "target": "ancestor_asg_dynamic"}),
        )
        .await;
    assert_eq!(target["serverGroupName"], "shop-v000");
    let clone = json!({"source": {"serverGroupName": "shop-v000"}, "capacity": {"desired": 1}});
    assert_eq!(
        suite.must("cloneServerGroup", &clone).await["serverGroup"],
        "shop-v002"
    );

    let job = json!({"application": "shop", "command": ["sh", "-c", "echo SPINNAKER_PROPERTY_TAG=7; exit $CODE"], "env": {"CODE": 0}});
    assert_eq!(suite.must("runJob", &job).await["tag"], "7");
    let failing = json!({"application": "shop", "command": ["sh", "-c", "exit 4"]});
    let failed = suite.order("runJob", &failing).await;
    assert_eq!(failed.context["exitCode"], 4);
    assert!(
        failed
            .error
            .unwrap()
            .detail
            .contains("ended with exit code 4")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_or_belongs_to_others_is_refused() {
    let suite = Suite::start_with(|config| config.limits.instances_per_server_group_max = 2).await;
    let too_many = suite
        .order(
            "createServerGroup",
            &sample("one", &json!({"capacity": {"desired": 3}})),
        )
        .await;
    assert_eq!(too_many.error.unwrap().code, "CLOUDDRIVER-0005");
    suite
        .must("createServerGroup", &sample("one", &json!({})))
        .await;
    let other = suite
        .order(
            "createServerGroup",
            &sample("one", &json!({"application": "bank"})),
        )
        .await;
    assert_eq!(other.error.unwrap().code, "CLOUDDRIVER-0011");
    let other = json!({"application": "bank", "serverGroupName": "shop-v000"});
    assert_eq!(
        suite
            .order("destroyServerGroup", &other)
            .await
            .error
            .unwrap()
            .code,
        "CLOUDDRIVER-0017"
    );
    let unknown = sample("one", &json!({"account": "moon"}));
    assert_eq!(
        suite
            .order("createServerGroup", &unknown)
            .await
            .error
            .unwrap()
            .code,
        "CLOUDDRIVER-0002"
    );
    let used = json!({"name": "web", "application": "shop"});
    assert_eq!(
        suite
            .order("deleteLoadBalancer", &used)
            .await
            .error
            .unwrap()
            .code,
        "CLOUDDRIVER-0017"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_order_stops_and_reports_nothing() {
    let suite = Suite::start().await;
    let key = suite.next_key();
    let never = json!({"env": {"READY": "never"}});
    suite
        .send(&key, "createServerGroup", &sample("one", &never))
        .await;
    eventually("an instance starts", || async {
        let group = suite.group("shop-v000").await;
        let total = group.map(|g| g["instanceCounts"]["total"].clone());
        if total == Some(json!(1)) {
            Ok(())
        } else {
            Err(format!("{total:?}"))
        }
    })
    .await;
    suite.withdraw(&key).await;
    let orders = kork_model::work::orders("clouddriver");
    eventually("both messages are done", || async {
        let depth = suite.ports.queue.depth(&orders).await.unwrap();
        if depth == 0 {
            Ok(())
        } else {
            Err(format!("{depth} messages"))
        }
    })
    .await;
    suite
        .send(&key, "createServerGroup", &sample("one", &never))
        .await;
    // Orders are taken in turn: when this one is done, the one before is.
    suite
        .must("determineTargetServerGroup", &json!({"cluster": "shop"}))
        .await;
    assert!(!suite.has_result(&key));
    assert!(suite.group("shop-v001").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_probe_finds_readiness() {
    let suite = Suite::start().await;
    for (version, health) in [
        ("tcp", json!({"tcp": true, "periodMs": 50})),
        (
            "exec",
            json!({"exec": ["sh", "-c", "test $PORT -gt 0 && test -z \"$CARGO_MANIFEST_DIR\" && test $VERSION = exec"], "periodMs": 50}),
        ),
        ("log", json!({"log": "version log listens", "periodMs": 50})),
        ("none", json!(null)),
    ] {
        let mut payload = sample(version, &json!({}));
        payload["health"] = health;
        suite.must("createServerGroup", &payload).await;
        suite
            .must("disableCluster", &json!({"cluster": "shop"}))
            .await;
        let (_, body) = get(&http(), &suite.address().await, "/").await.unwrap();
        assert_eq!(body, version);
    }
    let mut payload = sample("x", &json!({}));
    payload["health"] =
        json!({"exec": ["sh", "-c", "echo not yet; exit 1"], "periodMs": 50, "deadlineMs": 500});
    let problem = suite
        .order("createServerGroup", &payload)
        .await
        .error
        .unwrap();
    assert!(problem.detail.contains("not yet"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_tells_every_step_and_does_none() {
    let suite = Suite::start().await;
    let payload = sample("one", &json!({"capacity": {"desired": "2"}}));
    let plan = PlanOperation {
        kind: "createServerGroup".to_owned(),
        payload: payload.as_object().cloned().unwrap(),
        application: "shop".to_owned(),
    };
    let plan = suite.ask(plan).await;
    assert_eq!(plan["problems"], json!([]));
    let actions: Vec<_> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "createServerGroup",
            "createLoadBalancer",
            "startInstance",
            "startInstance",
            "addToLoadBalancers"
        ]
    );
    assert!(suite.group("shop-v000").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suite_that_stops_hands_its_orders_back_and_the_next_one_finishes_them() {
    stopped_in_the_middle(|_| {}).await;
}

/// As when it died between the start of a process and the note about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_nobody_wrote_down_is_found_and_not_started_again() {
    stopped_in_the_middle(|dir| {
        std::fs::remove_file(dir.join("cd/runs/shop-v000.0.json")).unwrap();
    })
    .await;
}

/// A suite stops while an instance is not ready yet, something happens, and the next one finishes.
async fn stopped_in_the_middle(meanwhile: impl Fn(&Utf8Path)) {
    let temp = tempfile::Builder::new().prefix("gcd").tempdir().unwrap();
    let dir = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
    let key = {
        let suite = Suite::open(&dir, config(&dir)).await;
        let key = suite.next_key();
        let gate = dir.join("open");
        let health = json!({"health": {"exec": ["test", "-e", gate], "periodMs": 50}});
        let mut payload = sample("one", &json!({}));
        payload["health"] = health["health"].clone();
        suite.send(&key, "createServerGroup", &payload).await;
        eventually("an instance starts", || async {
            let group = suite.group("shop-v000").await;
            let total = group.map(|g| g["instanceCounts"]["total"].clone());
            if total == Some(json!(1)) {
                Ok(())
            } else {
                Err(format!("{total:?}"))
            }
        })
        .await;
        suite.stop().await;
        key
    };
    let before = instances_of(&dir);
    assert_eq!(before.len(), 1, "the instance lives on");
    meanwhile(&dir);
    std::fs::write(dir.join("open"), "").unwrap();
    let suite = Suite::open(&dir, config(&dir)).await;
    let result = suite.result(&key).await;
    assert_eq!(
        result.outputs["serverGroup"], "shop-v000",
        "{:?}",
        result.error
    );
    assert_eq!(instances_of(&dir), before);
}
