//! Expressions, definitions of pipelines, and what becomes of them when they run.

use std::sync::LazyLock;

use kork_model::{Authentication, Context, Execution, Stage, Status, Timestamp, WorkResult};
use orca_engine::{
    Command, Effect, Event, State,
    build::{self, Built, Request},
    decide,
    decide::next_wake,
    effects, evolve,
    expression::{self, Scope, limits::MAX_RESULT_BYTES},
    limits::{EXECUTION_BYTES_MAX, STAGES_WITH_SYNTHETIC_MAX},
};
use serde_json::{Value, json};

use super::{NOW, first_words, has_fraction, json_bytes, kind, object, seeds};
use crate::{
    Fault, Input, Outcome, Shape, Target,
    corpus::repository,
    outcome::{bounded, must},
};

/// Decisions of one execution that are looked at.
const DECISIONS_MAX: usize = 40;

pub const TARGETS: &[Target] = &[
    Target::of_body(
        "expression",
        || seeds::literals("orca/engine/src/expression/tests.rs"),
        EXPRESSION_WORDS,
        text,
    ),
    Target::of_body("expression-document", documents, EXPRESSION_WORDS, document),
    Target::of_body("pipeline", pipelines, PIPELINE_WORDS, pipeline),
];

const EXPRESSION_WORDS: &str = include_str!("../../dictionaries/expression.txt");

const PIPELINE_WORDS: &str = include_str!("../../dictionaries/pipeline.txt");

fn standing() -> &'static Execution {
    static EXECUTION: LazyLock<Execution> = LazyLock::new(|| {
        let stage = |id: &str, kind: &str, name: &str, context: Value| Stage {
            id: format!("id-{id}").into(),
            ref_id: id.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            status: Status::Succeeded,
            context: object(Some(&context)),
            outputs: object(Some(&json!({"out": {"b": [1, 2]}}))),
            ..Stage::default()
        };
        let labels = json!({"template": {"metadata": {"labels": {"app": "one"}}}});
        let trigger = json!({
            "type": "jenkins", "user": "ann", "parameters": {"a": "1", "list": [3, 1, 2], "map": {"k": "v"}, "nul": null},
            "buildInfo": {"number": 7, "scm": [{"branch": "main"}], "artifacts": [{"fileName": "a.deb"}]},
            "payload": {"deep": {"er": [{"x": 1.5}]}}, "artifacts": [{"type": "docker/image", "name": "n"}],
        });
        Execution {
            id: "e1".into(),
            application: "anchor".to_owned(),
            name: Some("pipe".to_owned()),
            status: Status::Running,
            authentication: Authentication {
                user: "ann".to_owned(),
                ..Authentication::default()
            },
            trigger: object(Some(&trigger)),
            stages: vec![
                stage("1", "wait", "1", json!({"tag": "T"})),
                stage("j", "manualJudgment", "J", json!({"judgmentInput": "red"})),
                stage(
                    "m",
                    "deployManifest",
                    "M",
                    json!({"manifests": [{"kind": "ReplicaSet", "spec": labels}]}),
                ),
                stage(
                    "d",
                    "createServerGroup",
                    "D",
                    json!({"deploy.server.groups": {"eu": ["app-v001"]}}),
                ),
            ],
            ..Execution::default()
        }
    });
    &EXECUTION
}

fn scope(root: &Context) -> Scope<'_> {
    Scope {
        execution: standing(),
        stage: standing().stages.last(),
        root,
        pipelines: &[],
        now: NOW,
        allow_unknown_keys: true,
    }
}

/// One expression.
fn text(input: &Input) -> Outcome {
    let root = object(Some(&json!({"tag": "T", "number": 5, "list": ["a", "b"]})));
    let scope = scope(&root);
    let text = input.text();
    let (value, summary) = expression::process(&Value::from(&*text), &scope);
    // Several expressions in one text have a result each.
    let rooms = text.matches("${").count() + 1;
    bounded(
        "a result",
        json_bytes(&value)?,
        (MAX_RESULT_BYTES + 4_096).saturating_mul(rooms) + 8 * text.len(),
    )?;
    let mut shape = Shape::new().set("templates", rooms > 1).word(kind(&value));
    for failure in summary.failures().iter().take(2) {
        bounded("a message", failure.len(), 64 * 1024 + 16 * text.len())?;
    }
    match expression::evaluate(&text, &scope) {
        Ok(value) => {
            bounded("a value", json_bytes(&value)?, 2 * MAX_RESULT_BYTES)?;
            shape = shape.word(kind(&value)).count("bytes", json_bytes(&value)?);
        }
        Err(error) => {
            shape = shape
                .word(error.kind.exception_type())
                .said(first_words(&error.message, 5));
        }
    }
    let again = expression::process(&Value::from(&*text), &scope).0;
    must(again == value, || {
        "the same expression has another value".to_owned()
    })?;
    Ok(shape)
}

