//! What must hold for requests, whatever happens around them.

use camino::Utf8PathBuf;
use clouddriver::config::PortRange;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use crate::harness::{
    Load, Suite, config, eventually, get, http, instances_of, is_alive, kill, kill_all, sample,
    this_program,
};

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
async fn load_balancers_get_ports_of_the_range_and_are_called_by_name() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    drop(holder);
    let suite = Suite::start_with(|config| {
        config.load_balancer_name = "apps.localhost".to_owned();
        config.load_balancer_ports = Some(PortRange {
            first: port,
            last: port,
        });
    })
    .await;
    let address = json!(format!("apps.localhost:{port}"));
    let called = |name: &str| json!({"name": name, "application": "shop"});
    let one = suite.must("upsertLoadBalancer", &called("one")).await;
    assert_eq!(one["loadBalancers"][0]["address"], address);
    let (status, _) = get(&http(), &format!("127.0.0.1:{port}"), "/")
        .await
        .unwrap();
    assert_eq!(status, 503);
    let two = suite.order("upsertLoadBalancer", &called("two")).await;
    assert_eq!(two.error.unwrap().code, "CLOUDDRIVER-0011");
    suite.must("deleteLoadBalancer", &called("one")).await;
    let two = suite.must("upsertLoadBalancer", &called("two")).await;
    assert_eq!(two["loadBalancers"][0]["address"], address);
}
