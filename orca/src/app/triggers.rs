//! Which stored pipelines an event starts. The index follows front50's change events.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use kork::{
    ports::{Message, Start as From},
    rpc,
};
use kork_model::{
    Context, ExecutionId, InboundEvent, Kind, Problem, SuiteEvent,
    api::{
        front50::{GetPipeline, ListTriggers},
        igor::CompleteEvent,
        orca::Explained,
    },
    event::{self, subject},
};
use orca_engine::Rejection;
use orca_triggers::{Fired, TriggerIndex};
use serde_json::Value;

use super::{Error, Shell, start::Start, templates};

/// Pipelines that one event starts at the same time.
const STARTS_AT_ONCE: usize = 16;
/// A changed pipeline is asked for so often, with this pause, until the answer is as new as the change.
const READS_MAX: usize = 40;
const READ_PAUSE: Duration = Duration::from_millis(25);
/// How long a CI server or a registry may take to tell more about an event.
const COMPLETION_MAX: Duration = Duration::from_secs(45);
/// Pause before a lost subscription is made anew.
const RETRY: Duration = Duration::from_secs(1);

/// The triggers of all stored pipelines.
#[derive(Default)]
pub(crate) struct Triggers {
    index: RwLock<TriggerIndex>,
    /// It holds all pipelines; set by whoever reads them first.
    read: tokio::sync::Mutex<bool>,
}

impl Triggers {
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, TriggerIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, TriggerIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the changes of pipelines and of their templates.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        let [pipelines, templates] =
            ["pipeline", templates::TYPE].map(|of| format!("{}{of}", subject::FRONT50));
        loop {
            let topic = &shell.ports.topic;
            let (Ok(mut pipelines), Ok(mut templates)) = (
                topic.subscribe(&pipelines, From::Now).await,
                topic.subscribe(&templates, From::Now).await,
            ) else {
                tokio::time::sleep(RETRY).await;
                continue;
            };
            // Subscribed first, read then: nothing falls between.
            *shell.triggers.read.lock().await = false;
            shell.definitions.forget_all();
            while let Err(error) = shell.read_triggers().await {
                tracing::warn!(error = %error.problem(), "triggers are read later");
                tokio::time::sleep(RETRY).await;
            }
            loop {
                let told = tokio::select! {
                    told = pipelines.next() => told,
                    told = templates.next() => told,
                };
                let Ok(message) = told else { break };
                shell.take_in_changes(&message).await;
            }
        }
    });
}

impl Shell {
    /// Starts what an event starts: each pipeline once, however often this is called with it.
    pub(crate) async fn fire(self: &Arc<Self>, event: &InboundEvent) -> Result<(), Error> {
        self.read_triggers().await?;
        let completed = if event.incomplete && self.triggers.index().may_match(event) {
            match self.completed(event).await? {
                Some(completed) => Some(completed),
                None => return Ok(()),
            }
        } else {
            None
        };
        let event = completed.as_ref().unwrap_or(event);
        let fired = self.triggers.index().matches(event);
        self.start_fired(&fired, &event.sender).await
    }

    async fn completed(&self, event: &InboundEvent) -> Result<Option<InboundEvent>, Error> {
        let complete = CompleteEvent {
            event: event.clone(),
            property_files: {
                let index = self.triggers.index();
                let files = index.property_files(event).into_iter();
                files.map(str::to_owned).collect()
            },
        };
        match rpc::call_within(&*self.ports.rpc, &complete, COMPLETION_MAX).await {
            Ok(completed) => Ok(completed),
            Err(problem) if super::start::boxed(problem.clone()).is_passing() => {
                Err(super::start::boxed(problem))
            }
            Err(problem) => {
                tracing::warn!(event = event.id, error = %problem, "an event is not completed and starts nothing");
                Ok(None)
            }
        }
    }

    /// Starts pipelines that were fired. An error that passes: not all are started, and it is to be done again.
    /// None is left in the middle because another one failed: what it wrote would wait for somebody to go on.
    pub(crate) async fn start_fired(
        self: &Arc<Self>,
        fired: &[Fired],
        origin: &str,
    ) -> Result<(), Error> {
        let starts: Vec<_> = fired
            .iter()
            .map(|fired| async move { self.start_one(fired, origin).await })
            .collect();
        let starts = stream::iter(starts).buffer_unordered(STARTS_AT_ONCE);
        let all: Vec<Result<(), Error>> = starts.collect().await;
        all.into_iter().collect()
    }

