//! What the triggers of a pipeline did: which executions each started, and which fire times nobody served.

use kork_model::{Context, Status, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Finished, TriggerIndex,
    cron::{self, Schedule},
    explain::switched_off,
    finished::word,
    member,
    trigger::{Trigger, Wants},
};

/// Starts that are shown of one trigger.
const SHOWN_MAX: usize = 20;
/// A fire time that is no older may still be about to start its execution.
const STARTING_MS: u64 = 60_000;

/// An execution of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Ran<'a> {
    pub execution: &'a str,
    pub status: Status,
    pub built: Timestamp,
    pub trigger: &'a Context,
}

/// What is known of one trigger.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerPast {
    /// Place of the trigger in the pipeline, from 0.
    pub index: usize,
    #[serde(rename = "type")]
    pub kind: String,
    /// Why it cannot start anything now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Its schedule in words, and when it fires next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// The newest first, at most twenty.
    pub starts: Vec<Start>,
}

/// One start, or a fire time that had none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// The fire time; of other triggers when the execution was made.
    pub at: Timestamp,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The event that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Started,
    /// Nobody watched the clock when it was due; it was made up for, as `orca.cron.catchUp` says.
    MadeUp,
    /// It is just due.
    Starting,
    /// Nobody watched the clock when it was due, and it was not made up for.
    Missed,
}

impl TriggerIndex {
    /// What each trigger of a pipeline did, in their order. `ran` has executions of the pipeline, the newest
    /// first; fire times are looked at from `since`, when the pipeline became what it is.
    pub fn past(
        &self,
        pipeline_id: &str,
        ran: &[Ran<'_>],
        zone: Option<&str>,
        (since, now): (Timestamp, Timestamp),
    ) -> Vec<TriggerPast> {
        let Some(pipeline) = self.pipeline(pipeline_id) else {
            return Vec::new();
        };
        let all = pipeline.triggers.iter().enumerate();
        all.map(|(index, trigger)| {
            let mut past = TriggerPast {
                index,
                kind: trigger.kind.to_string(),
                because: switched_off(pipeline, trigger).map(str::to_owned),
                schedule: None,
                next: None,
                starts: Vec::new(),
            };
            match &trigger.wants {
                Wants::Cron { id, .. } => {
                    let prefix = format!("cron:{pipeline_id}/{id}:");
                    let is_its =
                        |ran: &&Ran<'_>| event_of(ran).is_some_and(|e| e.starts_with(&prefix));
                    let its: Vec<&Ran<'_>> = ran.iter().filter(is_its).collect();
                    past.of_cron(trigger, &its, zone, (since, now));
                }
                _ => past.of_events(trigger, ran),
            }
            past
        })
        .collect()
    }

    /// The pipelines whose ends the triggers of this one wait for, by the trigger's place.
    pub fn parents(&self, pipeline_id: &str) -> Vec<(usize, &str)> {
        let triggers = self.pipeline(pipeline_id).map_or(&[][..], |p| &p.triggers);
        let all = triggers.iter().enumerate();
        all.filter_map(|(at, trigger)| match &trigger.wants {
            Wants::Pipeline { pipeline, .. } => Some((at, &**pipeline)),
            _ => None,
        })
        .collect()
    }

    /// Why the end of an execution does not start this pipeline by this trigger; none when it does.
    pub fn not_by_end(&self, pipeline_id: &str, at: usize, ended: &Finished<'_>) -> Option<String> {
        let pipeline = self.pipeline(pipeline_id)?;
        let trigger = pipeline.triggers.get(at)?;
        if let Some(off) = switched_off(pipeline, trigger) {
            return Some(off.to_owned());
        }
        let Some(status) = word(ended.status) else {
            return Some("the execution has not ended".to_owned());
        };
        if self.waits_for(pipeline, at, ended, status) {
            return None;
        }
        if let Wants::Pipeline {
            application,
            status: wanted,
            ..
        } = &trigger.wants
        {
            if !wanted.iter().any(|w| w.eq_ignore_ascii_case(status)) {
                let wanted = wanted.iter().map(|w| &**w).collect::<Vec<_>>().join(", ");
                return Some(format!("it ended {status}, the trigger wants: {wanted}"));
            }
            if let Some(wanted) = application.as_deref()
                && !wanted.eq_ignore_ascii_case(ended.application)
            {
                let found = ended.application;
                return Some(format!(
                    "it is of application {found}, the trigger wants {wanted}"
                ));
            }
        }
        let mismatch = pipeline.check_artifacts(trigger, ended.artifacts, &self.patterns);
        mismatch.err().map(|mismatch| mismatch.words())
    }
}

fn event_of<'a>(ran: &Ran<'a>) -> Option<&'a str> {
    member::text(ran.trigger, "eventId")
}

