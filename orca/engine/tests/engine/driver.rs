//! Drives an execution as the shell does: decides, writes down, carries out; with a worker that can be
//! told how to answer, and a crash at any moment.

use std::collections::BTreeMap;

use kork_model::{
    Context, Execution, ExecutionId, Kind, Problem, StageId, Status, Timestamp, WorkOrder,
    WorkReport, WorkResult,
};
use orca_engine::{
    Command, Effect, Event, Rejection, State,
    build::{self, Built, Request},
    command::ChildEnd,
    decide, effects, evolve, open_effects,
};
use serde_json::{Value, json};

/// How a worker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Succeed,
    Fail,
    /// Try again later.
    Unavailable,
}

pub(crate) struct Driver {
    pub(crate) state: State,
    /// One entry per decision, as it lies in the log.
    pub(crate) log: Vec<String>,
    pub(crate) orders: BTreeMap<String, WorkOrder>,
    /// Keys of all orders, in the order in which they went out.
    pub(crate) sent: Vec<String>,
    pub(crate) now: Timestamp,
}

/// Commands of which a second delivery may change something again: they are requests of people.
const fn may_repeat(command: &Command) -> bool {
    matches!(command, Command::Patch { .. } | Command::Restart { .. })
}

impl Driver {
    /// Nothing exists yet.
    pub(crate) fn empty() -> Self {
        Self {
            state: State::default(),
            log: Vec::new(),
            orders: BTreeMap::new(),
            sent: Vec::new(),
            now: Timestamp(1_790_000_000_000),
        }
    }

    /// Starts a pipeline.
    pub(crate) fn start(pipeline: &Value) -> Self {
        let mut driver = Self::empty();
        let execution = execution(pipeline);
        driver.give(&Command::Create {
            execution: Box::new(execution),
        });
        driver
    }

    /// Gives a command, twice, as a queue may deliver it.
    pub(crate) fn give(&mut self, command: &Command) {
        self.try_give(command).expect("the command is not refused");
    }

    pub(crate) fn try_give(&mut self, command: &Command) -> Result<(), Rejection> {
        let before = self.state.execution.status;
        let events = decide(&self.state, command, self.now)?;
        self.check_starts(&events);
        for event in &events {
            self.state = evolve(std::mem::take(&mut self.state), event);
        }
        if !events.is_empty() {
            self.log
                .push(serde_json::to_string(&events).expect("events are JSON"));
        }
        for event in &events {
            self.carry_out(effects(&self.state, event));
        }
        if before.is_complete()
            && !matches!(command, Command::Restart { .. } | Command::Patch { .. })
        {
            assert!(
                events.is_empty(),
                "a finished execution changed: {events:?}"
            );
        }
        // The timer is due at once, and brings what did not fit.
        if self.state.unfinished.is_some() {
            assert_eq!(self.state.next_wake(), Some(self.now));
            return self.try_give(&Command::Tick);
        }
        if !may_repeat(command) {
            match decide(&self.state, command, self.now) {
                Ok(again) => assert!(again.is_empty(), "{command:?} twice: {again:?}"),
                Err(Rejection::AlreadyExists(_)) => {}
                Err(other) => panic!("{command:?} twice: {other}"),
            }
        }
        Ok(())
    }

    /// Every stage starts at most once in a generation, and after what it requires.
    fn check_starts(&self, events: &[Event]) {
        let mut state = self.state.clone();
        for event in events {
            if let Event::StageStarted { stage, .. } = event {
                let known = state
                    .stage(stage)
                    .expect("a stage that starts is known")
                    .clone();
                assert_eq!(
                    known.status,
                    Status::NotStarted,
                    "{} starts twice",
                    known.ref_id
                );
                let mut required = state.execution.stages.iter().filter(|s| {
                    s.parent_stage_id == known.parent_stage_id
                        && s.synthetic_stage_owner == known.synthetic_stage_owner
                        && known.requisite_stage_ref_ids.contains(&s.ref_id)
                });
                let satisfied = required.all(|s| s.status.satisfies_downstream());
                assert!(satisfied, "{} starts before what it requires", known.ref_id);
            }
            state = evolve(state, event);
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Dispatch(order) = effect {
                let key = order.key.to_string();
                if order.cancel {
                    self.orders.remove(&key);
                } else if self.is_open(&key) {
                    self.sent.push(key.clone());
                    self.orders.insert(key, *order);
                }
            }
        }
    }

    fn is_open(&self, key: &str) -> bool {
        let mut tasks = self.state.meta.values().flat_map(|notes| &notes.tasks);
        tasks.any(|t| t.order.as_ref().is_some_and(|o| o.key.as_str() == key))
    }

    /// The process dies: all that is left is the log.
    pub(crate) fn crash(&mut self) {
        let live = self.state.clone();
        self.state = self.replayed();
        assert_eq!(
            self.state, live,
            "the fold of the log is not the live state"
        );
        self.orders.clear();
        for effect in open_effects(&self.state) {
            if let Effect::Dispatch(order) = effect {
                self.orders.insert(order.key.to_string(), *order);
            }
        }
    }

    pub(crate) fn replayed(&self) -> State {
        let decisions = self.log.iter().map(|text| {
            serde_json::from_str::<Vec<Event>>(text).expect("what was written can be read")
        });
        decisions
            .flatten()
            .fold(State::default(), |state, event| evolve(state, &event))
    }

    /// A worker answers an order.
    pub(crate) fn answer(&mut self, key: &str, answer: Answer) {
        let Some(order) = self.orders.remove(key) else {
            return;
        };
        if order.kind == "monitorPipeline" && answer != Answer::Unavailable {
            return self.end_child(&order, answer);
        }
        let result = match answer {
            Answer::Succeed => succeeded(&order),
            Answer::Fail => WorkResult::failed(Problem::new("T-0001", Kind::Invalid, "it broke")),
            Answer::Unavailable => {
                WorkResult::failed(Problem::new("T-0002", Kind::Unavailable, "not now"))
            }
        };
        let report = Box::new(WorkReport::done(&order, result));
        self.give(&Command::Report { report });
    }