fn documents() -> Vec<Input> {
    seeds::of_values(&[
        json!({"a": "A", "b": "${a}B", "c": "${b}C", "d": "${e}", "e": "${1+1}", "f": "${'${1+1}'}"}),
        json!({"a": {"b": [{"c": "${1+2}"}, "x${'y'}z"], "${'k'}": "v"}, "n": null}),
        json!({"n": "${n + 1}", "x": "${y}a", "y": "${x}b", "ok": "${1}", "l": "${parameters.list}"}),
        json!({"yaml": "- [a]\n- {b: 1}", "y": "${#readYaml(yaml)}", "z": "${#readAllYaml(yaml)}"}),
        json!({"json": "[1]", "j": "${#readJson(json)}", "p": "${#readProperties(json)}"}),
        json!({"a": "aaab", "m": "${a matches '(a*)*b'}", "r": "${a.replaceAll('a+', 'bb')}", "s": "${a.split('a')}"}),
        json!({"j": "${#toJson(#root)}", "s": "${#stage('1').outputs}", "r": "${#readJson('{\"a\":1}')}"}),
    ])
}

/// A context of a stage, until it settles.
fn document(input: &Input) -> Outcome {
    let Ok(Value::Object(context)) = serde_json::from_slice(&input.body) else {
        return Ok(Shape::new().word("no object"));
    };
    let scope = scope(&context);
    let (settled, summary) = expression::process_stage_context(&context, &scope);
    // An honest bound: every template of every pass has a result.
    bounded("a context", json_bytes(&settled)?, 64 * 1024 * 1024)?;
    let mut shape = Shape::new()
        .count("members", settled.len())
        .count("bytes", json_bytes(&settled)?);
    for failure in summary.entries().take(3) {
        shape = shape.word(failure.exception_type.unwrap_or("note"));
    }
    for value in settled.values().take(8) {
        shape = shape.word(kind(value));
    }
    Ok(shape)
}

fn pipelines() -> Vec<Input> {
    let sample = std::fs::read_to_string(repository("docs/deliver.yaml")).unwrap_or_default();
    let sample: Value = serde_yaml_ng::from_str(&sample).unwrap_or_default();
    let stage = |kind: &str| {
        json!({"refId": "a", "type": kind, "name": "n", "waitTime": 1, "url": "http://h/",
        "method": "POST", "pipeline": "p", "application": "app", "master": "ci", "job": "j",
        "variables": [{"key": "k", "value": "${1}"}], "preconditions": [{"type": "expression",
        "context": {"expression": "true"}}], "clusters": [{"account": "a", "application": "app",
        "cloudProvider": "local", "strategy": "redblack", "capacity": {"min": 1, "max": 1, "desired": 1}}],
        "account": "a", "cloudProvider": "local", "serverGroupName": "app-v001"})
    };
    let whole = json!({"application": "app", "name": "p", "id": "p", "parameterConfig": [{"name": "v", "required": true,
        "default": "1", "hasOptions": true, "options": [{"value": "1"}]}],
        "expectedArtifacts": [{"id": "e", "matchArtifact": {"type": "docker/image", "name": "n"},
            "useDefaultArtifact": true, "defaultArtifact": {"type": "http/file", "reference": "u"}}],
        "stages": [{"refId": "1", "type": "wait", "waitTime": "${1+1}", "stageEnabled": {"type": "expression",
            "expression": "${parameters.v == '1'}"}, "restrictExecutionDuringTimeWindow": true,
            "restrictedExecutionWindow": {"days": [2], "whitelist": [{"startHour": 1, "startMin": 0, "endHour": 23,
            "endMin": 59}]}}, {"refId": "2", "requisiteStageRefIds": ["1"], "type": "manualJudgment",
            "judgmentInputs": [{"value": "x"}]}]});
    let trigger = json!({"type": "manual", "parameters": {"v": "1"}, "user": "u",
        "artifacts": [{"type": "docker/image", "name": "n", "reference": "r"}]});
    let mut all = vec![
        json!({"pipeline": sample, "trigger": trigger}),
        json!({"pipeline": whole, "trigger": trigger}),
    ];
    for (name, _) in orca_engine::stage::all() {
        let pipeline = json!({"application": "app", "name": "p", "stages": [stage(name)]});
        all.push(json!({"pipeline": pipeline, "outputs": {"a": 1}}));
    }
    all.push(json!({"pipeline": {"application": "app", "description": "d", "job": [{"type": "wait", "waitTime": 1}]}}));
    seeds::of_values(&all)
}

