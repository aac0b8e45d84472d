//! Triggers: schedules, the definitions of pipelines with whatever patterns are in them, and paths into JSON.

use kork_model::{Context, InboundEvent, Status};
use orca_triggers::{
    Finished, TriggerIndex, Verdict,
    cron::{self, Policy, Schedule, catch_up},
    json_path,
};
use serde_json::{Value, json};

use super::{NOW, json_bytes, object, seeds};
use crate::{
    Fault, Input, Outcome, Shape, Target,
    outcome::{bounded, must},
};

/// Fire times that are asked of one schedule.
const FIRES: usize = 6;
const DAY_MS: u64 = 24 * 3_600_000;

pub const TARGETS: &[Target] = &[
    Target::of_body("cron", crons, CRON_WORDS, cron),
    Target::of_body("triggers", definitions, TRIGGER_WORDS, definition),
    Target::of_body(
        "json-path",
        paths,
        "$\n..\n['\n']\n[*]\n[-1]\n.*\n.a\n[0]\n[?(\n)]\n@.a\n@['\n == \n >= \n&&\n||\n!\n:\n,",
        path,
    ),
];

const CRON_WORDS: &str = include_str!("../../dictionaries/cron.txt");

const TRIGGER_WORDS: &str = include_str!("../../dictionaries/triggers.txt");

/// A pipeline for every type of trigger.
pub(super) fn pipelines() -> Vec<Value> {
    let triggers = [
        json!({"type": "jenkins", "master": "ci", "job": "job/a", "propertyFile": "b.properties",
            "payloadConstraints": {"v": "^1\\."}}),
        json!({"type": "git", "source": "github", "project": "acme", "slug": "cart", "branch": "ma.*",
            "secret": "x", "events": ["push:push"], "paths": ["src/**", "docs/"]}),
        json!({"type": "docker", "account": "d", "registry": "h:5000", "repository": "a/b", "tag": "^v(?!0)\\d+"}),
        json!({"type": "helm", "account": "h", "chart": "c", "version": ">=1.2.0 <2"}),
        json!({"type": "webhook", "source": "x", "payloadConstraints": {"a": "b", "$.l[0].x": ".*"},
            "expectedArtifactIds": ["e"]}),
        json!({"type": "webhook", "source": "deploys", "payloadConstraints": {}}),
        json!({"type": "pubsub", "pubsubSystem": "google", "subscriptionName": "s",
            "attributeConstraints": {"k": "v"}}),
        json!({"type": "cdevents", "source": "x", "attributeConstraints": {"ce-type": "dev\\.cdevents.*"}}),
        json!({"type": "nexus", "nexusSearchName": "n"}),
        json!({"type": "pipeline", "application": "app", "pipeline": "p0", "status": ["successful", "failed"]}),
        json!({"type": "cron", "id": "t", "cronExpression": "0 0 10 ? * MON-FRI", "timezone": "Europe/Berlin"}),
    ];
    let all = triggers.into_iter().enumerate().map(|(n, mut trigger)| {
        trigger["enabled"] = json!(true);
        json!({"id": format!("p{n}"), "application": "app", "name": format!("name {n}"), "triggers": [trigger],
            "expectedArtifacts": [{"id": "e", "matchArtifact": {"type": "docker/image", "name": "h/a.*"},
                "defaultArtifact": {"type": "http/file", "reference": "u"}, "useDefaultArtifact": true}]})
    });
    all.collect()
}

fn crons() -> Vec<Input> {
    seeds::literals("orca/triggers/src/cron/tests.rs")
}

