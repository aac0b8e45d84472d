//! Pipelines whose triggers stand in their template.

use std::time::Duration;

use kork::model::Execution;
use serde_json::{Value, json};

use crate::{events::push, front50::BROKEN, world::World};

/// A template whose pipelines start for the branch that is their variable.
fn template(source: &str) -> Value {
    json!({
        "schema": "v2", "id": "shared",
        "variables": [{"name": "branch", "type": "string"}],
        "pipeline": {
            "stages": [{"refId": "1", "type": "wait", "waitTime": 0}],
            "triggers": [{"type": "webhook", "enabled": true, "source": source,
                          "payloadConstraints": {"branch": "^${ templateVariables.branch }$"}}],
        },
    })
}

fn made(id: &str, variables: &Value) -> Value {
    json!({
        "id": id, "application": "app", "name": id, "type": "templatedPipeline", "schema": "v2",
        "template": {"reference": "spinnaker://shared"}, "variables": variables,
    })
}

/// Sends events until one starts what is expected; what each of them started.
async fn until_started(world: &World, tag: &str, branch: &str, expected: &[&str]) {
    let named = |found: &[Execution], before: usize| -> Vec<String> {
        let new = found.iter().take(found.len() - before);
        let mut names: Vec<String> = new.filter_map(|e| e.name.clone()).collect();
        names.sort();
        names
    };
    for n in 0..100 {
        let before = world.executions().await.len();
        world.send(&[push(&format!("{tag}-{n}"), branch)]).await;
        let found = world.executions().await;
        if named(&found, before) == expected {
            return;
        }
        // The change is told behind the caller's back.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{tag}: {branch} never starts {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn triggers_of_a_template_start_its_pipelines_and_follow_its_changes() {
    let main = made("on-main", &json!({"branch": "main"}));
    let next = made("on-next", &json!({"branch": "next"}));
    let incomplete = made("incomplete", &json!({}));
    let mut broken = made("broken", &json!({}));
    broken["template"]["reference"] = json!("spinnaker://broken");
    let world = World::new(vec![broken, main, incomplete]).await;
    let unreadable = json!({"id": "broken", BROKEN: true});
    let stored = world.front50.change_template(&world.ports, unreadable, 0);
    stored.await;
    let stored = world
        .front50
        .change_template(&world.ports, template("ci"), 1);
    stored.await;
    let _orca = world.orca().await;
    until_started(&world, "at the start", "main", &["on-main"]).await;
    // One that is saved later.
    world.front50.change(&world.ports, next, 2).await;
    until_started(&world, "saved", "next", &["on-next"]).await;
    until_started(&world, "both", "main", &["on-main"]).await;
    // The template waits for another source, and for this one again.
    let other = world
        .front50
        .change_template(&world.ports, template("other"), 3);
    other.await;
    until_started(&world, "other", "main", &[]).await;
    until_started(&world, "other", "next", &[]).await;
    let again = world
        .front50
        .change_template(&world.ports, template("ci"), 4);
    again.await;
    until_started(&world, "again", "main", &["on-main"]).await;
    until_started(&world, "again", "next", &["on-next"]).await;
    // What excludes the triggers of its template has its own.
    let mut own = made("on-main", &json!({"branch": "main"}));
    own["exclude"] = json!(["triggers"]);
    world.front50.change(&world.ports, own, 5).await;
    until_started(&world, "excluded", "main", &[]).await;
    // A second orca reads what the first one was told.
    let _second = world.orca().await;
    for n in 0..4 {
        until_started(&world, &format!("two {n}"), "next", &["on-next"]).await;
    }
}
