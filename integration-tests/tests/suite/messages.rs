//! Messages that cross processes, beside those of earlier versions (`golden/messages`): while a cluster
//! is upgraded, old and new instances read each other's.
//!
//! The rule: fields may be added with a default, none may be renamed or removed, none may become
//! required; whoever does not know a field passes it over. The log has a version of its own, raised only
//! when an old instance must not go on. `GOLDEN=write` writes what is new; what is there stays.

use camino::Utf8PathBuf;
use integration_tests::{harness::workspace_root, pipeline};
use kork_model::{
    Context, Execution, Problem, SuiteEvent, Timestamp, WorkOrder, WorkReport, WorkResult,
    api::{
        Call,
        clouddriver::ListServerGroups,
        front50::{ListPipelines, SavePipeline},
        orca::{GetExecution, ListExecutions, PatchStage, StartPipeline},
    },
};
use orca_engine::{
    Command, Effect, Event, State,
    build::{self, Built, Request},
    decide, effects, evolve,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
/// Commands until the sample has ended.
const COMMANDS_MAX: usize = 50;

/// A kind of message: how today's code reads it, and one that it writes.
struct Shape {
    name: &'static str,
    /// Reads and writes it again.
    read: fn(&Value) -> Result<Value, String>,
    samples: Vec<Value>,
}

fn shape<T: Serialize + DeserializeOwned>(name: &'static str, samples: &[T]) -> Shape {
    let read = |message: &Value| {
        let read: T = serde_json::from_value(message.clone()).map_err(|e| e.to_string())?;
        serde_json::to_value(read).map_err(|e| e.to_string())
    };
    let samples = samples.iter().map(|sample| json!(sample)).collect();
    Shape {
        name,
        read,
        samples,
    }
}

fn context(value: &Value) -> Context {
    value.as_object().cloned().unwrap()
}

/// A pipeline from its start to its end: events, commands, orders and reports on the way.
#[derive(Default)]
struct Run {
    state: State,
    events: Vec<Event>,
    commands: Vec<Command>,
    orders: Vec<WorkOrder>,
    reports: Vec<WorkReport>,
}

impl Run {
    fn of_a_sample() -> Self {
        let stages = [
            pipeline::wait("1", &[], 5),
            pipeline::judgment("2", &["1"]),
            pipeline::precondition("3", &["2"], "${1 < 2}"),
            json!({"refId": "4", "requisiteStageRefIds": ["3"], "type": "custom.sample",
                   "name": "own", "key": "value"}),
        ];
        let definition = context(&pipeline::pipeline("golden", "p", &stages));
        let request = Request {
            id: "01J9ZK3M2N4P5Q6R7S8T9V0W1X".into(),
            now: NOW,
            pipeline: &definition,
            trigger: None,
            user: "me",
            origin: "api",
            prior_artifacts: &[],
        };
        let Built::Ready(execution) = build::pipeline(&request).unwrap() else {
            panic!("the sample cannot start");
        };
        let mut run = Self::default();
        let mut now = NOW;
        let mut command = Command::Create { execution };
        for _ in 0..COMMANDS_MAX {
            run.take(command, now);
            let status = run.state.execution.status;
            if status.is_complete() {
                return run;
            }
            command = run.next(&mut now);
        }
        panic!("the sample does not end: {:#?}", run.state.execution);
    }

    fn take(&mut self, command: Command, now: Timestamp) {
        let events = decide(&self.state, &command, now).unwrap();
        for event in &events {
            self.state = evolve(std::mem::take(&mut self.state), event);
            let orders = effects(&self.state, event).into_iter();
            self.orders.extend(orders.filter_map(|effect| match effect {
                Effect::Dispatch(order) if !order.cancel => Some(*order),
                _ => None,
            }));
        }
        self.events.extend(events);
        self.commands.push(command);
    }

    /// The answer to an order, to the judgment, or time.
    fn next(&mut self, now: &mut Timestamp) -> Command {
        if let Some(order) = self.orders.get(self.reports.len()) {
            let outputs = context(&json!({"answer": 42}));
            let report = WorkReport::done(order, WorkResult::succeeded(outputs));
            self.reports.push(report.clone());
            return Command::Report {
                report: Box::new(report),
            };
        }
        *now = now.plus_ms(6_000);
        let stages = &self.state.execution.stages;
        let judged = self
            .commands
            .iter()
            .any(|c| matches!(c, Command::Patch { .. }));
        let waits = stages
            .iter()
            .find(|s| s.kind == "manualJudgment" && !judged);
        match waits.filter(|s| s.start_time.is_some()) {
            Some(stage) => Command::Patch {
                stage: stage.id.clone(),
                context: context(&json!({"judgmentStatus": "continue"})),
                by: "me".to_owned(),
            },
            None => Command::Tick,
        }
    }
}

fn shapes() -> Vec<Shape> {
    let run = Run::of_a_sample();
    let event = SuiteEvent {
        id: "01J9:7:0".to_owned(),
        kind: "orca:stage:complete".to_owned(),
        time: NOW,
        application: Some("golden".to_owned()),
        subject: Some("01J9".to_owned()),
        data: json!({"executionId": "01J9", "stageId": "s"}),
    };
    let failed = Problem::new(
        "KORK-0008",
        kork_model::Kind::Unavailable,
        "a store is away",
    );
    let failed = WorkResult::failed(failed.retry_after(1));
    let answer: <GetExecution as Call>::Answer = run.state.execution.clone();
    let start = StartPipeline {
        pipeline: context(&json!({"name": "p", "application": "golden"})),
        user: "me".to_owned(),
        ..StartPipeline::default()
    };
    let patch = PatchStage {
        id: "01J9".to_owned(),
        stage: "s".to_owned(),
        context: context(&json!({"a": 1})),
        user: "me".to_owned(),
    };
    vec![
        shape("archived-execution", std::slice::from_ref(&run.state)),
        shape::<Execution>("answer-execution", &[answer]),
        shape("command", &run.commands),
        shape("log-event", &run.events),
        shape("topic-event", std::slice::from_ref(&event)),
        shape("topic-events", &[vec![event.clone(), event]]),
        shape("work-order", &run.orders),
        shape("work-report", &run.reports),
        shape("work-result", &[failed]),
        shape("request-get-execution", &[GetExecution::default()]),
        shape("request-list-executions", &[ListExecutions::default()]),
        shape("request-list-pipelines", &[ListPipelines::default()]),
        shape("request-list-server-groups", &[ListServerGroups::default()]),
        shape("request-patch-stage", &[patch]),
        shape("request-save-pipeline", &[SavePipeline::default()]),
        shape("request-start-pipeline", &[start]),
    ]
}

/// The stored messages of a kind, one a line.
fn golden(shape: &Shape) -> Vec<Value> {
    let dir = Utf8PathBuf::from(workspace_root()).join("integration-tests/golden/messages");
    let file = dir.join(format!("{}.jsonl", shape.name));
    if !file.is_file() && std::env::var("GOLDEN").is_ok_and(|golden| golden == "write") {
        let lines: Vec<String> = shape.samples.iter().map(Value::to_string).collect();
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&file);
    let text = text.unwrap_or_else(|e| panic!("{file}: {e}; GOLDEN=write makes it"));
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Everything that `old` says, `new` says too.
fn keeps(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old
            .iter()
            .all(|(key, value)| new.get(key).is_some_and(|new| keeps(value, new))),
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| keeps(old, new))
        }
        _ => old == new,
    }
}

