//! What the tests run in: real orca on the embedded ports in memory, a small front50.

use std::{sync::Arc, time::Duration};

use kork::{
    embedded::{Embedded, SeededIds, TokioClock},
    model::{
        Context, Execution, Status, Timestamp,
        api::orca::{GetExecution, ListExecutions, StartPipeline},
    },
    ports::{Ports, Registration},
    rpc,
    service::Chassis,
};
use serde_json::{Value, json};

use crate::front50::Front50;

/// One orca on shared ports.
pub(crate) struct Orca {
    pub(crate) chassis: Chassis,
}

impl Orca {
    /// Its tasks are dropped where they stand.
    pub(crate) async fn crash(self) {
        self.chassis.shutdown.abort();
        self.chassis.shutdown.finish(Duration::ZERO).await;
    }
}

pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) front50: Arc<Front50>,
    _served: Vec<Box<dyn Registration>>,
}

impl World {
    pub(crate) async fn new(pipelines: Vec<Value>) -> Self {
        let clock = Arc::new(TokioClock::new(Timestamp(1_790_000_000_000)));
        let ids = Arc::new(SeededIds::new(7, clock.clone()));
        let ports = Embedded::in_memory(clock, ids).ports();
        let (front50, served) = Front50::serve(pipelines, &ports).await;
        Self {
            ports,
            front50,
            _served: served,
        }
    }

    pub(crate) async fn orca(&self) -> Orca {
        self.orca_on(self.ports.clone()).await
    }

    /// An orca that sees some of the world otherwise than others.
    pub(crate) async fn orca_on(&self, ports: Ports) -> Orca {
        Self::start_orca(orca::Config::default(), ports).await
    }

    /// An orca with settings of its own.
    pub(crate) async fn orca_with(&self, config: orca::Config) -> Orca {
        Self::start_orca(config, self.ports.clone()).await
    }

    pub(crate) async fn orca_with_on(&self, config: orca::Config, ports: Ports) -> Orca {
        Self::start_orca(config, ports).await
    }

    async fn start_orca(config: orca::Config, ports: Ports) -> Orca {
        let chassis = Chassis::default();
        let own = chassis.clone();
        tokio::spawn(async move {
            orca::run(config, ports, own).await.unwrap();
        });
        while chassis
            .health
            .report()
            .parts
            .get("orca.recovery")
            .is_none_or(|p| p != "UP")
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Orca { chassis }
    }

    pub(crate) async fn start(&self, pipeline: Value) -> String {
        let request = StartPipeline {
            pipeline: pipeline.as_object().unwrap().clone(),
            user: "anonymous".to_owned(),
            ..StartPipeline::default()
        };
        let answer = rpc::call(&*self.ports.rpc, &request).await.unwrap();
        answer["ref"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn get(&self, id: &str) -> Execution {
        rpc::call(&*self.ports.rpc, &GetExecution { id: id.to_owned() })
            .await
            .unwrap()
    }

    /// All executions, newest first.
    pub(crate) async fn executions(&self) -> Vec<Execution> {
        let all = ListExecutions {
            expand: true,
            ..ListExecutions::default()
        };
        let all = rpc::call(&*self.ports.rpc, &all).await.unwrap();
        all.iter().map(|shown| shown.read().unwrap()).collect()
    }

    /// Waits until no execution has a log.
    pub(crate) async fn until_archived(&self) {
        self.until_has_no_log("execution.").await;
    }

    /// Waits until there is no log whose subject begins so.
    pub(crate) async fn until_has_no_log(&self, prefix: &str) {
        for _ in 0..100_000 {
            let logs = self.ports.journal.subjects(prefix).await.unwrap();
            if logs.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("there is still a log of {prefix}");
    }

    pub(crate) async fn until(&self, id: &str, status: Status) -> Execution {
        for _ in 0..10_000 {
            let execution = self.get(id).await;
            if execution.status == status {
                return execution;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} is {:?}, not {status}", self.get(id).await);
    }
}

pub(crate) fn wait(reference: &str, after: &[&str], seconds: u64) -> Value {
    json!({"refId": reference, "type": "wait", "name": format!("wait {reference}"),
           "requisiteStageRefIds": after, "waitTime": seconds})
}

pub(crate) fn pipeline(id: &str, stages: &[Value]) -> Value {
    json!({"application": "app", "name": id, "id": id, "stages": stages})
}

/// A template whose only stage waits as long as its variable says.
pub(crate) fn template() -> Context {
    let template = json!({
        "schema": "v2", "id": "waits", "variables": [{"name": "seconds", "type": "int"}],
        "pipeline": {"stages": [{
            "refId": "1", "type": "wait", "waitTime": "${ templateVariables.seconds }",
        }]},
    });
    template.as_object().unwrap().clone()
}
