//! What comes in from outside, on two of each service: a build starts its pipeline and is called back, and
//! whatever dies, no delivery is lost and none counts twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use integration_tests::{
    cluster::Cluster,
    harness::{Gate, announce, eventually, number},
    pipeline::{pipeline, wait},
};
use jenkins_double::{Endpoint, Jenkins, Job, Options, Parameter, Script};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const APPLICATION: &str = "outside";
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the clock of the Jenkins double is moved.
const TICK: Duration = Duration::from_millis(50);
/// A finished build has started its pipeline within this time (the aim is a second on an idle machine).
const STARTED_MAX: Duration = Duration::from_secs(5);
/// Deliveries a second, and for how long, unless the environment says otherwise.
const RATE: u64 = 40;
const SECONDS: u64 = 5;
/// How long a sender waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Pause of a sender before it sends again.
const AGAIN: Duration = Duration::from_millis(100);
/// Pause between two services that are killed.
const BETWEEN: Duration = Duration::from_millis(1_200);
/// Executions of one page of the search.
const PAGE: usize = 100;
/// Executions that end and are archived within a second, at least, behind a burst.
const SETTLED: u64 = 100;
/// Answers in a row that come from every orca.
const ASKED: usize = 24;
/// What orca has not done yet.
const OPEN: [&str; 3] = [
    "gennaker_orca_events_open",
    "gennaker_orca_executions_open",
    "gennaker_orca_executions_to_archive",
];

/// A cluster with a Jenkins double that posts to it, and is known to it.
struct World {
    cluster: Cluster,
    jenkins: Arc<Jenkins>,
    gate: Gate,
    _accounts: tempfile::NamedTempFile,
}

async fn world(of_each: usize) -> Option<World> {
    let accounts = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let path = accounts.path().to_str().unwrap().to_owned();
    let environment = vec![("GENNAKER_IGOR_ACCOUNTS_FILE".to_owned(), path.clone())];
    let cluster = Cluster::start_with(of_each, environment).await?;
    let gate = cluster.gates().remove(0);
    let hook = format!("{}/webhooks/jenkins/ci", gate.base());
    let options = Options {
        notify: vec![Endpoint::new(hook.parse().unwrap())],
        ..Options::default()
    };
    let jenkins = Arc::new(Jenkins::start(options).await.unwrap());
    let text = json!({"controllers": [{"name": "ci", "address": jenkins.url(),
                                       "username": "igor", "password": "11aa22bb"}]});
    // It is read again when it changes: igor runs already.
    std::fs::write(&path, text.to_string()).unwrap();
    let ticking = Arc::clone(&jenkins);
    tokio::spawn(async move {
        loop {
            sleep(TICK).await;
            ticking.advance(TICK.as_millis() as u64);
        }
    });
    Some(World {
        cluster,
        jenkins,
        gate,
        _accounts: accounts,
    })
}

impl World {
    /// What the orcas have not done yet, by themselves.
    async fn open(&self) -> Result<f64, String> {
        let client = kork_http::client().no_proxy().build().unwrap();
        let mut open = 0.0;
        for (name, url) in self.cluster.management() {
            if !name.starts_with("orca-") {
                continue;
            }
            let answer = client.get(format!("{url}/metrics")).send().await;
            let text = answer.map_err(|e| e.to_string())?.text().await;
            let text = text.map_err(|e| e.to_string())?;
            let ours = |line: &&str| OPEN.iter().any(|of| line.starts_with(of));
            let values = text.lines().filter(ours);
            open += values
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum::<f64>();
        }
        Ok(open)
    }

    /// Waits until every orca has heard of the triggers of a pipeline. Whichever is asked answers.
    async fn until_known(&self, pipeline: &str) {
        let path = format!("/triggers/history?pipeline={pipeline}");
        eventually("the orcas know the pipeline", PATIENCE, async || {
            for _ in 0..ASKED {
                let known = self.gate.get(&path).await.map_err(|t| t.to_string())?;
                if known.as_array().is_none_or(Vec::is_empty) {
                    return Err(known.to_string());
                }
            }
            Ok(())
        })
        .await;
    }

