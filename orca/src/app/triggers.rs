//! Which stored pipelines a webhook starts. The index follows front50's change events.

use std::sync::{Arc, Mutex, PoisonError};

use kork::{ports::Start as From, rpc};
use kork_model::{Context, ExecutionId, api::front50::ListPipelines, event::subject};
use regex::Regex;
use serde_json::{Value, json};

use super::{Error, Shell, start::Start};

/// Pipelines with at least one webhook trigger; `None` until they were read.
#[derive(Default)]
pub struct TriggerIndex {
    pipelines: Mutex<Option<Arc<Vec<Context>>>>,
}

impl TriggerIndex {
    fn set(&self, pipelines: Option<Arc<Vec<Context>>>) {
        *self
            .pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = pipelines;
    }

    fn get(&self) -> Option<Arc<Vec<Context>>> {
        self.pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Forgets the index whenever a pipeline changed; the next webhook reads it again.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        let prefix = format!("{}pipeline", subject::FRONT50);
        loop {
            let Ok(mut changes) = shell.ports.topic.subscribe(&prefix, From::Now).await else {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            };
            shell.triggers.set(None);
            while changes.next().await.is_ok() {
                shell.triggers.set(None);
            }
        }
    });
}

/// A webhook as it came in.
pub(crate) struct Webhook<'a> {
    pub source: &'a str,
    pub payload: &'a Context,
    pub event_id: &'a str,
}

impl Shell {
    /// Starts every pipeline with a matching webhook trigger, each once per event id.
    pub(crate) async fn webhook(self: &Arc<Self>, webhook: &Webhook<'_>) -> Result<usize, Error> {
        let pipelines = self.webhook_pipelines().await?;
        let mut started = 0;
        for pipeline in pipelines.iter() {
            let Some(own) = matching(pipeline, webhook) else {
                continue;
            };
            let trigger = trigger_of(own, webhook);
            let config = pipeline
                .get("id")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let user = own
                .get("runAsUser")
                .and_then(Value::as_str)
                .unwrap_or("anonymous");
            let start = Start {
                pipeline,
                trigger: Some(&trigger),
                user,
                origin: "webhook",
                id: Some(id_for(webhook.event_id, config)),
            };
            match self.start(&start).await {
                Ok(_) => started += 1,
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    tracing::warn!(pipeline = config, error = %error.problem(), "a webhook could not start a pipeline");
                }
            }
        }
        Ok(started)
    }

    async fn webhook_pipelines(&self) -> Result<Arc<Vec<Context>>, Error> {
        if let Some(known) = self.triggers.get() {
            return Ok(known);
        }
        let all = rpc::call(&*self.ports.rpc, &ListPipelines::default()).await;
        let all = all.map_err(super::start::boxed)?;
        let with_webhook = all
            .into_iter()
            .filter(|p| webhook_triggers(p).next().is_some());
        let pipelines = Arc::new(with_webhook.collect::<Vec<_>>());
        self.triggers.set(Some(Arc::clone(&pipelines)));
        Ok(pipelines)
    }
}

/// One id per event and pipeline: a webhook that is delivered twice starts nothing the second time.
fn id_for(event_id: &str, pipeline: &str) -> ExecutionId {
    orca_engine::decide::derived_id(event_id, pipeline)
}

fn webhook_triggers(pipeline: &Context) -> impl Iterator<Item = &Context> {
    let triggers = pipeline.get("triggers").and_then(Value::as_array);
    triggers
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter(|t| {
            t.get("type").and_then(Value::as_str) == Some("webhook") && is_true(t.get("enabled"))
        })
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn matching<'a>(pipeline: &'a Context, webhook: &Webhook<'_>) -> Option<&'a Context> {
    if is_true(pipeline.get("disabled")) {
        return None;
    }
    webhook_triggers(pipeline).find(|trigger| {
        trigger.get("source").and_then(Value::as_str) == Some(webhook.source)
            && constraints_hold(trigger, webhook.payload)
    })
}

/// Every key must be there, and its value must contain a match of the regular expression. A null
/// constraint only asks for the key; an invalid expression never holds.
fn constraints_hold(trigger: &Context, payload: &Context) -> bool {
    let Some(Value::Object(constraints)) = trigger.get("payloadConstraints") else {
        return true;
    };
    constraints.iter().all(|(key, wanted)| {
        let Some(actual) = payload.get(key).filter(|v| !v.is_null()) else {
            return false;
        };
        let Some(pattern) = wanted.as_str() else {
            return wanted.is_null();
        };
        let text = actual
            .as_str()
            .map_or_else(|| actual.to_string(), str::to_owned);
        Regex::new(pattern).is_ok_and(|regex| regex.is_match(&text))
    })
}

fn trigger_of(own: &Context, webhook: &Webhook<'_>) -> Context {
    let mut trigger = own.clone();
    trigger.insert("payload".to_owned(), Value::Object(webhook.payload.clone()));
    trigger.insert("eventId".to_owned(), json!(webhook.event_id));
    if let Some(Value::Object(parameters)) = webhook.payload.get("parameters") {
        trigger.insert("parameters".to_owned(), json!(parameters));
    }
    if let Some(Value::Array(artifacts)) = webhook.payload.get("artifacts") {
        trigger.insert("artifacts".to_owned(), json!(artifacts));
    }
    trigger
}
