//! Triggers that wait for the end of another pipeline.

use kork_model::{Context, Status, Timestamp};
use serde_json::{Value, json};

use crate::{
    fired::{ANONYMOUS, Fired},
    index::TriggerIndex,
    trigger::{Pipeline, Wants, of_parent},
};

/// An execution that ended.
#[derive(Debug, Clone, Copy)]
pub struct Finished<'a> {
    /// Id of the execution.
    pub execution: &'a str,
    pub application: &'a str,
    /// Id of its pipeline.
    pub pipeline: &'a str,
    pub status: Status,
    /// When it ended: an execution that was restarted ends again, and starts its children again.
    pub ended: Timestamp,
    /// Who started it; a child without `runAsUser` runs as the same one.
    pub user: Option<&'a str>,
    /// What `parentExecution` of the child's trigger shows: the execution, or as much of it as is to be kept.
    pub parent: &'a Context,
    /// Artifacts of the execution.
    pub artifacts: &'a [Value],
    /// It touched nothing; neither may what it starts.
    pub dry_run: bool,
}

impl TriggerIndex {
    /// What the end of an execution starts, by pipeline id, each pipeline once. An execution that has not
    /// ended starts nothing.
    pub fn finished(&self, ended: &Finished<'_>) -> Vec<Fired> {
        let mut fired: Vec<Fired> = Vec::new();
        let Some(status) = word(ended.status) else {
            return fired;
        };
        for (pipeline, at) in self.candidates(&[of_parent(ended.pipeline)]) {
            let decided = fired
                .last()
                .is_some_and(|last| last.pipeline == pipeline.id);
            if !decided && self.waits_for(pipeline, at, ended, status) {
                fired.push(child(pipeline, at, ended));
            }
        }
        fired
    }

    pub(crate) fn waits_for(
        &self,
        pipeline: &Pipeline,
        at: usize,
        ended: &Finished<'_>,
        status: &str,
    ) -> bool {
        let trigger = &pipeline.triggers[at];
        let Wants::Pipeline {
            application,
            pipeline: parent,
            status: wanted,
        } = &trigger.wants
        else {
            return false;
        };
        trigger.enabled
            && **parent == *ended.pipeline
            && application
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(ended.application))
            && wanted
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(status))
            && pipeline
                .check_artifacts(trigger, ended.artifacts, &self.patterns)
                .is_ok()
    }
}

fn child(pipeline: &Pipeline, at: usize, ended: &Finished<'_>) -> Fired {
    let mut more = Context::new();
    let mut set = |key: &str, value: Value| more.insert(key.to_owned(), value);
    set("parentExecution", Value::Object(ended.parent.clone()));
    set("parentPipelineId", json!(ended.execution));
    set("parentPipelineApplication", json!(ended.application));
    set("isPipeline", json!(true));
    set("artifacts", json!(ended.artifacts));
    set("user", json!(ended.user.unwrap_or(ANONYMOUS)));
    if ended.dry_run {
        set("dryRun", json!(true));
    }
    let event_id = format!("pipeline:{}:{}", ended.execution, ended.ended);
    Fired::new(pipeline, at, &event_id, more)
}

/// What a trigger's `status` calls the end of an execution.
pub(crate) const fn word(status: Status) -> Option<&'static str> {
    match status {
        Status::Succeeded => Some("successful"),
        Status::Canceled => Some("canceled"),
        Status::Suspended => Some("suspended"),
        Status::Terminal | Status::Stopped | Status::FailedContinue => Some("failed"),
        Status::NotStarted
        | Status::Running
        | Status::Paused
        | Status::Skipped
        | Status::Redirect
        | Status::Buffered => None,
    }
}
