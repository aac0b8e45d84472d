//! What workers and child pipelines report.

use kork_model::{Context, Kind, StageId, Status, WorkReport, WorkResult};

use super::Decider;
use crate::{
    command::ChildEnd,
    context::json_bytes,
    event::Event,
    limits,
    stage::{self, StageView},
    state::State,
};

impl Decider {
    /// A report on work that is not out (any more) changes nothing: it was answered before.
    pub(crate) fn report(&mut self, report: &WorkReport) {
        let id = &report.stage;
        let notes = self.state.notes(id);
        let waiting =
            |t: &crate::state::TaskMeta| t.order.as_ref().map(|o| &o.key) == Some(&report.key);
        let Some(task) = notes.tasks.iter().position(waiting) else {
            return;
        };
        if let Some(progress) = report
            .progress
            .as_ref()
            .filter(|p| self.is_worth_showing(id, p))
        {
            self.emit(Event::ContextChanged {
                stage: id.clone(),
                set: progress.clone(),
                removed: Vec::new(),
                by: None,
            });
        }
        let Some(result) = report.result.clone() else {
            return;
        };
        if let Some(pause_ms) = self.retry_after(id, task, &result) {
            return self.retry(id, task, pause_ms);
        }
        let Some(stage) = self.state.stage(id) else {
            return;
        };
        let Some(definition) = stage::of(&self.state.execution, stage) else {
            return;
        };
        let view = StageView {
            now: self.now,
            execution: &self.state.execution,
            stage,
        };
        let outcome = definition.finish(&notes.tasks[task].kind, &view, sound(result));
        self.settle(id, task, outcome);
    }

    /// News, and small enough: what a stage shows of its work may be left out, its result may not.
    fn is_worth_showing(&self, id: &StageId, progress: &Context) -> bool {
        self.state.stage(id).is_some_and(|stage| {
            let known = |(key, value): (&String, _)| stage.context.get(key) == Some(value);
            let grown = json_bytes(&stage.context) + json_bytes(progress);
            !progress.iter().all(known) && grown <= limits::CONTEXT_BYTES_MAX
        })
    }

    /// A passing failure is tried again, later each time. Work that took too long is not: what it did
    /// until then would be done twice.
    fn retry_after(&self, id: &StageId, task: usize, result: &WorkResult) -> Option<u64> {
        let stage = self.state.stage(id)?;
        let notes = self.state.notes(id);
        let notes = notes.tasks.get(task)?;
        let error = result
            .error
            .as_ref()
            .filter(|_| result.status == Status::Terminal)?;
        let passing = matches!(error.kind, Kind::Unavailable | Kind::TooMany);
        let allowed = stage::of(&self.state.execution, stage)?.is_retried(&notes.kind);
        (passing && allowed && notes.attempt < limits::WORK_ATTEMPTS_MAX).then(|| {
            let doubled = limits::WORK_BACKOFF_MS << (notes.attempt - 1).min(16);
            let asked = error.retry_after_s.unwrap_or(0) * 1000;
            doubled.max(asked).min(limits::WORK_BACKOFF_MAX_MS)
        })
    }

    fn retry(&mut self, id: &StageId, task: usize, pause_ms: u64) {
        let attempt = self.state.notes(id).tasks[task].attempt + 1;
        self.withdraw_quietly(id, task);
        self.emit(Event::TaskStarted {
            stage: id.clone(),
            task,
            at: self.now,
            attempt,
        });
        self.emit(Event::TaskWaits {
            stage: id.clone(),
            task,
            wake_at: Some(self.now.plus_ms(pause_ms)),
            context: kork_model::Context::new(),
        });
    }

    /// The worker is through with it, so nobody has to be told.
    pub(crate) fn withdraw_quietly(&mut self, id: &StageId, task: usize) {
        let order = self
            .state
            .notes(id)
            .tasks
            .get(task)
            .and_then(|t| t.order.clone());
        if let Some(mut order) = order {
            order.service.clear();
            self.emit(Event::OrderWithdrawn {
                stage: id.clone(),
                task,
                order,
            });
        }
    }

    pub(crate) fn child_finished(&mut self, id: &StageId, child: &ChildEnd) {
        let Some(stage) = self.state.stage(id) else {
            return;
        };
        let Some(task) = State::running_task(stage) else {
            return;
        };
        let Some(definition) = stage::of(&self.state.execution, stage) else {
            return;
        };
        let view = StageView {
            now: self.now,
            execution: &self.state.execution,
            stage,
        };
        if let Some(outcome) = definition.child_finished(&view, child) {
            self.settle(id, task, outcome);
        }
    }
}

/// A worker may only end its work with a status that ends it.
fn sound(mut result: WorkResult) -> WorkResult {
    if !result.status.is_complete() {
        let text = format!(
            "the worker ended its work with the status {}",
            result.status
        );
        result.error = Some(kork_model::Problem::new("ORCA-0007", Kind::Bug, text));
        result.status = Status::Terminal;
    }
    result
}
