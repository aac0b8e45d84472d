//! What the triggers of a pipeline did, read from its executions.

use std::sync::Arc;

use kork::rpc;
use kork_model::{
    Context, Execution, Timestamp,
    api::{
        front50::GetPipeline,
        orca::{ExecutionFilter, ListExecutions},
    },
};
use orca_engine::State;
use orca_triggers::past::{Ran, TriggerPast};
use serde_json::{Value, json};

use super::{Error, Shell, dependents::finished, triggers::update_of};

/// Executions that are looked at.
const LOOKED_AT: u32 = 100;
/// Fire times that are older are not looked for.
const BACK_MS: u64 = 30 * 24 * 3_600_000;

impl Shell {
    /// What each trigger of a pipeline did, in their order.
    pub(crate) async fn past(self: &Arc<Self>, pipeline: &str) -> Result<Vec<Context>, Error> {
        self.read_triggers().await?;
        let get = GetPipeline {
            id: pipeline.to_owned(),
            strategies: false,
        };
        let stored = rpc::call(&*self.ports.rpc, &get).await;
        let stored = stored.map_err(super::start::boxed)?;
        let now = self.ports.clock.now();
        let changed = Timestamp(update_of(stored.get("updateTs")));
        let since = changed.max(Timestamp(now.millis().saturating_sub(BACK_MS)));
        let states = self.newest_of(pipeline, LOOKED_AT).await?;
        let parents = {
            let index = self.triggers.index();
            let parents = index.parents(pipeline).into_iter();
            let parents = parents.map(|(at, parent)| (at, parent.to_owned()));
            parents.collect::<Vec<_>>()
        };
        let mut ends = Vec::new();
        for (at, parent) in parents {
            if let Some(end) = self.newest_of(&parent, 1).await?.pop() {
                ends.push((at, end));
            }
        }
        let ran: Vec<Ran<'_>> = states.iter().map(|state| ran(state)).collect();
        let index = self.triggers.index();
        let zone = Some(self.config.cron.time_zone.as_str());
        let past = index.past(pipeline, &ran, zone, (since, now));
        let mut shown: Vec<Context> = past.iter().filter_map(context).collect();
        for (at, end) in &ends {
            if let Some(shown) = shown.get_mut(*at) {
                let (parent, artifacts) =
                    (Context::new(), orca_engine::artifacts_of(&end.execution));
                let ended = finished(&end.execution, &parent, &artifacts);
                let because = index.not_by_end(pipeline, *at, &ended);
                shown.insert("lastEnd".to_owned(), last_end(&end.execution, because));
            }
        }
        Ok(shown)
    }

    /// The newest executions of a pipeline, the newest first.
    pub(crate) async fn newest_of(
        self: &Arc<Self>,
        pipeline: &str,
        limit: u32,
    ) -> Result<Vec<Arc<State>>, Error> {
        let of_pipeline = ListExecutions {
            filter: ExecutionFilter {
                pipeline_config_ids: vec![pipeline.to_owned()],
                ..ExecutionFilter::default()
            },
            limit: Some(limit),
            ..ListExecutions::default()
        };
        let mut states = Vec::new();
        for found in self
            .candidates(&of_pipeline, &[])
            .await?
            .iter()
            .take(limit as usize)
        {
            match self.state(&found.id).await {
                Ok(state) => states.push(state),
                Err(error) if error.is_passing() => return Err(error),
                // Deleted a moment ago.
                Err(_) => {}
            }
        }
        Ok(states)
    }
}

fn ran(state: &State) -> Ran<'_> {
    let execution = &state.execution;
    Ran {
        execution: execution.id.as_str(),
        status: execution.status,
        built: execution.build_time.unwrap_or_default(),
        trigger: &execution.trigger,
    }
}

fn context(past: &TriggerPast) -> Option<Context> {
    match serde_json::to_value(past) {
        Ok(Value::Object(shown)) => Some(shown),
        _ => None,
    }
}

fn last_end(execution: &Execution, because: Option<String>) -> Value {
    let mut shown = json!({
        "execution": execution.id, "status": execution.status, "endTime": execution.end_time,
    });
    if let Some(because) = because {
        shown["because"] = Value::from(because);
    }
    shown
}