    async fn start_one(self: &Arc<Self>, fired: &Fired, origin: &str) -> Result<(), Error> {
        let pipeline = match self.definition(&fired.pipeline).await {
            Ok(pipeline) => pipeline,
            Err(problem) if problem.kind == Kind::NotFound => return Ok(()),
            Err(problem) if problem.kind.is_passing() => {
                return Err(super::start::boxed(problem));
            }
            // One that cannot be read keeps no other one from starting.
            Err(problem) => return self.refused(fired, origin, &problem).await,
        };
        let start = Start {
            pipeline: &pipeline,
            trigger: Some(&fired.trigger),
            user: &fired.user,
            origin,
            id: Some(id_of(fired)),
            is_new: true,
        };
        self.measures.triggered(origin);
        match self.start(&start).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => self.refused(fired, origin, &error.problem()).await,
        }
    }

    /// A pipeline as it was last told of.
    async fn definition(&self, id: &str) -> Result<Context, Problem> {
        if let Some(held) = self.definitions.get(id) {
            return Ok(held);
        }
        let turn = self.definitions.turn();
        let get = GetPipeline {
            id: id.to_owned(),
            strategies: false,
        };
        let pipeline = rpc::call(&*self.ports.rpc, &get).await?;
        self.definitions.put(id, &pipeline, turn);
        Ok(pipeline)
    }

    /// What cannot start is stored as failed where it can be seen.
    async fn refused(
        self: &Arc<Self>,
        fired: &Fired,
        origin: &str,
        why: &Problem,
    ) -> Result<(), Error> {
        tracing::warn!(pipeline = &*fired.pipeline, error = %why, "a trigger could not start its pipeline");
        let id = id_of(fired);
        match self.state(&id).await {
            Err(Error::Rejected(Rejection::UnknownExecution(_))) => {}
            Err(error) if error.is_passing() => return Err(error),
            _ => return Ok(()),
        }
        match self.start_refused(fired, origin, id, why).await {
            Err(error) if error.is_passing() => Err(error),
            _ => Ok(()),
        }
    }

    /// What these events did, or would do: to all pipelines that they start, or to a certain one.
    pub(crate) async fn explain(
        &self,
        pipeline: Option<&str>,
        events: &[InboundEvent],
    ) -> Result<Vec<Explained>, Error> {
        self.read_triggers().await?;
        let mut whole = Vec::with_capacity(events.len());
        for event in events {
            // As it was when it was done; who cannot be asked now is explained with what is known.
            let completed = if event.incomplete && self.triggers.index().may_match(event) {
                self.completed(event).await.unwrap_or_default()
            } else {
                None
            };
            whole.push(completed.unwrap_or_else(|| event.clone()));
        }
        let index = self.triggers.index();
        let mut explained = Vec::new();
        for event in &whole {
            let fired = index.matches(event);
            let of = |id: &str| fired.iter().find(|f| f.pipeline.as_ref() == id);
            let ids: Vec<&str> = match pipeline {
                Some(id) => vec![id],
                None => fired.iter().map(|f| &*f.pipeline).collect(),
            };
            for id in ids {
                let Some((application, name)) = index.named(id) else {
                    continue;
                };
                explained.push(Explained {
                    event: event.id.clone(),
                    pipeline: id.to_owned(),
                    application: application.to_owned(),
                    name: name.to_owned(),
                    execution: of(id).map(|fired| id_of(fired).to_string()),
                    triggers: index.explain(id, event).iter().map(shown).collect(),
                });
            }
        }
        Ok(explained)
    }

    /// Reads the triggers of all pipelines, once.
    pub(crate) async fn read_triggers(&self) -> Result<(), Error> {
        let mut read = self.triggers.read.lock().await;
        if *read {
            return Ok(());
        }
        self.templates.forget_all();
        let mut all: Vec<Context> = Vec::new();
        let mut templates = templates::Read::new();
        let mut after = String::new();
        loop {
            let page = ListTriggers {
                after: after.clone(),
            };
            let page = rpc::call(&*self.ports.rpc, &page).await;
            let page = page.map_err(super::start::boxed)?;
            let Some(last) = page.last().and_then(id_in) else {
                break;
            };
            last.clone_into(&mut after);
            for pipeline in page {
                let whole = self.with_template_triggers(&pipeline, &mut templates).await;
                all.push(whole.map_err(super::start::boxed)?.into_owned());
            }
        }
        self.triggers.index_mut().replace_all(all.iter());
        *read = true;
        drop(read);
        self.cron.changed();
        Ok(())
    }

    async fn take_in_changes(&self, message: &Message) {
        let Ok(changes) = event::read(&message.payload) else {
            tracing::warn!(id = message.id, "a change of pipelines cannot be read");
            return;
        };
        for change in changes {
            while let Err(error) = self.take_in_change(&change).await {
                tracing::warn!(error = %error.problem(), "a changed pipeline is read later");
                tokio::time::sleep(RETRY).await;
            }
        }
        self.cron.changed();
    }

    async fn take_in_change(&self, change: &SuiteEvent) -> Result<(), Error> {
        let Some(id) = &change.subject else {
            return Ok(());
        };
        match change.kind.split(':').nth(1) {
            Some("pipeline") => self.take_in_pipeline(id, change).await,
            Some(templates::TYPE) => self.take_in_template(id, change).await,
            _ => Ok(()),
        }
    }

    /// Files those anew that are made from a template.
    async fn take_in_template(&self, id: &str, change: &SuiteEvent) -> Result<(), Error> {
        let users = self.templates.users(id);
        if users.is_empty() {
            return Ok(());
        }
        let since = update_of(change.data.get("updateTs"));
        let is_gone = change.kind.ends_with(":deleted");
        let mut read = templates::Read::new();
        for _ in 0..READS_MAX {
            let template = self.template(id).await.map_err(super::start::boxed)?;
            let updated = template.as_ref().map(|it| update_of(it.get("updateTs")));
            read.insert(id.to_owned(), template);
            if updated.map_or(is_gone, |updated| !is_gone && updated >= since) {
                break;
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
        for user in users {
            let get = GetPipeline {
                id: user,
                strategies: false,
            };
            match rpc::call(&*self.ports.rpc, &get).await {
                Ok(pipeline) => self.file(&pipeline, &mut read).await?,
                Err(problem) if problem.kind.is_passing() => {
                    return Err(super::start::boxed(problem));
                }
                // Its own change says what became of it.
                Err(problem) => {
                    tracing::warn!(pipeline = get.id, error = %problem, "its triggers stay as they are");
                }
            }
        }
        Ok(())
    }

    /// Files the triggers of a pipeline, with those of its template.
    async fn file(&self, pipeline: &Context, read: &mut templates::Read) -> Result<(), Error> {
        let whole = self.with_template_triggers(pipeline, read).await;
        let whole = whole.map_err(super::start::boxed)?;
        self.triggers.index_mut().put(&whole);
        Ok(())
    }

    fn is_filed_no_more(&self, id: &str) {
        self.templates.note(id, None);
        self.triggers.index_mut().remove(id);
    }

    /// Another front50 may answer than the one that wrote, and hear of it a moment later.
    async fn take_in_pipeline(&self, id: &str, change: &SuiteEvent) -> Result<(), Error> {
        self.definitions.changed(id);
        let turn = self.definitions.turn();
        let is_gone = change.kind.ends_with(":deleted");
        let since = update_of(change.data.get("updateTs"));
        for _ in 0..READS_MAX {
            let get = GetPipeline {
                id: id.to_owned(),
                strategies: false,
            };
            match rpc::call(&*self.ports.rpc, &get).await {
                Ok(pipeline) if !is_gone && update_of(pipeline.get("updateTs")) >= since => {
                    self.file(&pipeline, &mut templates::Read::new()).await?;
                    if self.triggers.index().named(id).is_some() {
                        self.definitions.put(id, &pipeline, turn);
                    }
                    return Ok(());
                }
                Err(problem) if problem.kind == Kind::NotFound && is_gone => {
                    self.is_filed_no_more(id);
                    return Ok(());
                }
                Ok(_) => {}
                Err(problem) if problem.kind == Kind::NotFound => {}
                Err(problem) if problem.kind.is_passing() => {
                    return Err(super::start::boxed(problem));
                }
                // Its next change says whether it can be read again; those of others must not wait for that.
                Err(problem) => {
                    tracing::error!(pipeline = id, error = %problem, "its triggers are left out");
                    self.is_filed_no_more(id);
                    return Ok(());
                }
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
        // Deleted and made again, or the other way round: the next change says so.
        Ok(())
    }
}

/// One id per event and pipeline.
pub(crate) fn id_of(fired: &Fired) -> ExecutionId {
    orca_engine::decide::derived_id(&fired.execution_key, &fired.pipeline)
}

fn id_in(pipeline: &Context) -> Option<&str> {
    pipeline.get("id").and_then(Value::as_str)
}

fn shown(verdict: &orca_triggers::Verdict) -> Context {
    match serde_json::to_value(verdict) {
        Ok(Value::Object(shown)) => shown,
        _ => Context::new(),
    }
}

/// Milliseconds, which Spinnaker writes as a text.
pub(super) fn update_of(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Number(ms)) => ms.as_u64().unwrap_or(0),
        Some(Value::String(ms)) => ms.parse().unwrap_or(0),
        _ => 0,
    }
}