impl TriggerPast {
    fn of_cron(
        &mut self,
        trigger: &Trigger,
        ran: &[&Ran<'_>],
        zone: Option<&str>,
        (since, now): (Timestamp, Timestamp),
    ) {
        let schedule = match schedule_of(trigger, zone) {
            Some(Ok(schedule)) => schedule,
            Some(Err(wrong)) => {
                self.because = Some(wrong.to_string());
                return;
            }
            None => return,
        };
        self.schedule = Some(schedule.describe());
        if self.because.is_none() {
            self.next = schedule.next_after(now);
        }
        let fire_of = |ran: &Ran<'_>| {
            ran.trigger
                .get("fireTime")
                .and_then(Value::as_u64)
                .map(Timestamp)
        };
        let served: Vec<Timestamp> = ran.iter().filter_map(|ran| fire_of(ran)).collect();
        let mut starts: Vec<Start> = ran
            .iter()
            .map(|ran| {
                let made_up = ran.trigger.get("madeUp") == Some(&Value::Bool(true));
                let outcome = if made_up {
                    Outcome::MadeUp
                } else {
                    Outcome::Started
                };
                started(ran, fire_of(ran).unwrap_or(ran.built), outcome)
            })
            .collect();
        let mut until = now;
        for _ in 0..SHOWN_MAX {
            let Some(at) = schedule.last_between(since, until) else {
                break;
            };
            if !served.contains(&at) {
                let outcome = if now.ms_since(at) < STARTING_MS {
                    Outcome::Starting
                } else {
                    Outcome::Missed
                };
                starts.push(Start {
                    at,
                    outcome,
                    execution: None,
                    status: None,
                    event: None,
                });
            }
            until = Timestamp(at.millis().saturating_sub(1));
        }
        starts.sort_by_key(|start| std::cmp::Reverse(start.at));
        starts.truncate(SHOWN_MAX);
        self.starts = starts;
    }

    fn of_events(&mut self, trigger: &Trigger, ran: &[Ran<'_>]) {
        let own = trigger.own();
        let id = member::text(&own, "id");
        let is_its = |ran: &&Ran<'_>| {
            member::text(ran.trigger, "type") == Some(&*trigger.kind)
                && (id.is_none() || member::text(ran.trigger, "id") == id)
        };
        let its = ran.iter().filter(is_its).take(SHOWN_MAX);
        self.starts = its
            .map(|ran| started(ran, ran.built, Outcome::Started))
            .collect();
    }
}

fn started(ran: &Ran<'_>, at: Timestamp, outcome: Outcome) -> Start {
    Start {
        at,
        outcome,
        execution: Some(ran.execution.to_owned()),
        status: Some(ran.status),
        event: event_of(ran).map(str::to_owned),
    }
}

fn schedule_of(trigger: &Trigger, zone: Option<&str>) -> Option<Result<Schedule, cron::Error>> {
    let Wants::Cron {
        id,
        expression,
        zone: own,
    } = &trigger.wants
    else {
        return None;
    };
    let zone = own.as_deref().or(zone).unwrap_or(cron::DEFAULT_ZONE);
    Some(Schedule::parse(expression, zone, id))
}