    fn end_child(&mut self, order: &WorkOrder, answer: Answer) {
        let status = if answer == Answer::Succeed {
            Status::Succeeded
        } else {
            Status::Terminal
        };
        let child = ChildEnd {
            execution: ExecutionId::from("child"),
            name: "child".to_owned(),
            status,
            outputs: Context::new(),
            errors: Vec::new(),
        };
        self.give(&Command::ChildFinished {
            stage: order.stage.clone(),
            child: Box::new(child),
        });
    }

    /// Time goes on to the next moment that matters.
    pub(crate) fn wait(&mut self) -> bool {
        let Some(next) = self.state.next_wake() else {
            return false;
        };
        self.now = self.now.max(next);
        self.give(&Command::Tick);
        true
    }

    /// Stages that wait for a person.
    pub(crate) fn judgments(&self) -> Vec<StageId> {
        let stages = self.state.execution.stages.iter();
        let open = stages.filter(|s| s.kind == "manualJudgment" && s.status == Status::Running);
        open.map(|s| s.id.clone()).collect()
    }

    pub(crate) fn judge(&mut self, stage: StageId, word: &str) {
        let context = object(json!({ "judgmentStatus": word }));
        self.give(&Command::Patch {
            stage,
            context,
            by: "ana".to_owned(),
        });
    }

    /// Everything answers well until nothing is left to do.
    pub(crate) fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.state.execution.status.is_complete() {
                return;
            }
            if let Some(key) = self.orders.keys().next().cloned() {
                self.answer(&key, Answer::Succeed);
            } else if let Some(stage) = self.judgments().pop() {
                self.judge(stage, "continue");
            } else if !self.wait() {
                break;
            }
        }
        panic!("nothing goes on: {:#?}", self.statuses());
    }

    /// refId and name of every stage, with its status.
    pub(crate) fn statuses(&self) -> Vec<(String, Status)> {
        let stages = self.state.execution.stages.iter();
        stages
            .map(|s| (format!("{} {}", s.ref_id, s.name), s.status))
            .collect()
    }

    pub(crate) fn status_of(&self, reference: &str) -> Status {
        let stage = self
            .state
            .execution
            .stages
            .iter()
            .find(|s| s.ref_id == reference);
        stage.expect("there is such a stage").status
    }

    /// What must hold at the end of any run.
    pub(crate) fn check_end(&mut self) {
        let status = self.state.execution.status;
        assert!(status.is_complete(), "{status}: {:#?}", self.statuses());
        assert_eq!(
            self.replayed(),
            self.state,
            "the fold of the log is not the live state"
        );
        assert!(
            self.orders.is_empty(),
            "work is still out: {:?}",
            self.orders.keys()
        );
        assert!(self.state.next_wake().is_none(), "a timer is still set");
        let running = |s: &kork_model::Stage| matches!(s.status, Status::Running | Status::Paused);
        assert!(
            !self.state.execution.stages.iter().any(running),
            "{:#?}",
            self.statuses()
        );
        let by = || "ana".to_owned();
        for command in [
            Command::Tick,
            Command::Admit { generation: 0 },
            Command::Pause { by: by() },
            Command::Resume { by: by() },
            Command::Cancel {
                by: by(),
                reason: None,
            },
        ] {
            self.give(&command);
        }
    }
}

fn succeeded(order: &WorkOrder) -> WorkResult {
    let mut result = WorkResult::succeeded(Context::new());
    match order.kind.as_str() {
        "startPipeline" => {
            result.context = object(json!({"executionId": "child", "executionName": "child"}));
        }
        "createServerGroup" => {
            result.outputs = object(json!({"serverGroup": "app-v000"}));
        }
        "createWebhook" => {
            result.context = object(json!({"webhook": {"statusCodeValue": 200}}));
        }
        _ => {}
    }
    result
}

pub(crate) fn object(value: Value) -> Context {
    let Value::Object(map) = value else {
        panic!("{value} is not an object")
    };
    map
}

/// The execution of a pipeline, as it is created.
pub(crate) fn execution(pipeline: &Value) -> Execution {
    match built(pipeline) {
        Ok(Built::Ready(execution)) => *execution,
        other => panic!("the pipeline cannot start: {other:?}"),
    }
}

pub(crate) fn built(pipeline: &Value) -> Result<Built, orca_engine::command::Invalid> {
    let pipeline = object(pipeline.clone());
    build::pipeline(&Request {
        id: ExecutionId::from("01J9ZK3M2N4P5Q6R7S8T9V0W1X"),
        now: Timestamp(1_790_000_000_000),
        pipeline: &pipeline,
        trigger: None,
        user: "anonymous",
        origin: "api",
        prior_artifacts: &[],
    })
}

pub(crate) fn stage(reference: &str, after: &[&str], kind: &str, more: Value) -> Value {
    let mut stage = object(
        json!({"refId": reference, "type": kind, "name": format!("{kind} {reference}"),
                                  "requisiteStageRefIds": after}),
    );
    stage.extend(object(more));
    Value::Object(stage)
}

pub(crate) fn pipeline(stages: &[Value]) -> Value {
    json!({"application": "app", "name": "deliver", "id": "p1", "stages": stages})
}

pub(crate) fn cluster(stack: &str, strategy: &str) -> Value {
    json!({"clusters": [{"account": "local", "application": "app", "stack": stack,
                         "strategy": strategy, "capacity": {"desired": 1}}]})
}
