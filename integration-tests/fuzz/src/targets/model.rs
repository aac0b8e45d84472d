//! The words of the suite as they come over the bus and out of stores, and templates of pipelines.

use kork_model::{
    Execution, InboundEvent, Problem, Shown, Status, TraceContext, WorkOrder, WorkReport, event,
    templated,
};
use serde_json::{Value, json};

use super::{json_bytes, object, round_trip, seeds};
use crate::{
    Input, Outcome, Shape, Target,
    outcome::{bounded, must},
};

pub const TARGETS: &[Target] = &[
    Target::of_body(
        "traceparent",
        traces,
        "00-\n-01\nff-\n-00-\n0000000000000000",
        trace,
    ),
    Target::of_body("status", statuses, "SUCCEEDED\nTERMINAL\nRUNNING", status),
    Target::of_body("messages", messages, MESSAGE_WORDS, message),
    Target::of_body("pipeline-template", templates, TEMPLATE_WORDS, template),
];

const MESSAGE_WORDS: &str = include_str!("../../dictionaries/messages.txt");

const TEMPLATE_WORDS: &str = include_str!("../../dictionaries/pipeline-template.txt");

fn traces() -> Vec<Input> {
    seeds::literals("kork/model/src/trace.rs")
}

fn trace(input: &Input) -> Outcome {
    let Some(found) = TraceContext::parse(&input.text()) else {
        return Ok(Shape::new().word("none"));
    };
    let again = TraceContext::parse(&found.to_string());
    must(again == Some(found), || {
        format!("{found} is read as {again:?}")
    })?;
    Ok(Shape::new().set("sampled", found.sampled))
}

fn statuses() -> Vec<Input> {
    seeds::of_texts(&["SUCCEEDED", "RUNNING", "NOT_STARTED", "succeeded", ""])
}

fn status(input: &Input) -> Outcome {
    let text = input.text();
    let Some(status) = Status::parse(&text) else {
        return Ok(Shape::new().word("none"));
    };
    must(status.name() == text, || {
        format!("{text} is read as {}", status.name())
    })?;
    Ok(Shape::new().word(status.name()))
}

fn messages() -> Vec<Input> {
    seeds::of_values(&[
        json!({"key": "k", "execution": "e", "stage": "s", "task": "1", "application": "a", "user": "u",
            "service": "clouddriver", "kind": "createServerGroup", "payload": {"x": [1]}, "deadline": 5}),
        json!({"key": "k", "execution": "e", "stage": "s", "task": "1", "progress": {"a": 1},
            "result": {"status": "TERMINAL", "context": {}, "outputs": {"o": 1},
                "error": {"type": "t", "title": "T", "status": 500, "detail": "d", "code": "ORCA-0001"}}}),
        json!({"id": "1", "type": "orca:stage:complete", "time": 1, "data": {"status": "SUCCEEDED"}}),
        json!([{"id": "1", "type": "t", "time": 1, "data": null}, {"id": "2", "type": "t", "time": 1, "data": 2}]),
        json!({"id": "e", "kind": "image", "sender": "harbor", "image": "h/a", "tag": "v1", "received": 1,
            "verified": "signed", "attributes": {"a": "b"}, "signed": {"body": "e30=", "signatures": {}}}),
        json!({"type": "PIPELINE", "id": "e", "application": "a", "status": "RUNNING", "trigger": {"type": "manual"},
            "stages": [{"id": "s", "refId": "1", "type": "wait", "name": "w", "status": "SUCCEEDED",
                "context": {"waitTime": 1}, "tasks": [{"id": "1", "name": "t"}]}]}),
    ])
}

/// One message as each of the shapes that cross the bus or lie in a store.
fn message(input: &Input) -> Outcome {
    let body = &input.body[..];
    let mut shape = Shape::new();
    macro_rules! shapes {
        ($($name:literal $kind:ty),*) => {$(
            match serde_json::from_slice::<$kind>(body) {
                Ok(read) => {
                    round_trip($name, &read)?;
                    bounded($name, json_bytes(&read)?, 4 * 1024 + 12 * body.len())?;
                    shape = shape.word($name);
                }
                Err(error) => shape = shape.said(error),
            }
        )*};
    }
    shapes!("an order" WorkOrder, "a report" WorkReport, "an event" InboundEvent, "an execution" Execution,
        "a problem" Problem);
    match event::read(body) {
        Ok(events) => {
            let told = event::messages(&events);
            let told = told.map_err(|error| crate::Fault::Wrong(error.to_string()))?;
            let again: Vec<_> = told
                .iter()
                .flat_map(|t| event::read(&t.payload).unwrap_or_default())
                .collect();
            must(again.len() == events.len(), || {
                "events are lost on the way".to_owned()
            })?;
            shape = shape.count("events", events.len());
        }
        Err(error) => shape = shape.said(error),
    }
    if let Ok(shown) = serde_json::from_slice::<Shown>(body) {
        shape = shape.set("shown", shown.read::<Execution>().is_ok());
    }
    Ok(shape)
}

fn templates() -> Vec<Input> {
    let template = json!({
        "schema": "v2", "variables": [{"name": "t", "type": "int", "defaultValue": 42}, {"name": "who"}],
        "pipeline": {"limitConcurrent": true, "triggers": [{"type": "cron"}], "notifications": [{"type": "email"}],
            "stages": [{"type": "wait", "waitTime": "${ templateVariables.t }",
                "comments": "for ${templateVariables.who}: ${ templateVariables.t }s ${ #f(1) } $"}]},
    });
    let config = json!({
        "application": "shop", "name": "n", "variables": {"who": "me"}, "triggers": [{"type": "git"}],
        "template": {"reference": "spinnaker://wait:stable"}, "exclude": ["notifications"],
        "parameters": [{"name": "p"}], "expectedArtifacts": [{"id": "e"}],
    });
    let none = json!({"template": {"source": "spinnaker://"}});
    seeds::of_values(&[
        json!({"template": template, "config": config}),
        json!({"template": template, "config": none}),
    ])
}

/// A template and its configuration.
fn template(input: &Input) -> Outcome {
    let document: Value = serde_json::from_slice(&input.body).unwrap_or_default();
    let (template, config) = (
        object(document.get("template")),
        object(document.get("config")),
    );
    let id = templated::stored_id(&config).is_some();
    let shape = Shape::new().set("id", id);
    let made = match templated::pipeline(&template, &config) {
        Ok(made) => made,
        Err(missing) => {
            must(!missing.is_empty(), || {
                "refused without a reason".to_owned()
            })?;
            return Ok(shape.count("missing", missing.len()));
        }
    };
    let bytes = json_bytes(&made)?;
    // A variable is put in wherever it is named: as many times as there is room for its name.
    let names = input.body.len() / "${templateVariables.".len() + 2;
    bounded("a pipeline", bytes, 4 * 1024 + 6 * input.body.len() * names)?;
    Ok(shape.count("members", made.len()).count("bytes", bytes))
}
