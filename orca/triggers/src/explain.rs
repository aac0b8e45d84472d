//! In words, why the triggers of a pipeline did or did not fire for an event.

use kork_model::inbound::InboundEvent;
use serde::Serialize;

use crate::{
    index::TriggerIndex,
    mismatch::Mismatch,
    seen::Seen,
    trigger::{Pipeline, Trigger, Wants},
};

/// What became of one trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Place of the trigger in the pipeline, from 0.
    pub index: usize,
    /// Type of the trigger as the pipeline has it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the event is what the trigger wants, and it is switched on.
    pub matched: bool,
    /// Whether it is this trigger that starts the pipeline.
    pub starts: bool,
    /// The first member that is not as wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the trigger wants there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What the event has there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// All of it in a sentence.
    pub reason: String,
}

impl TriggerIndex {
    /// One verdict per trigger of a pipeline, in its order; none for a pipeline that is not known or
    /// has no trigger.
    pub fn explain(&self, pipeline_id: &str, event: &InboundEvent) -> Vec<Verdict> {
        let Some(pipeline) = self.pipeline(pipeline_id) else {
            return Vec::new();
        };
        let seen = Seen::of(event);
        let mut all: Vec<Verdict> = Vec::new();
        for (index, trigger) in pipeline.triggers.iter().enumerate() {
            let before = all
                .iter()
                .find(|verdict| verdict.starts)
                .map(|verdict| verdict.index);
            let mut verdict = match switched_off(pipeline, trigger) {
                Some(reason) => Verdict::no(index, trigger, reason),
                None => match pipeline.check(trigger, &seen, &self.patterns) {
                    Ok(()) => Verdict::yes(index, trigger, event, before),
                    Err(mismatch) => Verdict::of(index, trigger, &mismatch),
                },
            };
            verdict.index = index;
            all.push(verdict);
        }
        all
    }
}

impl Verdict {
    fn no(index: usize, trigger: &Trigger, reason: impl Into<String>) -> Self {
        Self {
            index,
            kind: trigger.kind.to_string(),
            matched: false,
            starts: false,
            field: None,
            wanted: None,
            found: None,
            reason: reason.into(),
        }
    }

    fn yes(index: usize, trigger: &Trigger, event: &InboundEvent, before: Option<usize>) -> Self {
        let starts = before.is_none() && !event.id.is_empty();
        let reason = match before {
            Some(before) => {
                format!("matches, but trigger {before} already starts the pipeline for this event")
            }
            None if starts => "matches and starts the pipeline".to_owned(),
            None => "matches, but an event without an id starts nothing".to_owned(),
        };
        Self {
            matched: true,
            starts,
            ..Self::no(index, trigger, reason)
        }
    }

    fn of(index: usize, trigger: &Trigger, mismatch: &Mismatch<'_>) -> Self {
        let reason = match (&trigger.wants, mismatch) {
            (Wants::Cron { .. }, Mismatch::Kind { .. }) => {
                "fires by the clock, not by events".to_owned()
            }
            (Wants::Pipeline { .. }, Mismatch::Kind { .. }) => {
                "fires when another pipeline ends, not by events".to_owned()
            }
            (Wants::Nothing, Mismatch::Kind { .. }) if &*trigger.kind == "manual" => {
                "is started by hand, not by events".to_owned()
            }
            (Wants::Nothing, Mismatch::Kind { .. }) => {
                format!(
                    "nothing fires triggers of type `{}`; correct the type",
                    trigger.kind
                )
            }
            _ => mismatch.words(),
        };
        Self {
            field: Some(mismatch.field().to_owned()),
            wanted: Some(mismatch.wanted()),
            found: mismatch.found(),
            ..Self::no(index, trigger, reason)
        }
    }
}

/// Why nothing can start the pipeline by this trigger.
pub(crate) fn switched_off(pipeline: &Pipeline, trigger: &Trigger) -> Option<&'static str> {
    if pipeline.disabled {
        return Some("the pipeline is disabled");
    }
    (!trigger.enabled).then_some("the trigger is disabled")
}