    async fn executions(&self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let path = format!(
                "/applications/{APPLICATION}/executions/search?size={PAGE}&startIndex={}&expand=false",
                all.len()
            );
            // A service may just have been killed.
            let page = eventually("executions are searched", PATIENCE, async || {
                self.gate
                    .get(&path)
                    .await
                    .map_err(|trouble| trouble.to_string())
            })
            .await;
            let page = page.as_array().unwrap().clone();
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                break;
            }
        }
        // What starts between two pages moves the others on.
        let mut seen = BTreeSet::new();
        all.retain(|execution| seen.insert(execution["id"].to_string()));
        all
    }
}

fn job(script: Script) -> Job {
    let mut job = Job::pipeline()
        .with_parameters(&[
            Parameter::text("VERSION", ""),
            Parameter::text("SPINNAKER_EXECUTION_ID", ""),
        ])
        .with_script(script);
    job.quiet_ms = 0;
    job
}

fn script(duration_ms: u64) -> Script {
    let properties = b"VERSION=1.4.2\n".to_vec();
    Script {
        duration_ms,
        result: "SUCCESS".to_owned(),
        artifacts: [("out/build.properties".to_owned(), properties)].into(),
        ..Script::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_starts_its_pipeline_which_calls_jenkins_back_once_whoever_dies() {
    let Some(mut world) = world(2).await else {
        return;
    };
    world.jenkins.add_job("shop/build", job(script(300)));
    world.jenkins.add_job("shop/smoke", job(script(4_000)));
    let mut delivers = pipeline(
        APPLICATION,
        "delivers",
        &[
            json!({"refId": "1", "type": "jenkins", "name": "smoke", "master": "ci",
                   "job": "shop/smoke", "propertyFile": "build.properties",
                   "parameters": {"VERSION": "${trigger.properties.VERSION}"}}),
            wait("2", &["1"], 0),
        ],
    );
    delivers["triggers"] = json!([{"type": "jenkins", "enabled": true, "master": "ci",
                                   "job": "shop/build", "propertyFile": "build.properties"}]);
    let saved = world.gate.post("/pipelines", &delivers).await.unwrap();
    saved.success().unwrap();
    let begin = kork_http::client().no_proxy().build().unwrap();
    let url = format!(
        "{}job/shop/job/build/buildWithParameters",
        world.jenkins.url()
    );
    let asked = begin.post(url).basic_auth("igor", Some("11aa22bb"));
    assert_eq!(asked.send().await.unwrap().status(), 201);
    eventually("the build ends", PATIENCE, async || {
        let builds = world.jenkins.builds("shop/build");
        if builds.first().is_some_and(|build| build.finalized) {
            Ok(())
        } else {
            Err(format!("{} builds", builds.len()))
        }
    })
    .await;
    let ended = Instant::now();
    let id = eventually("the pipeline starts", PATIENCE, async || {
        let found = world.executions().await;
        let id = found.first().map(|e| e["id"].as_str().unwrap().to_owned());
        id.ok_or_else(|| "no execution".to_owned())
    })
    .await;
    let took = ended.elapsed();
    announce(&format!(
        "from the end of a build to its pipeline: {took:.0?}"
    ));
    assert!(took < STARTED_MAX, "{took:?}");
    eventually("the smoke test is started", PATIENCE, async || match world
        .jenkins
        .builds("shop/smoke")
        .len()
    {
        1 => Ok(()),
        count => Err(format!("{count} builds")),
    })
    .await;
    // Whoever follows the build is gone; the next one goes on with it.
    for name in ["igor-1", "igor-2"] {
        world.cluster.kill(name);
    }
    for name in ["igor-1", "igor-2"] {
        world.cluster.start_again(name);
    }
    let done = world.gate.ended(&id, PATIENCE * 2).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    assert_eq!(
        done["trigger"]["properties"]["VERSION"], "1.4.2",
        "{done:#}"
    );
    let smoke = &done["stages"][0];
    assert_eq!(
        smoke["context"]["buildInfo"]["result"], "SUCCESS",
        "{smoke:#}"
    );
    assert_eq!(smoke["outputs"]["VERSION"], "1.4.2", "{smoke:#}");
    let builds = world.jenkins.builds("shop/smoke");
    assert_eq!(builds.len(), 1, "a build was started twice");
    assert_eq!(builds[0].parameters["VERSION"], "1.4.2");
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_delivery_is_lost_or_doubled_while_services_are_killed() {
    let Some(mut world) = world(2).await else {
        return;
    };
    let rate = number("DELIVERIES_RATE", RATE);
    let count = rate * number("DELIVERIES_SECONDS", SECONDS);
    let mut hooked = pipeline(APPLICATION, "hooked", &[wait("1", &[], 0)]);
    hooked["id"] = json!("outside-hooked");
    hooked["triggers"] = json!([{"type": "webhook", "enabled": true, "source": "burst"}]);
    let saved = world.gate.post("/pipelines", &hooked).await.unwrap();
    saved.success().unwrap();
    world.until_known("outside-hooked").await;
    let gates = Arc::new(world.cluster.gates());
    let http = kork_http::client()
        .no_proxy()
        .timeout(ANSWER_MAX)
        .build()
        .unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let again = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let (sending, resent) = (Arc::clone(&gates), Arc::clone(&again));
    let over = Arc::clone(&is_over);
    let senders = tokio::spawn(async move {
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..count {
            let due = began + Duration::from_micros(n * 1_000_000 / rate);
            tokio::time::sleep_until(due).await;
            let (http, gates, again) = (http.clone(), Arc::clone(&sending), Arc::clone(&resent));
            senders.spawn(async move { deliver(&http, &gates, n, &again).await });
        }
        senders.join_all().await;
        over.store(true, Ordering::Relaxed);
    });
    let mut killed = 0;
    for name in ["igor-1", "orca-1", "gate-2", "igor-2", "orca-2", "gate-1"]
        .iter()
        .cycle()
    {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        sleep(BETWEEN).await;
        world.cluster.kill(name);
        world.cluster.start_again(name);
        killed += 1;
    }
    senders.await.unwrap();
    let sent = began.elapsed();
    world.cluster.ready().await;
    let settled = PATIENCE * 4 + Duration::from_secs(count / SETTLED);
    eventually(
        "all is started, done and archived",
        settled,
        async || match world.open().await? {
            0.0 => Ok(()),
            open => Err(format!("{open} are open")),
        },
    )
    .await;
    let done = began.elapsed();
    let found = eventually("all deliveries have run", settled, async || {
        let found = world.executions().await;
        let ended = found.iter().filter(|e| e["status"] == "SUCCEEDED").count();
        if (found.len(), ended) == (count as usize, count as usize) {
            Ok(found)
        } else {
            Err(format!(
                "{} executions, {ended} succeeded, of {count}",
                found.len()
            ))
        }
    })
    .await;
    each_started_one(&found, count);
    announce(&format!(
        "{count} deliveries in {sent:.1?} while {killed} services were killed: each started one execution; all \
         were archived after {done:.1?}; {} were sent again",
        again.load(Ordering::Relaxed)
    ));
}

/// One execution per delivery.
fn each_started_one(found: &[Value], count: u64) {
    let mut by_delivery: BTreeMap<String, usize> = BTreeMap::new();
    for execution in found {
        let n = execution["trigger"]["payload"]["n"].to_string();
        *by_delivery.entry(n).or_default() += 1;
    }
    assert_eq!(by_delivery.len(), count as usize, "some are lost");
    assert!(
        by_delivery.values().all(|times| *times == 1),
        "some are doubled"
    );
}

/// Sends until it is taken, as a sender that retries does: to the other gate, under the same name.
async fn deliver(http: &reqwest::Client, gates: &[Gate], n: u64, again: &AtomicUsize) {
    for attempt in 0.. {
        let gate = &gates[(n as usize + attempt) % gates.len()];
        let url = format!("{}/webhooks/webhook/burst", gate.base());
        let sent = http
            .post(url)
            .header("idempotency-key", format!("delivery-{n}"))
            .json(&json!({"n": n}));
        if sent.send().await.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        again.fetch_add(1, Ordering::Relaxed);
        sleep(AGAIN).await;
    }
}
