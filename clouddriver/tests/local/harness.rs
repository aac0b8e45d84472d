//! A suite of clouddriver alone, orders to it, and clients of what it runs.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use clouddriver::Config;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kork::{
    embedded::{Embedded, OpenError, SeededIds, SystemClock},
    ports::{Clock, Ports},
    service::Chassis,
};
use kork_model::{Context, Status, WorkOrder, WorkReport, WorkResult, api::Call, work};
use serde_json::{Value, json};

pub(crate) const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// This program as the argument vector that plays a role.
pub(crate) fn this_program() -> Vec<String> {
    let exe = std::env::current_exe()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    [
        exe.as_str(),
        "roles::role_process",
        "--exact",
        "--nocapture",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Short times, and this program as the proxy.
pub(crate) fn config(dir: &Utf8Path) -> Config {
    let script = "TEST_PROXY_DIR=\"$3\" exec \"$0\" roles::role_process --exact --nocapture";
    let exe = this_program().remove(0);
    let mut config = Config {
        data_dir: dir.join("cd").to_string(),
        self_exe: vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            script.to_owned(),
            exe,
        ],
        drain_ms: 10_000,
        stop_grace_ms: 500,
        healthy_deadline_ms: 20_000,
        ..Config::default()
    };
    config.restart.backoff_ms = 50;
    config
}

/// A sample server group of version `version`, changed by `more`.
pub(crate) fn sample(version: &str, more: &Value) -> Value {
    let mut payload = json!({
        "application": "shop", "command": this_program(), "loadBalancers": ["web"],
        "env": {"TEST_ROLE": "server", "VERSION": version},
        "health": {"path": "/health", "periodMs": 50},
    });
    merge(&mut payload, more);
    payload
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

pub(crate) struct Suite {
    pub(crate) ports: Ports,
    pub(crate) dir: Utf8PathBuf,
    chassis: Chassis,
    results: Arc<Mutex<BTreeMap<String, WorkResult>>>,
    keys: AtomicU64,
    run: tokio::task::JoinHandle<()>,
    reports: tokio::task::JoinHandle<()>,
    stopped: bool,
    /// Kept until the end.
    temp: Option<tempfile::TempDir>,
}

impl Suite {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(change, |ports| ports).await
    }

    /// On ports that are changed first.
    pub(crate) async fn start_on(
        change: impl FnOnce(&mut Config),
        wrap: impl FnOnce(Ports) -> Ports,
    ) -> Self {
        let temp = tempfile::Builder::new().prefix("gcd").tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(SeededIds::system(Arc::clone(&clock)));
        let mut config = config(&dir);
        change(&mut config);
        let ports = wrap(Embedded::in_memory(clock, ids).ports());
        let mut suite = Self::with(ports, &dir, config).await;
        suite.temp = Some(temp);
        suite
    }

    /// With everything below `dir`, also what an earlier suite left there.
    pub(crate) async fn open(dir: &Utf8Path, config: Config) -> Self {
        let deadline = tokio::time::Instant::now() + TEST_TIMEOUT;
        // The last task of an earlier suite may let go of the store a moment after it was told to stop.
        let embedded = loop {
            match Embedded::open(&dir.join("ports")) {
                Err(OpenError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                opened => break opened.unwrap(),
            }
        };
        Self::with(embedded.ports(), dir, config).await
    }

    async fn with(ports: Ports, dir: &Utf8Path, config: Config) -> Self {
        let chassis = Chassis::default();
        let (running, own_chassis) = (ports.clone(), chassis.clone());
        let run = tokio::spawn(async move {
            clouddriver::run(config, running, own_chassis)
                .await
                .unwrap();
        });
        eventually("clouddriver is ready", || async {
            let report = chassis.health.report();
            if report.parts.is_empty() || report.status != "UP" {
                Err(format!("{report:?}"))
            } else {
                Ok(())
            }
        })
        .await;
        let results = Arc::<Mutex<BTreeMap<String, WorkResult>>>::default();
        let (queue, into) = (Arc::clone(&ports.queue), Arc::clone(&results));
        let reports = tokio::spawn(async move {
            loop {
                let second = Duration::from_secs(1);
                for delivery in queue
                    .pull(work::REPORTS, 10, second * 30, second)
                    .await
                    .unwrap()
                {
                    let report: WorkReport = serde_json::from_slice(&delivery.payload).unwrap();
                    queue.ack(&delivery.lease).await.unwrap();
                    let results = report.result.map(|result| (report.key.0, result));
                    into.lock().unwrap().extend(results);
                }
            }
        });
        let keys = AtomicU64::new(0);
        Self {
            ports,
            dir: dir.to_owned(),
            chassis,
            results,
            keys,
            run,
            reports,
            stopped: false,
            temp: None,
        }
    }

    pub(crate) fn next_key(&self) -> String {
        let id = self.ports.ids.ulid();
        format!("{id}/{}", self.keys.fetch_add(1, Ordering::SeqCst))
    }

    pub(crate) async fn send(&self, key: &str, kind: &str, payload: &Value) {
        self.enqueue(key, kind, payload, false).await;
    }

    pub(crate) async fn withdraw(&self, key: &str) {
        self.enqueue(key, "createServerGroup", &json!({}), true)
            .await;
    }

    pub(crate) fn has_result(&self, key: &str) -> bool {
        self.results.lock().unwrap().contains_key(key)
    }

    async fn enqueue(&self, key: &str, kind: &str, payload: &Value, cancel: bool) {
        let order = WorkOrder {
            key: key.into(),
            execution: "e".into(),
            stage: "s".into(),
            task: "1".to_owned(),
            application: "shop".to_owned(),
            user: "anonymous".to_owned(),
            service: "clouddriver".to_owned(),
            kind: kind.to_owned(),
            payload: payload.as_object().cloned().unwrap(),
            deadline: None,
            cancel,
            traceparent: None,
        };
        let bytes = Bytes::from(serde_json::to_vec(&order).unwrap());
        self.ports
            .queue
            .enqueue(
                &work::orders("clouddriver"),
                &format!("{key}/{cancel}"),
                bytes,
                None,
            )
            .await
            .unwrap();
    }

    pub(crate) async fn result(&self, key: &str) -> WorkResult {
        eventually(&format!("result of {key}"), || async {
            self.results
                .lock()
                .unwrap()
                .remove(key)
                .ok_or_else(|| "no report".to_owned())
        })
        .await
    }

    /// Sends an order and waits for its result.
    pub(crate) async fn order(&self, kind: &str, payload: &Value) -> WorkResult {
        let key = self.next_key();
        self.send(&key, kind, payload).await;
        self.result(&key).await
    }

    /// The same, and it must succeed.
    pub(crate) async fn must(&self, kind: &str, payload: &Value) -> Context {
        let result = self.order(kind, payload).await;
        assert_eq!(
            result.status,
            Status::Succeeded,
            "{kind}: {:?}",
            result.error
        );
        result.outputs
    }

    pub(crate) async fn ask<C: Call>(&self, call: C) -> C::Answer {
        kork::rpc::call(self.ports.rpc.as_ref(), &call)
            .await
            .unwrap()
    }

    pub(crate) async fn group(&self, name: &str) -> Option<Context> {
        let groups = self
            .ask(kork_model::api::clouddriver::ListServerGroups::default())
            .await;
        groups.into_iter().find(|g| g["name"] == name)
    }

    pub(crate) async fn address(&self) -> String {
        let balancers = self
            .ask(kork_model::api::clouddriver::ListLoadBalancers::default())
            .await;
        balancers[0]["address"].as_str().unwrap().to_owned()
    }

    /// Stops softly; what runs lives on. The directory is free when this has returned.
    pub(crate) async fn stop(mut self) {
        assert!(self.chassis.shutdown.finish(TEST_TIMEOUT).await);
        (&mut self.run).await.unwrap();
        self.reports.abort();
        assert!((&mut self.reports).await.is_err());
        self.stopped = true;
    }

    pub(crate) fn proxy_pid(&self) -> u32 {
        std::fs::read_to_string(self.dir.join("cd/proxy/proxy.pid"))
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        self.chassis.shutdown.abort();
        self.run.abort();
        kill_all(&self.dir);
    }
}

/// Ends the instances and the proxy of a data directory.
pub(crate) fn kill_all(dir: &Utf8Path) {
    for pid in instances_of(dir) {
        kill(pid);
    }
    let pid = std::fs::read_to_string(dir.join("cd/proxy/proxy.pid"));
    if let Some(pid) = pid.ok().and_then(|p| p.parse().ok()) {
        kill(pid);
    }
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    // It may have ended by itself.
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
}

/// Living processes that were started from this directory.
pub(crate) fn instances_of(dir: &Utf8Path) -> Vec<u32> {
    let origin = format!("GENNAKER_CLOUDDRIVER={dir}/cd");
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|e| e.unwrap().file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_alive(*pid))
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|b| *b == 0)
                .any(|v| v == origin.as_bytes())
        })
        .collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|s| {
        !s.rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

/// Asks again until it is there; says the last state when the time is over.
pub(crate) async fn eventually<T, F>(label: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + TEST_TIMEOUT;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(state) => assert!(tokio::time::Instant::now() < deadline, "{label}: {state}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) type Http = Client<HttpConnector, Empty<Bytes>>;

pub(crate) fn http() -> Http {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

/// Status and body.
pub(crate) async fn get(client: &Http, address: &str, path: &str) -> Result<(u16, String), String> {
    ask(client, Method::GET, address, path).await
}

async fn ask(
    client: &Http,
    method: Method,
    address: &str,
    path: &str,
) -> Result<(u16, String), String> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    *request.uri_mut() = format!("http://{address}{path}").parse().unwrap();
    let answer = client
        .request(request)
        .await
        .map_err(|e| format!("{e:?}"))?;
    let status = answer.status().as_u16();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|e| format!("{e:?}"))?;
    Ok((status, String::from_utf8(body.to_bytes().to_vec()).unwrap()))
}

/// How often each body came, and what failed.
type Answers = (BTreeMap<String, u64>, Vec<String>);

/// Clients that ask all the time, with requests that the proxy must not repeat.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Answers>>,
}

impl Load {
    pub(crate) fn start(address: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |client: usize| {
            // Some requests outlast every step of a switch.
            let path = if client.is_multiple_of(4) {
                "/slow/400"
            } else {
                "/slow/3"
            };
            let (stop, address) = (Arc::clone(&stop), address.to_owned());
            tokio::spawn(async move {
                let client = http();
                let (mut answers, mut failures) = (BTreeMap::new(), Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    match ask(&client, Method::POST, &address, path).await {
                        Ok((200, body)) => *answers.entry(body).or_default() += 1,
                        other => failures.push(format!("{other:?}")),
                    }
                }
                (answers, failures)
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, clients }
    }

    /// Answers by body, and what failed.
    pub(crate) async fn end(self) -> Answers {
        self.stop.store(true, Ordering::SeqCst);
        let (mut answers, mut failures) = (BTreeMap::new(), Vec::new());
        for client in self.clients {
            let (some, failed) = client.await.unwrap();
            for (body, count) in some {
                *answers.entry(body).or_default() += count;
            }
            failures.extend(failed);
        }
        (answers, failures)
    }
}