/// An expression, and in a second line the time zone.
fn cron(input: &Input) -> Outcome {
    let text = input.text();
    let (expression, zone) = text.split_once('\n').unwrap_or((&text, cron::DEFAULT_ZONE));
    let schedule = match Schedule::parse(expression, zone, "trigger 1") {
        Ok(schedule) => schedule,
        Err(error) => {
            let said = error.to_string();
            bounded("an error", said.len(), 1_000 + 8 * text.len())?;
            return Ok(Shape::new().word("no").said(said));
        }
    };
    must(expression.len() <= cron::EXPRESSION_BYTES_MAX, || {
        "a long expression was taken".to_owned()
    })?;
    must(cron::check(expression).is_ok(), || {
        "an expression is good and bad".to_owned()
    })?;
    let described = schedule.describe();
    bounded("a description", described.len(), 16 * 1024 + zone.len())?;
    let fires: Vec<_> = schedule.fires_between(NOW, kork_model::Timestamp(u64::MAX), FIRES);
    let mut before = NOW;
    for &at in &fires {
        must(at > before, || format!("it fires at {at} after {before}"))?;
        must(schedule.last_between(before, at) == Some(at), || {
            format!("the last fire time up to {at} is another")
        })?;
        before = at;
    }
    let until = NOW.plus_ms(DAY_MS);
    let policy = Policy::All { within_ms: DAY_MS };
    let missed = catch_up(&schedule, NOW, until, policy);
    bounded("what is made up for", missed.len(), cron::CATCH_UP_MAX)?;
    must(
        missed.is_sorted() && missed.iter().all(|at| *at > NOW && *at <= until),
        || "what is made up for was not missed".to_owned(),
    )?;
    Ok(Shape::new()
        .count("fires", fires.len())
        .count("missed", missed.len())
        .count("described", described.len()))
}

fn definitions() -> Vec<Input> {
    let events = [
        json!({"id": "e", "kind": "build", "source": "ci", "job": "job/a", "result": "SUCCESS", "building": false,
            "buildNumber": 1, "trigger": {"propertyFiles": {"b.properties": {"v": "1.2"}}}}),
        json!({"id": "e", "kind": "git", "sender": "github", "source": "github", "branch": "main", "commit": "0",
            "action": "push:push", "files": ["src/a/b.rs"], "trigger": {"project": "acme", "slug": "cart"},
            "signed": {"body": "e30=", "signatures": {"x-hub-signature-256": "sha256=00"}}}),
        json!({"id": "e", "kind": "image", "image": "h:5000/a/b", "tag": "v1", "digest": "sha256:00",
            "trigger": {"account": "d", "chartVersion": "1.2.3"}}),
        json!({"id": "e", "kind": "webhook", "source": "x", "payload": {"a": "b", "l": [{"x": 1}]},
            "artifacts": [{"type": "docker/image", "name": "h/a", "version": "1"}], "parameters": {"p": 1}}),
        json!({"id": "e", "kind": "pubsub", "source": "s", "attributes": {"k": "v"},
            "trigger": {"pubsubSystem": "google", "subscriptionName": "s"}}),
        json!({"id": "e", "kind": "cdevents", "source": "x", "attributes": {"ce-type": "dev.cdevents.x"}}),
        json!({"id": "e", "kind": "artifact", "trigger": {"nexusSearchName": "n"}}),
    ];
    let pipelines = pipelines();
    let of = |event: &Value| json!({"pipelines": &pipelines, "event": event});
    let mut all = seeds::of_values(&events.iter().map(of).collect::<Vec<_>>());
    let alone = pipelines.iter().flat_map(|p| {
        events
            .iter()
            .map(move |e| json!({"pipelines": [p], "event": e}))
    });
    all.extend(seeds::of_values(&alone.collect::<Vec<_>>()));
    all
}

/// Pipelines as people store them, and an event: filing, matching, explaining, all without harm.
fn definition(input: &Input) -> Outcome {
    let Ok(document) = serde_json::from_slice::<Value>(&input.body) else {
        return Ok(Shape::new().word("no JSON"));
    };
    let pipelines: Vec<Context> = match &document["pipelines"] {
        Value::Array(all) => all.iter().map(|pipeline| object(Some(pipeline))).collect(),
        other => vec![object(Some(other))],
    };
    let event = match serde_json::from_value::<InboundEvent>(document["event"].clone()) {
        Ok(event) => event,
        Err(error) => return Ok(Shape::new().said(error)),
    };
    let mut index = TriggerIndex::default();
    index.replace_all(&pipelines);
    must(index.len() <= pipelines.len(), || {
        "more pipelines are filed than there are".to_owned()
    })?;
    let mut shape = matched(Shape::new().count("filed", index.len()), &index, &event)?;
    for cron in index.crons().take(4) {
        let schedule = cron.schedule(None);
        shape = shape.word(if schedule.is_ok() {
            "good cron"
        } else {
            "bad cron"
        });
        let fired = index.cron_fired(cron.pipeline, cron.trigger, NOW);
        must(fired.is_some(), || {
            "a schedule that is there starts nothing".to_owned()
        })?;
    }
    shape = ended(shape, &index, &event);
    for pipeline in &pipelines {
        if let Some(id) = pipeline.get("id").and_then(Value::as_str) {
            let past = index.past(id, &[], None, (NOW, NOW.plus_ms(DAY_MS)));
            bounded("the past", json_bytes(&past)?, 64 * 1024 + 32 * input.len())?;
            index.remove(id);
        }
    }
    must(index.is_empty() && index.matches(&event).is_empty(), || {
        "what is removed still fires".to_owned()
    })?;
    Ok(shape)
}

