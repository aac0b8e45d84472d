//! The life of one task: started, run in the engine or sent to a worker, ended.

use kork_model::{Context, StageId, Status, WorkKey};

use super::{Decider, stages::failure_status};
use crate::{
    context::json_bytes,
    event::Event,
    limits,
    stage::{self, Outcome, StageView},
    state::OpenOrder,
};

impl Decider {
    pub(crate) fn start_task(&mut self, id: &StageId, task: usize) -> bool {
        let stage = id.clone();
        self.emit(Event::TaskStarted {
            stage,
            task,
            at: self.now,
            attempt: 1,
        });
        self.run_task(id, task);
        true
    }

    /// Runs or continues a task that is not out with a worker.
    pub(crate) fn run_task(&mut self, id: &StageId, task: usize) {
        let notes = self.state.notes(id);
        let Some(notes) = notes.tasks.get(task) else {
            return;
        };
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
        let outcome = definition.run(&notes.kind, &view);
        self.settle(id, task, outcome);
    }

    /// Writes down what a task does next.
    pub(crate) fn settle(&mut self, id: &StageId, task: usize, outcome: Outcome) {
        let stage = id.clone();
        match outcome {
            Outcome::Done {
                status,
                context,
                outputs,
            } => {
                let status = match (status, self.state.stage(id)) {
                    (Status::Terminal, Some(stage)) => failure_status(stage, Status::Terminal),
                    (Status::Canceled, Some(stage)) => failure_status(stage, Status::Canceled),
                    (other, _) => other,
                };
                let (context, outputs) = self.bounded(id, context, outputs);
                let at = self.now;
                self.emit(Event::TaskFinished {
                    stage,
                    task,
                    at,
                    status,
                    context,
                    outputs,
                });
            }
            Outcome::Wait { until, context } => {
                let known = self.state.notes(id).tasks.get(task).and_then(|t| t.wake_at);
                if known != until || !context.is_empty() {
                    self.emit(Event::TaskWaits {
                        stage,
                        task,
                        wake_at: until,
                        context,
                    });
                }
            }
            Outcome::Dispatch {
                service,
                kind,
                payload,
                timeout_ms,
            } => {
                let key = self.key(id, task);
                let deadline = timeout_ms.map(|ms| self.now.plus_ms(ms));
                let order = OpenOrder {
                    key,
                    service,
                    kind,
                    payload,
                    deadline,
                };
                self.emit(Event::TaskDispatched { stage, task, order });
            }
        }
    }

    /// Stable: the same piece of work has the same key after a crash, another one never has it.
    fn key(&self, id: &StageId, task: usize) -> WorkKey {
        let attempt = self
            .state
            .notes(id)
            .tasks
            .get(task)
            .map_or(1, |t| t.attempt);
        let (execution, generation) = (&self.state.execution.id, self.state.generation);
        WorkKey(format!(
            "{execution}/{id}/{}/{generation}/{attempt}",
            task + 1
        ))
    }

    /// Cuts what would make the context too large, and says so in its place.
    fn bounded(&self, id: &StageId, context: Context, outputs: Context) -> (Context, Context) {
        let held = self
            .state
            .stage(id)
            .map_or(0, |s| json_bytes(&s.context) + json_bytes(&s.outputs));
        let total = held + json_bytes(&context) + json_bytes(&outputs);
        if total <= limits::CONTEXT_BYTES_MAX {
            return (context, outputs);
        }
        let text = format!(
            "the result of this stage has {total} bytes with its context, at most {} are kept; \
             publish large values as an artifact",
            limits::CONTEXT_BYTES_MAX
        );
        let note = Context::from_iter([("resultTooLarge".to_owned(), text.into())]);
        (note, Context::new())
    }

    /// Ends the tasks of a stage as cancelled and calls back the work that is out.
    pub(crate) fn cancel_tasks(&mut self, id: &StageId) {
        let Some(stage) = self.state.stage(id) else {
            return;
        };
        let live: Vec<usize> = (0..stage.tasks.len())
            .filter(|t| matches!(stage.tasks[*t].status, Status::Running | Status::Paused))
            .collect();
        for task in live {
            self.withdraw(id, task);
            let (context, outputs) = (Context::new(), Context::new());
            let (stage, status, at) = (id.clone(), Status::Canceled, self.now);
            self.emit(Event::TaskFinished {
                stage,
                task,
                at,
                status,
                context,
                outputs,
            });
        }
    }

    pub(crate) fn withdraw(&mut self, id: &StageId, task: usize) {
        let order = self
            .state
            .notes(id)
            .tasks
            .get(task)
            .and_then(|t| t.order.clone());
        if let Some(order) = order {
            self.emit(Event::OrderWithdrawn {
                stage: id.clone(),
                task,
                order,
            });
        }
    }
}