/// With a field in every object that nobody knows yet, but in maps from an id to something: there a
/// further field is a further thing.
fn from_the_future(message: &Value, path: &str) -> Value {
    match message {
        Value::Object(fields) => {
            let inner = fields
                .iter()
                .map(|(key, value)| (key.clone(), from_the_future(value, key)));
            let mut fields: Map<String, Value> = inner.collect();
            if !MAPS.contains(&path) {
                fields.insert("addedLater".to_owned(), json!({"by": ["a newer version"]}));
            }
            Value::Object(fields)
        }
        Value::Array(items) => items
            .iter()
            .map(|item| from_the_future(item, path))
            .collect(),
        _ => message.clone(),
    }
}

/// Fields whose keys are ids.
const MAPS: [&str; 1] = ["meta"];

#[test]
fn messages_of_earlier_versions_are_read_and_kept() {
    for shape in shapes() {
        let messages = golden(&shape);
        assert!(!messages.is_empty(), "{} has no messages", shape.name);
        for message in messages {
            let read = (shape.read)(&message);
            let read = read.unwrap_or_else(|e| panic!("{}: {e}: {message}", shape.name));
            assert!(
                keeps(&message, &read),
                "{}: {message} became {read}",
                shape.name
            );
        }
    }
}

#[test]
fn fields_of_later_versions_are_passed_over_or_kept() {
    for shape in shapes() {
        for message in golden(&shape) {
            let later = from_the_future(&message, "");
            let read = (shape.read)(&later);
            let read = read.unwrap_or_else(|e| panic!("{}: {e}: {later}", shape.name));
            assert!(
                keeps(&message, &read),
                "{}: {later} became {read}",
                shape.name
            );
        }
    }
}

#[test]
fn what_is_written_today_is_what_was_written() {
    for shape in shapes() {
        for (golden, sample) in golden(&shape).iter().zip(&shape.samples) {
            assert!(
                keeps(golden, sample),
                "{}: {golden} became {sample}",
                shape.name
            );
        }
    }
}