/// The pipelines that wait for the end of another.
fn ended(mut shape: Shape, index: &TriggerIndex, event: &InboundEvent) -> Shape {
    for status in [Status::Succeeded, Status::Terminal] {
        let ended = Finished {
            execution: "e0",
            application: "app",
            pipeline: "p0",
            status,
            ended: NOW,
            user: event.actor.as_deref(),
            parent: &event.payload,
            artifacts: &event.artifacts,
            dry_run: event.incomplete,
        };
        shape = shape.count("children", index.finished(&ended).len());
    }
    shape
}

/// Matching and explaining one event agree, and the same comes of it each time.
pub(super) fn matched(
    shape: Shape,
    index: &TriggerIndex,
    event: &InboundEvent,
) -> Result<Shape, Fault> {
    let fired = index.matches(event);
    must(fired == index.matches(event), || {
        "the same event starts something else".to_owned()
    })?;
    must(fired.is_empty() || index.may_match(event), || {
        "what may not match starts something".to_owned()
    })?;
    let mut shape = shape
        .count("fired", fired.len())
        .count("files", index.property_files(event).len());
    for one in &fired {
        must(!one.execution_key.is_empty(), || {
            "an execution without a key".to_owned()
        })?;
        must(!one.trigger.contains_key("secret"), || {
            "the secret of a trigger is shown".to_owned()
        })?;
        shape = shape.said(
            one.trigger
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
    }
    let mut ids: Vec<String> = fired.iter().map(|one| one.pipeline.to_string()).collect();
    ids.extend((0..11).map(|n| format!("p{n}")));
    ids.dedup();
    for id in ids {
        let verdicts = index.explain(&id, event);
        let starts = verdicts.iter().filter(|v| v.starts).count();
        let expected = fired.iter().filter(|one| *one.pipeline == *id).count();
        must(starts == expected || event.id.is_empty(), || {
            "what is explained is not what happens".to_owned()
        })?;
        bounded(
            "an explanation",
            verdicts.iter().map(length).sum(),
            64 * 1024 + 64 * json_bytes(event)?,
        )?;
        if let Some(verdict) = verdicts.first() {
            shape = shape.said(&verdict.reason);
        }
    }
    Ok(shape)
}

fn length(verdict: &Verdict) -> usize {
    let texts = [&verdict.field, &verdict.wanted, &verdict.found];
    verdict.reason.len()
        + texts
            .iter()
            .map(|t| t.as_ref().map_or(0, String::len))
            .sum::<usize>()
}

fn paths() -> Vec<Input> {
    let document = json!({"a": {"b": [1, {"c": "d"}], "x": null}, "list": [[1], [2, {"x": 3}]], "": {"a.b": 1}});
    let paths = [
        "$.a.b[1].c",
        "$['']['a.b']",
        "a",
        "$..x",
        "$.list[*][0]",
        "$.list[-1]",
        "$..*",
        "$",
        "$.a.b[-9]",
        "$.a.b[?(@.c == 'd' && !@.x)].c",
        "$..[?@['x'] >= 3 || @[0] == 1]",
        "$.list[0:2][::-1]",
        "$.a['b','x']",
    ];
    let inputs = paths
        .iter()
        .map(|path| json!({"path": path, "document": document}));
    seeds::of_values(&inputs.collect::<Vec<_>>())
}

fn path(input: &Input) -> Outcome {
    let Ok(value) = serde_json::from_slice::<Value>(&input.body) else {
        return Ok(Shape::new().word("no JSON"));
    };
    let path = value["path"].as_str().unwrap_or_default();
    let document = object(value.get("document"));
    let all = json_path::select(&document, path);
    let as_value = Value::Object(document.clone());
    let first = json_path::find(&as_value, path);
    let Some(all) = all else {
        must(first.is_none(), || {
            "a path is understood once and once not".to_owned()
        })?;
        return Ok(Shape::new().word("not understood"));
    };
    bounded("what is selected", all.len(), json_path::VALUES_MAX)?;
    Ok(Shape::new()
        .count("found", all.len())
        .set("first", first.is_some()))
}
