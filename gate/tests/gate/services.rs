//! A running gateway with fake services behind it that answer in the shapes of the contract and
//! remember what they were asked.

use std::sync::{Arc, Mutex};

use gate::{Config, Limits};
use kork::{
    embedded::{Embedded, SeededIds, SystemClock},
    ports::{Clock, Ports, Registration},
    service::Chassis,
};
use kork_model::{
    Context, Execution, ExecutionType, Kind, Problem, Shown, Stage, Status, Task, Timestamp,
    api::{
        Call,
        clouddriver::{
            FetchArtifact, GetCluster, GetConsole, GetCredentials, GetInstance, GetServerGroup,
            ListArtifactAccounts, ListClusters, ListCredentials, ListLoadBalancers,
            ListServerGroups, PlanOperation, ServerGroupLogs,
        },
        front50::{
            ApplicationHistory, BulkSavePipelines, DeleteNotifications, DeletePipeline,
            DeleteTemplate, GetApplication, GetNotifications, GetObject, GetPipeline, GetProject,
            ListApplications, ListObjects, ListPipelines, ListProjects, PipelineByName,
            PipelineHistory, ReorderPipelines, SaveNotifications, SavePipeline, SaveTemplate,
        },
        igor::{
            DeliveryRecord, DeliveryTaken, GetBuild, GetDelivery, GetJob, ListBuildServices,
            ListDeliveries, ListJobs, ListSources, ReceiveDelivery, ReplayDelivery,
        },
        orca::{
            CancelExecution, CheckCron, DeleteExecution, EvaluateExpression, EvaluateVariables,
            ExplainTriggers, GetExecution, ListExecutions, ListStageTypes, PatchStage,
            PauseExecution, Ref, RestartStage, ResumeExecution, StartPipeline, StartStored,
            StartTask, TriggerHistory,
        },
    },
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// An id that names a task; every other id names a pipeline's execution.
pub(crate) const TASK: &str = "01TASK00000000000000000000";
/// Whatever is called so does not exist.
pub(crate) const NOWHERE: &str = "nowhere";

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A gateway under test. Stops when [`Self::stop`] is called.
pub(crate) struct TestGate {
    pub(crate) base: String,
    pub(crate) ports: Ports,
    pub(crate) chassis: Chassis,
    pub(crate) http: reqwest::Client,
    asked: Asked,
    registrations: Vec<Box<dyn Registration>>,
    running: tokio::task::JoinHandle<Result<(), gate::Error>>,
}

pub(crate) fn in_memory() -> Ports {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(SeededIds::new(7, Arc::clone(&clock)));
    Embedded::in_memory(clock, ids).ports()
}

pub(crate) fn config() -> Config {
    Config {
        port: 0,
        workers: 1,
        ..Config::default()
    }
}

impl TestGate {
    /// With all services.
    pub(crate) async fn start() -> Self {
        let mut gate = Self::start_with(config(), in_memory());
        gate.serve_all().await;
        gate
    }

    /// With limits, without services.
    pub(crate) fn start_limited(limits: Limits) -> Self {
        Self::start_with(Config { limits, ..config() }, in_memory())
    }

    /// Without services.
    pub(crate) fn start_with(config: Config, ports: Ports) -> Self {
        let chassis = Chassis::default();
        let server = gate::bind(config, ports.clone(), chassis.clone()).expect("it binds");
        let base = format!("http://{}", server.addr());
        let running = tokio::spawn(server.run());
        let http = kork_http::client()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        let asked = Asked::default();
        let registrations = Vec::new();
        Self {
            base,
            ports,
            chassis,
            http,
            asked,
            registrations,
            running,
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn send(&self, method: &str, path: &str) -> Response {
        self.request(method, path).send().await.expect("an answer")
    }

    pub(crate) async fn send_json(&self, method: &str, path: &str, body: &Value) -> Response {
        self.request(method, path)
            .json(body)
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let answer = self.send("GET", path).await;
        assert_eq!(answer.status(), 200, "GET {path}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/json;charset=UTF-8",
            "{path}"
        );
        answer.json().await.unwrap()
    }

    /// The last request to an endpoint.
    pub(crate) fn last(&self, endpoint: &str) -> Value {
        let asked = self.asked.lock().unwrap();
        let found = asked.iter().rev().find(|(name, _)| name == endpoint);
        found
            .unwrap_or_else(|| panic!("{endpoint} was not called: {asked:?}"))
            .1
            .clone()
    }

    pub(crate) async fn stop(self) {
        self.chassis.shutdown.request();
        let grace = std::time::Duration::from_secs(5);
        let ended = tokio::time::timeout(grace, self.running).await;
        ended
            .expect("it stops in time")
            .expect("no panic")
            .expect("it ends well");
    }

    /// Serves one endpoint.
    pub(crate) async fn serve<C: Call>(
        &mut self,
        answer: impl Fn(&C) -> Result<C::Answer, Problem> + Send + Sync + 'static,
    ) {
        let asked = Arc::clone(&self.asked);
        let registration = kork::rpc::serve::<C, _, _>(&*self.ports.rpc, move |request: C| {
            let seen = (
                C::ENDPOINT.to_owned(),
                serde_json::to_value(&request).unwrap(),
            );
            asked.lock().unwrap().push(seen);
            std::future::ready(answer(&request))
        });
        self.registrations
            .push(registration.await.expect("it is served"));
    }

    pub(crate) async fn serve_all(&mut self) {
        self.serve_front50().await;
        self.serve_templates().await;
        self.serve_orca().await;
        self.serve_clouddriver().await;
        self.serve_igor().await;
    }

    async fn serve_front50(&mut self) {
        self.serve(|_: &ListApplications| {
            Ok(vec![
                object(&json!({"name": "SHOP", "email": "a@example.com", "createTs": null})),
                object(&json!({"name": "WEB", "email": "b@example.com"})),
            ])
        })
        .await;
        self.serve(|r: &GetApplication| {
            known(&r.name)?;
            Ok(object(
                &json!({"name": r.name.to_uppercase(), "own": [null], "createTs": null}),
            ))
        })
        .await;
        self.serve(|_: &ApplicationHistory| Ok(vec![object(&json!({"name": "SHOP"}))]))
            .await;
        self.serve(|r: &ListPipelines| {
            let of = r.application.clone().unwrap_or_else(|| "shop".to_owned());
            Ok(vec![
                pipeline(&of, "deploy", 0),
                pipeline(&of, "My Pipe.v2", 1),
            ])
        })
        .await;
        self.serve(|r: &GetPipeline| {
            known(&r.id)?;
            Ok(pipeline("shop", "deploy", 0))
        })
        .await;
        self.serve(|r: &PipelineByName| Ok(pipeline(&r.application, &r.name, 0)))
            .await;
        self.serve(|r: &SavePipeline| {
            known(r.id_in_path.as_deref().unwrap_or_default())?;
            if r.pipeline.contains_key("name") {
                return Ok(r.pipeline.clone());
            }
            Err(
                Problem::new("FRONT50-0001", Kind::Invalid, "a pipeline requires a name")
                    .field("/name", "is missing"),
            )
        })
        .await;
        self.serve(|r: &BulkSavePipelines| {
            Ok(object(
                &json!({"successful_pipelines_count": r.pipelines.len()}),
            ))
        })
        .await;
        self.serve(|r: &DeletePipeline| known(&r.name)).await;
        self.serve(|r: &PipelineHistory| {
            known(&r.id)?;
            Ok(vec![pipeline("shop", "deploy", 0)])
        })
        .await;
        self.serve(|_: &ReorderPipelines| Ok(())).await;
        self.serve(|_: &GetNotifications| Ok(Context::new())).await;
        self.serve(|_: &SaveNotifications| Ok(())).await;
        self.serve(|_: &DeleteNotifications| Ok(())).await;
        self.serve(|_: &ListProjects| Ok(vec![object(&json!({"name": "sales"}))]))
            .await;
        self.serve(|r: &GetProject| {
            known(&r.id_or_name)?;
            Ok(object(&json!({"name": "sales", "config": {
                "clusters": [{"account": "local"}],
                "pipelineConfigs": [{"application": "shop", "pipelineConfigId": "p-0"}],
            }})))
        })
        .await;
    }

    async fn serve_templates(&mut self) {
        let version = |tag: &str, scope: &str| {
            json!({"id": "wait", "tag": tag, "digest": "0f", "metadata": {"scopes": [scope]},
                "variables": [{"name": "t"}],
                "pipeline": {"stages": [{"waitTime": "${ templateVariables.t }"}]}})
        };
        self.serve(move |r: &ListObjects| {
            assert_eq!(r.object_type, "pipelineTemplate");
            // Two pages of one each.
            Ok(object(&match r.after.as_deref() {
                None => json!({"objects": [version("latest", "global")], "next": "wait"}),
                Some(_) => json!({"objects": [version("stable", "shop")]}),
            }))
        })
        .await;
        self.serve(move |r: &GetObject| {
            known(&r.id)?;
            let mut found = object(&version("latest", "global"));
            if r.id == "x" || r.id == "wait" {
                found.remove("variables");
            }
            Ok(found)
        })
        .await;
        self.serve(|r: &SaveTemplate| {
            if r.create && r.template["id"] == "taken" {
                let detail = "A pipeline template with the id taken already exists";
                return Err(Problem::new("FRONT50-0002", Kind::Invalid, detail));
            }
            Ok(r.template.clone())
        })
        .await;
        self.serve(|r: &DeleteTemplate| match r.id.as_str() {
            "away" => Err(Problem::new("FRONT50-0006", Kind::Unavailable, "away")),
            _ => Ok(()),
        })
        .await;
    }

    async fn serve_orca(&mut self) {
        self.serve(|r: &StartPipeline| {
            let is_plan = r.pipeline.get("plan") == Some(&json!(true));
            let started = object(&json!({"ref": "/pipelines/01STARTED"}));
            Ok(if is_plan { r.pipeline.clone() } else { started })
        })
        .await;
        self.serve(|r: &StartStored| {
            known(&r.name_or_id)?;
            let id = r.id.clone().unwrap_or_else(|| "01STARTED".to_owned());
            Ok(reference(&format!("/pipelines/{id}")))
        })
        .await;
        self.serve(|_: &StartTask| Ok(reference(&format!("/tasks/{TASK}"))))
            .await;
        self.serve(|r: &GetExecution| {
            known(&r.id)?;
            Ok(execution(&r.id, 1))
        })
        .await;
        self.serve(|_: &ListExecutions| {
            let all = [("01NEW", 9), ("01OLD", 3), ("01MID", 5)];
            let shown = all.map(|(id, at)| Shown::of(&execution(id, at)).unwrap());
            Ok(shown.into())
        })
        .await;
        self.serve(|r: &CancelExecution| known(&r.id)).await;
        self.serve(|r: &PauseExecution| known(&r.id)).await;
        self.serve(|r: &ResumeExecution| known(&r.id)).await;
        self.serve(|r: &DeleteExecution| known(&r.id)).await;
        self.serve(|r: &RestartStage| Ok(execution(&r.id, 1))).await;
        self.serve(|r: &PatchStage| Ok(execution(&r.id, 1))).await;
        self.serve(|r: &EvaluateExpression| Ok(object(&json!({"result": r.expression}))))
            .await;
        self.serve(|_: &EvaluateVariables| Ok(object(&json!({"result": []}))))
            .await;
        self.serve(|_: &ExplainTriggers| Ok(Vec::new())).await;
        self.serve(|_: &TriggerHistory| Ok(Vec::new())).await;
        self.serve(|r: &CheckCron| {
            let valid = r.expression == "0 0 0 * * ?";
            Ok(serde_json::from_value(json!({"valid": valid})).unwrap())
        })
        .await;
        self.serve(|_: &ListStageTypes| Ok(vec![object(&json!({"type": "wait"}))]))
            .await;
    }

    async fn serve_igor(&mut self) {
        let taken = |id: &str| DeliveryTaken {
            event_processed: true,
            event_id: id.to_owned(),
            ignored: None,
        };
        self.serve(move |r: &ReceiveDelivery| Ok(taken(&r.source)))
            .await;
        self.serve(move |r: &ReplayDelivery| Ok(taken(&r.id))).await;
        self.serve(|_: &ListDeliveries| Ok(vec![DeliveryRecord::default()]))
            .await;
        self.serve(|r: &GetDelivery| {
            known(&r.id)?;
            Ok(DeliveryRecord::default())
        })
        .await;
        self.serve(|_: &ListSources| Ok(Vec::new())).await;
        self.serve(|_: &ListBuildServices| {
            let service = |name, of| object(&json!({"name": name, "buildServiceProvider": of}));
            Ok(vec![service("ci", "JENKINS"), service("lab", "GITLAB_CI")])
        })
        .await;
        self.serve(|_: &ListJobs| Ok(vec!["a/job/b".to_owned()]))
            .await;
        self.serve(|r: &GetJob| Ok(object(&json!({"name": r.job}))))
            .await;
        self.serve(|r: &GetBuild| Ok(object(&json!({"name": r.job, "number": r.number}))))
            .await;
    }

    async fn serve_clouddriver(&mut self) {
        self.serve(|_: &ListCredentials| {
            Ok(vec![object(
                &json!({"name": "local", "type": "local", "environment": "dev"}),
            )])
        })
        .await;
        self.serve(|r: &GetCredentials| {
            known(&r.account)?;
            Ok(object(&json!({"name": r.account, "type": "local"})))
        })
        .await;
        self.serve(|_: &ListClusters| {
            Ok(object(
                &json!({"local": [{"name": "shop-main", "serverGroups": []}]}),
            ))
        })
        .await;
        self.serve(|r: &GetCluster| {
            Ok(object(
                &json!({"name": r.cluster, "serverGroups": [{"name": "shop-main-v000"}]}),
            ))
        })
        .await;
        self.serve(|_: &ListServerGroups| {
            Ok(vec![object(&json!({
                "name": "shop-main-v000", "account": "local", "moniker": {"app": "shop"},
            }))])
        })
        .await;
        self.serve(|r: &GetServerGroup| Ok(object(&json!({"name": r.name}))))
            .await;
        self.serve(|_: &ListLoadBalancers| Ok(vec![object(&json!({"name": "shop-lb"}))]))
            .await;
        self.serve(|r: &GetInstance| Ok(object(&json!({"name": r.id}))))
            .await;
        self.serve(|_: &GetConsole| Ok(object(&json!({"output": []}))))
            .await;
        self.serve(|_: &ServerGroupLogs| Ok(vec![object(&json!({"line": "hello"}))]))
            .await;
        self.serve(|_: &PlanOperation| Ok(object(&json!({"steps": []}))))
            .await;
        self.serve(|_: &ListArtifactAccounts| Ok(Vec::new())).await;
        self.serve(|_: &FetchArtifact| Ok(json!({"content": "aGVsbG8=", "sha256": "x"})))
            .await;
    }
}

pub(crate) fn object(value: &Value) -> Context {
    value.as_object().expect("an object").clone()
}

fn known(id: &str) -> Result<(), Problem> {
    if id == NOWHERE {
        return Err(Problem::new(
            "ORCA-0001",
            Kind::NotFound,
            format!("nothing has id {id}"),
        ));
    }
    Ok(())
}

fn reference(text: &str) -> Ref {
    Ref {
        reference: text.to_owned(),
    }
}

fn pipeline(application: &str, name: &str, index: u32) -> Context {
    object(&json!({
        "id": format!("p-{index}"), "name": name, "application": application, "index": index,
        "stages": [],
    }))
}

pub(crate) fn execution(id: &str, started: u64) -> Execution {
    let task = id == TASK;
    let kind = if task {
        ExecutionType::Orchestration
    } else {
        ExecutionType::Pipeline
    };
    Execution {
        id: id.into(),
        kind,
        application: "shop".to_owned(),
        description: task.then(|| "do it".to_owned()),
        status: Status::Succeeded,
        start_time: Some(Timestamp(started)),
        stages: vec![Stage {
            id: "01STAGE".into(),
            context: object(&json!({"group": "g", "waitTime": 3})),
            outputs: object(&json!({"o": 1})),
            tasks: vec![Task::default()],
            ..Stage::default()
        }],
        ..Execution::default()
    }
}
