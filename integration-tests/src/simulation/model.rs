//! The reference model: what a pipeline must come to, said in the simplest way.

use kork::model::Status;
use serde_json::{Value, json};

use super::faults::Dice;

/// What a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Wait,
    /// An order to a worker, which ends well or not.
    Order {
        good: bool,
    },
    /// A question to a person, who says yes or no.
    Judgment {
        yes: bool,
    },
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Halt,
    StopBranch,
    StopBranchThenFail,
    Continue,
}

/// One stage of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) after: Vec<usize>,
    pub(super) work: Work,
    pub(super) mode: Mode,
    pub(super) seconds: u64,
}

/// One pipeline.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) steps: Vec<Step>,
    /// All executions of limited scenarios share one pipeline, of which one may run at a time.
    pub(super) limited: bool,
}

impl Scenario {
    /// A scenario by dice.
    pub(super) fn new(dice: &Dice) -> Self {
        let count = 1 + dice.roll(6) as usize;
        let steps = (0..count).map(|n| Step {
            after: (0..n).filter(|_| dice.roll(3) == 0).collect(),
            work: match dice.roll(8) {
                0 | 1 => Work::Wait,
                2 => Work::Judgment {
                    yes: dice.roll(4) > 0,
                },
                _ => Work::Order {
                    good: dice.roll(6) > 0,
                },
            },
            mode: [
                Mode::Halt,
                Mode::Halt,
                Mode::StopBranch,
                Mode::StopBranchThenFail,
                Mode::Continue,
            ][dice.roll(5) as usize],
            seconds: dice.roll(4),
        });
        Self {
            steps: steps.collect(),
            limited: dice.roll(3) == 0,
        }
    }

    /// The definition of the pipeline.
    pub(super) fn definition(&self) -> Value {
        let stages: Vec<Value> = self
            .steps
            .iter()
            .enumerate()
            .map(|(n, step)| step.stage(n))
            .collect();
        let mut definition = json!({"application": "sim", "name": "sim", "stages": stages});
        if self.limited {
            definition["id"] = json!("limited");
            definition["limitConcurrent"] = json!(true);
            definition["keepWaitingPipelines"] = json!(true);
        }
        definition
    }

    /// The status that its execution must end with.
    pub(super) fn expected(&self) -> Status {
        let mut ended: Vec<Option<Status>> = Vec::new();
        for step in &self.steps {
            let runs = step
                .after
                .iter()
                .all(|n| ended[*n].is_some_and(Status::satisfies_downstream));
            ended.push(runs.then(|| step.ends()));
        }
        let any = |status| ended.contains(&Some(status));
        let then_fails = self.steps.iter().zip(&ended).any(|(step, end)| {
            *end == Some(Status::Stopped) && step.mode == Mode::StopBranchThenFail
        });
        if any(Status::Terminal) || then_fails {
            Status::Terminal
        } else {
            Status::Succeeded
        }
    }
}

impl Step {
    fn ends(&self) -> Status {
        match (self.work, self.mode) {
            (Work::Wait | Work::Order { good: true } | Work::Judgment { yes: true }, _) => {
                Status::Succeeded
            }
            (_, Mode::Halt) => Status::Terminal,
            (_, Mode::Continue) => Status::FailedContinue,
            (_, Mode::StopBranch | Mode::StopBranchThenFail) => Status::Stopped,
        }
    }

    fn stage(&self, n: usize) -> Value {
        let after: Vec<String> = self.after.iter().map(usize::to_string).collect();
        let mut stage = json!({"refId": n.to_string(), "name": format!("stage {n}"),
                               "requisiteStageRefIds": after, "waitTime": self.seconds});
        stage["type"] = json!(match self.work {
            Work::Wait => "wait",
            Work::Judgment { .. } => "manualJudgment",
            Work::Order { .. } => "resizeServerGroup",
        });
        match self.work {
            Work::Order { good } => stage["good"] = json!(good),
            Work::Judgment { yes } => {
                stage["answer"] = json!(if yes { "continue" } else { "stop" });
            }
            Work::Wait => {}
        }
        match self.mode {
            Mode::Halt => {}
            Mode::Continue => stage["continuePipeline"] = json!(true),
            Mode::StopBranch => stage["failPipeline"] = json!(false),
            Mode::StopBranchThenFail => {
                stage["failPipeline"] = json!(false);
                stage["completeOtherBranchesThenFail"] = json!(true);
            }
        }
        stage
    }
}
