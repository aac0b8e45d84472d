//! The triggers of all pipelines, filed by what an event has to say exactly.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use kork_model::{Context, inbound::InboundEvent};

use crate::{
    fired::Fired,
    pattern::Patterns,
    seen::Seen,
    trigger::{self, Key, Pipeline, Wants},
};

/// Triggers of every pipeline that has one. Only what matching needs is kept.
///
/// One event starts a pipeline at most once, however many of its triggers match and however often the
/// event is told: the first trigger that matches is the one, and [`Fired::execution_key`] names the
/// event and the pipeline alone. (Spinnaker may start several executions for one event.)
#[derive(Debug, Default)]
pub struct TriggerIndex {
    pipelines: HashMap<Arc<str>, Arc<Pipeline>>,
    filed: HashMap<Key, Vec<Filed>>,
    /// Pipelines with a cron trigger.
    pub(crate) crons: BTreeSet<Arc<str>>,
    applications: HashSet<Arc<str>>,
    pub(crate) patterns: Patterns,
}

#[derive(Debug)]
struct Filed {
    pipeline: Arc<Pipeline>,
    trigger: u32,
}

impl TriggerIndex {
    /// Files a pipeline anew; whatever was known of its id is forgotten. One without id is not filed.
    pub fn put(&mut self, pipeline: &Context) {
        if let Some(id) = crate::member::id(pipeline) {
            self.remove(id);
        }
        let applications = &mut self.applications;
        let read = Pipeline::read(pipeline, &mut |name| {
            if let Some(known) = applications.get(name) {
                return Arc::clone(known);
            }
            let name: Arc<str> = Arc::from(name);
            applications.insert(Arc::clone(&name));
            name
        });
        let Some(pipeline) = read.map(Arc::new) else {
            return;
        };
        for (at, trigger) in pipeline.triggers.iter().enumerate() {
            if let Some(key) = trigger.wants.key() {
                let filed = Filed {
                    pipeline: Arc::clone(&pipeline),
                    trigger: at as u32,
                };
                self.filed.entry(key).or_default().push(filed);
            }
            if matches!(trigger.wants, Wants::Cron { .. }) {
                self.crons.insert(Arc::clone(&pipeline.id));
            }
        }
        self.pipelines.insert(Arc::clone(&pipeline.id), pipeline);
    }

    /// Forgets a pipeline.
    pub fn remove(&mut self, id: &str) {
        let Some(pipeline) = self.pipelines.remove(id) else {
            return;
        };
        self.crons.remove(id);
        for key in pipeline
            .triggers
            .iter()
            .filter_map(|trigger| trigger.wants.key())
        {
            if let Some(filed) = self.filed.get_mut(&key) {
                filed.retain(|filed| !Arc::ptr_eq(&filed.pipeline, &pipeline));
                if filed.is_empty() {
                    self.filed.remove(&key);
                }
            }
        }
    }

    /// Forgets everything and files these.
    pub fn replace_all<'a>(&mut self, pipelines: impl IntoIterator<Item = &'a Context>) {
        *self = Self::default();
        for pipeline in pipelines {
            self.put(pipeline);
        }
    }

    /// How many pipelines with a trigger are known.
    pub fn len(&self) -> usize {
        self.pipelines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty()
    }

    /// What an event starts, by pipeline id. An event without id starts nothing, since nobody could tell
    /// it from its repetition.
    pub fn matches(&self, event: &InboundEvent) -> Vec<Fired> {
        let seen = Seen::of(event);
        let mut fired: Vec<Fired> = Vec::new();
        if event.id.is_empty() {
            return fired;
        }
        for (pipeline, at) in self.candidates(&trigger::of_event(&seen)) {
            let decided = fired
                .last()
                .is_some_and(|last| last.pipeline == pipeline.id);
            let trigger = &pipeline.triggers[at];
            if !decided && trigger.enabled && pipeline.check(trigger, &seen, &self.patterns).is_ok()
            {
                fired.push(Fired::by_event(pipeline, at, &seen));
            }
        }
        fired
    }

    /// The property files that triggers for a build ask for. Their contents, by name of the file, go
    /// into `propertyFiles` of the event's `trigger` before [`Self::matches`] is asked.
    pub fn property_files(&self, event: &InboundEvent) -> BTreeSet<&str> {
        let keys = trigger::of_event(&Seen::of(event));
        let candidates = self.candidates(&keys).into_iter();
        let files = candidates.filter_map(|(pipeline, at)| match &pipeline.triggers[at].wants {
            Wants::Build(build) => build.file.as_deref(),
            _ => None,
        });
        files.collect()
    }

    /// Some trigger is for what this event is about. Whether it matches may depend on more than the event
    /// says yet.
    pub fn may_match(&self, event: &InboundEvent) -> bool {
        !self
            .candidates(&trigger::of_event(&Seen::of(event)))
            .is_empty()
    }

    /// Application and name of a pipeline with triggers.
    pub fn named(&self, id: &str) -> Option<(&str, &str)> {
        let pipeline = self.pipeline(id)?;
        Some((&pipeline.application, &pipeline.name))
    }

    /// Triggers of enabled pipelines under some keys, ordered by pipeline id and place in the pipeline.
    pub(crate) fn candidates(&self, keys: &[Key]) -> Vec<(&Pipeline, usize)> {
        let filed = keys.iter().filter_map(|key| self.filed.get(key)).flatten();
        let mut found: Vec<(&Pipeline, usize)> = filed
            .filter(|filed| !filed.pipeline.disabled)
            .map(|filed| (&*filed.pipeline, filed.trigger as usize))
            .collect();
        found.sort_unstable_by(|(a, x), (b, y)| (&a.id, x).cmp(&(&b.id, y)));
        found
    }

    pub(crate) fn pipeline(&self, id: &str) -> Option<&Pipeline> {
        self.pipelines.get(id).map(|pipeline| &**pipeline)
    }
}

#[cfg(test)]
mod tests;
