//! Cron triggers of the index, and what one of their fire times starts.

use kork_model::{Context, Timestamp};
use serde_json::json;

use super::{DEFAULT_ZONE, Error, Schedule};
use crate::{
    fired::Fired,
    index::TriggerIndex,
    trigger::{Pipeline, Wants},
};

/// A cron trigger that is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronTrigger<'a> {
    pub pipeline: &'a str,
    /// Id of the trigger; its expression when it has none.
    pub trigger: &'a str,
    pub expression: &'a str,
    /// The trigger's own `timezone` (or `timeZone`).
    pub zone: Option<&'a str>,
}

impl CronTrigger<'_> {
    /// When it fires; `default_zone` is for triggers that name none, [`DEFAULT_ZONE`] if that is `None`.
    pub fn schedule(&self, default_zone: Option<&str>) -> Result<Schedule, Error> {
        let zone = self.zone.or(default_zone).unwrap_or(DEFAULT_ZONE);
        Schedule::parse(self.expression, zone, self.trigger)
    }

    /// The event that a fire time is, however many schedulers or restarts come upon it.
    pub fn event_id(&self, at: Timestamp) -> String {
        format!("cron:{}/{}:{at}", self.pipeline, self.trigger)
    }
}

impl TriggerIndex {
    /// The cron triggers that are switched on, in pipelines that are, by pipeline id.
    pub fn crons(&self) -> impl Iterator<Item = CronTrigger<'_>> {
        let pipelines = self.crons.iter().filter_map(|id| self.pipeline(id));
        pipelines.flat_map(of_pipeline).map(|(_, cron)| cron)
    }

    /// What a fire time of a cron trigger starts; `None` when the trigger is no longer there or was
    /// switched off.
    pub fn cron_fired(&self, pipeline: &str, trigger: &str, at: Timestamp) -> Option<Fired> {
        let pipeline = self.pipeline(pipeline)?;
        let (index, cron) = of_pipeline(pipeline).find(|(_, cron)| cron.trigger == trigger)?;
        let more = Context::from_iter([("fireTime".to_owned(), json!(at))]);
        Some(Fired::new(pipeline, index, &cron.event_id(at), more))
    }
}

fn of_pipeline(pipeline: &Pipeline) -> impl Iterator<Item = (usize, CronTrigger<'_>)> {
    let triggers = pipeline.triggers.iter().enumerate();
    triggers.filter_map(|(index, trigger)| match &trigger.wants {
        Wants::Cron {
            id,
            expression,
            zone,
        } if trigger.enabled && !pipeline.disabled => {
            let zone = zone.as_deref();
            Some((
                index,
                CronTrigger {
                    pipeline: &pipeline.id,
                    trigger: id,
                    expression,
                    zone,
                },
            ))
        }
        _ => None,
    })
}
