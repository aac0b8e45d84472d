//! Tasks that gate tells. Clients expect a finished task where the work was one call to another
//! service: it is told here and stored nowhere.

use kork_model::{
    Authentication, Context, Execution, ExecutionType, Problem, Stage, Status, Task, Timestamp,
};
use serde_json::{Value, json};

use crate::{
    domain::task,
    http::call::{Call, USER},
};

/// What was done.
pub(super) struct Told<'a> {
    /// Type of the job.
    pub(super) kind: &'a str,
    pub(super) implementing_class: String,
    pub(super) description: String,
    pub(super) application: String,
    /// What the job was given and what it left behind.
    pub(super) context: Context,
    pub(super) started: Timestamp,
    /// Why it failed, if it did.
    pub(super) failure: Option<&'a Problem>,
}

impl Told<'_> {
    /// The finished task.
    pub(super) fn task(mut self, call: &Call) -> Value {
        let (ids, ended) = (&call.gate.ports.ids, call.gate.ports.clock.now());
        let mut details = Context::new();
        if let Some(problem) = self.failure {
            let exception = exception(self.kind, problem, ended);
            details.insert("exception".to_owned(), exception.clone());
            self.context.insert("exception".to_owned(), exception);
        }
        let status = match self.failure {
            None => Status::Succeeded,
            Some(_) => Status::Terminal,
        };
        let step = Task {
            id: "1".to_owned(),
            name: self.kind.to_owned(),
            implementing_class: self.implementing_class,
            start_time: Some(self.started),
            end_time: Some(ended),
            status,
            stage_start: true,
            stage_end: true,
            task_exception_details: details,
            ..Task::default()
        };
        let stage = Stage {
            id: ids.ulid().into(),
            ref_id: "0".to_owned(),
            name: self.kind.to_owned(),
            kind: self.kind.to_owned(),
            start_time: Some(self.started),
            end_time: Some(ended),
            status,
            context: self.context,
            tasks: vec![step],
            ..Stage::default()
        };
        let execution = Execution {
            kind: ExecutionType::Orchestration,
            id: ids.ulid().into(),
            application: self.application,
            description: Some(self.description),
            build_time: Some(self.started),
            start_time: Some(self.started),
            end_time: Some(ended),
            status,
            authentication: Authentication {
                user: USER.to_owned(),
                allowed_accounts: Vec::new(),
            },
            origin: "api".to_owned(),
            trigger: manual_trigger(),
            stages: vec![stage],
            ..Execution::default()
        };
        task::view(&execution)
    }
}

/// What clients look for when a task failed: they show `details.errors[0]`.
fn exception(operation: &str, problem: &Problem, now: Timestamp) -> Value {
    json!({
        "exceptionType": problem.code,
        "operation": operation,
        "shouldRetry": false,
        "timestamp": now,
        "details": {
            "error": problem.detail,
            "errors": [problem.detail],
            "kind": "HTTP",
            "code": problem.code,
            "status": problem.kind.status(),
        },
    })
}

fn manual_trigger() -> Context {
    let trigger = json!({
        "type": "manual", "user": USER, "parameters": {}, "artifacts": [], "notifications": [],
        "expectedArtifacts": [], "resolvedExpectedArtifacts": [], "rebake": false,
        "dryRun": false, "strategy": false,
    });
    match trigger {
        Value::Object(trigger) => trigger,
        _ => Context::new(),
    }
}
