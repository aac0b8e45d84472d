//! What must hold.

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use kork_model::{
    Status,
    api::clouddriver::{GetConsole, ListClusters, ListCredentials, PlanOperation, ServerGroupLogs},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use crate::harness::{
    Load, Suite, config, eventually, get, http, instances_of, is_alive, kill, kill_all, sample,
    this_program,
};

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
async fn red_black_under_load_fails_no_request() {
    let suite = Suite::start().await;
    let two = json!({"capacity": {"desired": 2}});
    suite.must("createServerGroup", &sample("one", &two)).await;
    let load = Load::start(&suite.address().await, 8);
    for version in ["two", "three"] {
        suite
            .must("createServerGroup", &sample(version, &two))
            .await;
        suite
            .must(
                "disableCluster",
                &json!({"cluster": "shop", "remainingEnabledServerGroups": 1}),
            )
            .await;
        let shrink = json!({"cluster": "shop", "shrinkToSize": 1, "allowDeleteActive": false});
        suite.must("shrinkCluster", &shrink).await;
    }
    let (answers, failures) = load.end().await;
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers.values().sum::<u64>() > 100, "{answers:?}");
    let (_, body) = get(&http(), &suite.address().await, "/").await.unwrap();
    assert_eq!(body, "three");
    assert!(suite.group("shop-v000").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_request_ends_within_the_drain_and_is_cut_after_it() {
    let suite = Suite::start().await;
    for (version, drain_ms, fails) in [("one", 10_000, false), ("two", 300, true)] {
        let outputs = suite
            .must(
                "createServerGroup",
                &sample(version, &json!({"drainMs": drain_ms})),
            )
            .await;
        let name = outputs["serverGroup"].clone();
        let address = suite.address().await;
        let (before, asked) = (address.clone(), address.clone());
        let request = tokio::spawn(async move { get(&http(), &asked, "/slow/2000").await });
        eventually("the request is in flight", || async {
            let group = suite.group(name.as_str().unwrap()).await.unwrap();
            if group["metrics"]["inFlight"] == 1 {
                Ok(())
            } else {
                Err(group["metrics"].to_string())
            }
        })
        .await;
        let outputs = suite
            .must("disableServerGroup", &json!({"serverGroupName": name}))
            .await;
        assert_eq!(outputs["requestsCut"], u64::from(fails));
        let answer = request.await.unwrap();
        if fails {
            assert_eq!(answer.unwrap().0, 504);
        } else {
            assert_eq!(answer, Ok((200, version.to_owned())));
        }
        let (status, body) = get(&http(), &before, "/").await.unwrap();
        assert_eq!(status, 503);
        assert!(body.contains("CLOUDDRIVER-0013"), "{body}");
    }
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
async fn a_killed_suite_interrupts_nothing_and_finds_everything_again() {
    let temp = tempfile::Builder::new().prefix("gcd").tempdir().unwrap();
    let dir = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
    let order = sample("one", &json!({"capacity": {"desired": 2}}));
    let program = this_program();
    let mut child = tokio::process::Command::new(&program[0])
        .args(&program[1..])
        .envs([
            ("TEST_ROLE", "suite"),
            ("TEST_DIR", dir.as_str()),
            ("TEST_ORDER", &order.to_string()),
        ])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let report: Value = eventually("the killed suite has deployed", || async {
        let bytes = std::fs::read(dir.join("report.json")).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    })
    .await;
    assert_eq!(report["status"], "SUCCEEDED", "{report}");
    let address = report["outputs"]["loadBalancers"][0]["address"]
        .as_str()
        .unwrap()
        .to_owned();
    let load = Load::start(&address, 4);
    let mut before = instances_of(&dir);
    before.sort_unstable();
    assert_eq!(before.len(), 2);
    child.kill().await.unwrap();
    // The lock of the directory is free once the process has gone.
    let suite = Suite::open(&dir, config(&dir)).await;
    let group = suite.group("shop-v000").await.unwrap();
    assert_eq!(group["instanceCounts"]["up"], 2, "{group:?}");
    let mut pids: Vec<u32> = group["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["pid"].as_u64().unwrap() as u32)
        .collect();
    pids.sort_unstable();
    assert_eq!(pids, before, "no process was started again");
    assert_eq!(suite.address().await, address);
    suite
        .must("createServerGroup", &sample("two", &json!({})))
        .await;
    suite
        .must("disableCluster", &json!({"cluster": "shop"}))
        .await;
    suite
        .must(
            "destroyServerGroup",
            &json!({"serverGroupName": "shop-v000"}),
        )
        .await;
    let (answers, failures) = load.end().await;
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(
        before.iter().all(|pid| !is_alive(*pid)),
        "what was taken over can be stopped"
    );
    kill_all(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_deployments_at_once_get_two_versions_and_one_stays_enabled() {
    let suite = Suite::start().await;
    suite
        .must("createServerGroup", &sample("zero", &json!({})))
        .await;
    let red_black = |version: &'static str| {
        let suite = &suite;
        async move {
            let outputs = suite
                .must("createServerGroup", &sample(version, &json!({})))
                .await;
            suite
                .must("disableCluster", &json!({"cluster": "shop"}))
                .await;
            outputs["serverGroup"].as_str().unwrap().to_owned()
        }
    };
    let (one, two) = tokio::join!(red_black("one"), red_black("two"));
    assert_ne!(one, two);
    let mut enabled = Vec::new();
    for name in ["shop-v000", &one, &two] {
        if suite.group(name).await.unwrap()["isDisabled"] == false {
            enabled.push(name.to_owned());
        }
    }
    assert_eq!(enabled, [one.max(two)]);
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
async fn a_weight_of_ten_per_cent_gets_ten_per_cent() {
    const REQUESTS: u64 = 10_000;
    let suite = Suite::start().await;
    for version in ["old", "new"] {
        suite
            .must("createServerGroup", &sample(version, &json!({})))
            .await;
    }
    let weights = json!({"weights": {"shop-v000": 90, "shop-v001": 10.0}});
    suite.must("updateTrafficWeights", &weights).await;
    let address = suite.address().await;
    let ask = |_| {
        let address = address.clone();
        tokio::spawn(async move {
            let client = http();
            let mut new = 0;
            for _ in 0..REQUESTS / 10 {
                new += u64::from(
                    get(&client, &address, "/").await.unwrap() == (200, "new".to_owned()),
                );
            }
            new
        })
    };
    let mut new = 0;
    for client in (0..10).map(ask).collect::<Vec<_>>() {
        new += client.await.unwrap();
    }
    assert!((900..=1100).contains(&new), "{new} of {REQUESTS}");
    let group = suite.group("shop-v001").await.unwrap();
    assert_eq!(group["metrics"]["requests"], new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_and_a_killed_proxy_come_back() {
    let suite = Suite::start().await;
    suite
        .must("createServerGroup", &sample("one", &json!({})))
        .await;
    let address = suite.address().await;
    let group = suite.group("shop-v000").await.unwrap();
    kill(group["instances"][0]["pid"].as_u64().unwrap() as u32);
    eventually("the instance runs again", || async {
        let group = suite.group("shop-v000").await.unwrap();
        let instance = &group["instances"][0];
        let again = instance["run"] == 2 && instance["healthState"] == "Up";
        if again {
            Ok(())
        } else {
            Err(instance.to_string())
        }
    })
    .await;
    let group = suite.group("shop-v000").await.unwrap();
    let end = group["instances"][0]["lastEnd"]["message"]
        .as_str()
        .unwrap();
    assert_eq!(end, "was ended by signal 9");
    let proxy = suite.proxy_pid();
    kill(proxy);
    eventually("the proxy serves again", || async {
        match get(&http(), &address, "/").await {
            Ok((200, _)) if suite.proxy_pid() != proxy => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
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
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let suite = Suite::start().await;
    suite
        .must("createServerGroup", &sample("one", &json!({})))
        .await;
    let mut stream = tokio::net::TcpStream::connect(suite.address().await)
        .await
        .unwrap();
    let head = "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reader = tokio::io::BufReader::new(&mut stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 101"), "{line}");
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).await.unwrap();
    }
    for word in ["hello\n", "again\n"] {
        reader.get_mut().write_all(word.as_bytes()).await.unwrap();
        line.clear();
        reader.read_line(&mut line).await.unwrap();
        assert_eq!(line, word);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_probe_finds_readiness() {
    let suite = Suite::start().await;
    for (version, health) in [
        ("tcp", json!({"tcp": true, "periodMs": 50})),
        (
            "exec",
            json!({"exec": ["sh", "-c", "test $PORT -gt 0"], "periodMs": 50}),
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
async fn a_lost_instance_leaves_the_traffic_and_idempotent_requests_go_to_another() {
    let suite = Suite::start().await;
    let slow = json!({"capacity": {"desired": 2}, "restart": {"backoffMs": 60_000}});
    suite.must("createServerGroup", &sample("one", &slow)).await;
    let group = suite.group("shop-v000").await.unwrap();
    kill(group["instances"][0]["pid"].as_u64().unwrap() as u32);
    let (client, address) = (http(), suite.address().await);
    for _ in 0..50 {
        assert_eq!(
            get(&client, &address, "/").await,
            Ok((200, "one".to_owned()))
        );
    }
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
