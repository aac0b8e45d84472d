//! Starts instances of the service on embedded ports, and talks to them.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use front50::Config;
use kork::{
    embedded::{Embedded, SystemClock},
    model::{Context, Problem, SuiteEvent, api::Call, event::subject},
    ports::{
        Clock, Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Ports, Start, Stored,
        TopicStream,
    },
    service::{Chassis, Health, Shutdown},
};
use serde_json::Value;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// One store, and a first instance of the service on it.
pub(crate) struct Rig {
    pub(crate) ports: Ports,
    pub(crate) chassis: Chassis,
    shutdowns: Vec<Shutdown>,
    _directory: Option<tempfile::TempDir>,
}

fn embedded() -> Embedded {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = kork::embedded::SeededIds::system(Arc::clone(&clock));
    Embedded::in_memory(clock, Arc::new(ids))
}

impl Rig {
    /// A service on an empty store in memory.
    pub(crate) async fn start() -> Self {
        Self::start_on(embedded().ports(), None).await
    }

    /// A service on an empty store in a directory.
    pub(crate) async fn start_in_directory() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = camino::Utf8Path::from_path(directory.path()).expect("a path in UTF-8");
        let ports = Embedded::open(path).expect("a new data directory").ports();
        Self::start_on(ports, Some(directory)).await
    }

    /// A service on a store that holds these objects.
    pub(crate) async fn start_with(objects: &[(String, String)]) -> Self {
        let ports = embedded().ports();
        for (key, body) in objects {
            let body = Bytes::from(body.clone());
            ports
                .objects
                .put(key, body, Condition::Always)
                .await
                .expect("a fixture is stored");
        }
        Self::start_on(ports, None).await
    }

    /// A service on a store that can be switched off.
    pub(crate) async fn start_with_switch() -> (Self, Arc<Switch>) {
        let ports = embedded().ports();
        let switch = Arc::new(Switch {
            inner: ports.objects,
            is_off: AtomicBool::new(false),
        });
        let objects: Arc<dyn ObjectStore> = switch.clone();
        (
            Self::start_on(Ports { objects, ..ports }, None).await,
            switch,
        )
    }

    async fn start_on(ports: Ports, directory: Option<tempfile::TempDir>) -> Self {
        let chassis = Chassis::default();
        let mut rig = Self {
            ports,
            chassis,
            shutdowns: Vec::new(),
            _directory: directory,
        };
        let (ports, chassis) = (rig.ports.clone(), rig.chassis.clone());
        rig.run(ports, chassis, Config::default()).await;
        rig
    }

    async fn run(&mut self, ports: Ports, chassis: Chassis, config: Config) {
        self.shutdowns.push(chassis.shutdown.clone());
        let health = chassis.health.clone();
        tokio::spawn(async move {
            front50::run(config, ports, chassis)
                .await
                .expect("the service starts");
        });
        eventually("the service is ready", || async {
            let report = health.report();
            // Without parts nothing has started yet.
            (report.status == "UP" && !report.parts.is_empty())
                .then_some(())
                .ok_or_else(|| format!("{report:?}"))
        })
        .await;
    }

    /// A second process on the same store, topic and queue: only its requests go elsewhere.
    pub(crate) async fn second(&mut self) -> Ports {
        self.second_with(Config::default()).await
    }

    /// Another instance, not waited for; answers with its health.
    pub(crate) fn start_another(&mut self) -> Health {
        let chassis = Chassis::default();
        let health = chassis.health.clone();
        self.shutdowns.push(chassis.shutdown.clone());
        let ports = Ports {
            rpc: embedded().ports().rpc,
            ..self.ports.clone()
        };
        tokio::spawn(async move {
            front50::run(Config::default(), ports, chassis)
                .await
                .expect("the service starts");
        });
        health
    }

    pub(crate) async fn second_with(&mut self, config: Config) -> Ports {
        let ports = Ports {
            rpc: embedded().ports().rpc,
            ..self.ports.clone()
        };
        self.run(ports.clone(), Chassis::default(), config).await;
        ports
    }

    pub(crate) async fn ask<C: Call>(&self, request: C) -> Result<C::Answer, Problem> {
        ask(&self.ports, request).await
    }

    /// Text of an object; empty when there is none.
    pub(crate) async fn body(&self, key: &str) -> String {
        let object = self
            .ports
            .objects
            .get(key)
            .await
            .expect("the store answers");
        object.map_or_else(String::new, |object| {
            String::from_utf8(object.body.to_vec()).expect("UTF-8")
        })
    }

    pub(crate) async fn events(&self) -> Events {
        let stream = self
            .ports
            .topic
            .subscribe(subject::FRONT50, Start::Now)
            .await;
        Events(stream.expect("the topic answers"))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for shutdown in &self.shutdowns {
            shutdown.abort();
        }
    }
}

/// A store that can be switched off.
pub(crate) struct Switch {
    inner: Arc<dyn ObjectStore>,
    is_off: AtomicBool,
}

impl Switch {
    pub(crate) fn off(&self, is_off: bool) {
        self.is_off.store(is_off, Ordering::SeqCst);
    }

    fn on(&self) -> Result<&dyn ObjectStore, ObjectStoreError> {
        if self.is_off.load(Ordering::SeqCst) {
            return Err(ObjectStoreError::Unavailable {
                reason: "switched off".to_owned(),
            });
        }
        Ok(&*self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Switch {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        self.on()?.get(key).await
    }
    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        self.on()?.put(key, body, condition).await
    }
    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        self.on()?.delete(key, condition).await
    }
    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        self.on()?.erase(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.on()?.list(prefix).await
    }
    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.on()?.versions(key).await
    }
    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        self.on()?.get_version(key, version).await
    }
}

/// Events since the subscription.
pub(crate) struct Events(Box<dyn TopicStream>);

impl Events {
    pub(crate) async fn next(&mut self) -> SuiteEvent {
        let message = tokio::time::timeout(PATIENCE, self.0.next())
            .await
            .expect("an event");
        serde_json::from_slice(&message.expect("the topic answers").payload).expect("an event")
    }
}

pub(crate) async fn ask<C: Call>(ports: &Ports, request: C) -> Result<C::Answer, Problem> {
    kork::rpc::call(&*ports.rpc, &request).await
}

/// Waits until a condition holds; says the last state when it does not.
pub(crate) async fn eventually<T, F, Fut>(label: &str, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(state) if tokio::time::Instant::now() > deadline => {
                panic!("{label}: not within {PATIENCE:?}; at last: {state}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

pub(crate) fn object(value: Value) -> Context {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

/// Names of the members of an object, sorted.
pub(crate) fn members(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    let mut names: Vec<&str> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