/// A definition and a trigger: made an execution of, and run to its end by a worker that always succeeds.
fn pipeline(input: &Input) -> Outcome {
    let Ok(document) = serde_json::from_slice::<Value>(&input.body) else {
        return Ok(Shape::new().word("no JSON"));
    };
    let (definition, trigger) = (
        object(document.get("pipeline")),
        document.get("trigger").map(|t| object(Some(t))),
    );
    let request = Request {
        id: "e1".into(),
        now: NOW,
        pipeline: &definition,
        trigger: trigger.as_ref(),
        user: "u",
        origin: "fuzz",
        prior_artifacts: &[],
    };
    let mut shape = Shape::new().set("planned", build::planned(&request).is_ok());
    let missing =
        build::missing_parameter(&definition, trigger.as_ref().unwrap_or(&Context::new()));
    shape = shape.set("missing", missing.is_some());
    let built = if definition.contains_key("job") {
        build::orchestration(&request).map(|execution| Built::Ready(Box::new(execution)))
    } else {
        build::pipeline(&request)
    };
    let command = match built {
        Ok(Built::Ready(execution)) => Command::Create { execution },
        Ok(Built::Refused { execution, invalid }) => {
            shape = shape.said(&invalid);
            Command::CreateRefused {
                execution,
                reason: invalid.to_string(),
            }
        }
        Err(invalid) => {
            must(
                !invalid.detail.is_empty() || !invalid.errors.is_empty(),
                || "refused without a reason".to_owned(),
            )?;
            let first = invalid
                .errors
                .first()
                .map(|error| error.detail.clone())
                .unwrap_or_default();
            return Ok(shape.said(invalid).said(first));
        }
    };
    drive(shape, command, &object(document.get("outputs")))
}

/// Runs an execution for some decisions.
fn drive(mut shape: Shape, first: Command, outputs: &Context) -> Outcome {
    let (mut state, mut now) = (State::default(), NOW);
    let mut commands = vec![first];
    for _ in 0..DECISIONS_MAX {
        let command = match commands.pop() {
            Some(command) => command,
            None => match next_wake(&state) {
                Some(at) => {
                    now = at.max(now);
                    Command::Tick
                }
                None => break,
            },
        };
        let events = match decide(&state, &command, now) {
            Ok(events) => events,
            Err(rejection) => {
                shape = shape.said(rejection);
                continue;
            }
        };
        let mut replayed = Some(state.clone());
        for event in &events {
            state = evolve(state, event);
            replayed = again(replayed, event)?;
            commands.extend(
                effects(&state, event)
                    .into_iter()
                    .filter_map(|effect| answer(effect, outputs)),
            );
        }
        must(replayed.is_none_or(|replayed| replayed == state), || {
            "the log leads elsewhere when it is read".to_owned()
        })?;
        bounded(
            "an execution (its stages)",
            state.execution.stages.len(),
            STAGES_WITH_SYNTHETIC_MAX,
        )?;
        now = Timestamp(now.0 + 1);
    }
    shape = shape
        .word(state.execution.status.name())
        .count("stages", state.execution.stages.len());
    for stage in state.execution.stages.iter().take(6) {
        let is_known = orca_engine::stage::definition(&stage.kind, None).is_some();
        let kind = if is_known { &stage.kind } else { "unknown" };
        shape = shape
            .word(kind)
            .word(stage.status.name())
            .count("tasks", stage.tasks.len());
        let said = stage
            .context
            .get("exception")
            .map(|e| &e["details"]["errors"][0]);
        shape = shape.said(said.and_then(Value::as_str).unwrap_or_default());
    }
    Ok(shape)
}

/// The state after an event that was written into the log and read from it; none once fractions are in it, which
/// may move by their last digit.
fn again(before: Option<State>, event: &Event) -> Result<Option<State>, Fault> {
    let wrong = |error: serde_json::Error| {
        Fault::Wrong(format!("an event of the log is not read again: {error}"))
    };
    let text = serde_json::to_string(event).map_err(wrong)?;
    bounded("an event", text.len(), EXECUTION_BYTES_MAX + 256 * 1024)?;
    let read: Event = serde_json::from_str(&text).map_err(wrong)?;
    Ok(before
        .filter(|_| !has_fraction(&text))
        .map(|before| evolve(before, &read)))
}

/// What the world answers.
fn answer(effect: Effect, outputs: &Context) -> Option<Command> {
    match effect {
        Effect::Dispatch(order) if !order.cancel => {
            let result = WorkResult::succeeded(outputs.clone());
            let report = Box::new(kork_model::WorkReport::done(&order, result));
            Some(Command::Report { report })
        }
        Effect::RequestAdmission { ticket, .. } => Some(Command::Admit {
            generation: ticket.generation(),
        }),
        Effect::Dispatch(_)
        | Effect::ReleaseAdmission { .. }
        | Effect::TellParent { .. }
        | Effect::Archive => None,
    }
}
