//! `gennaker trigger`: why something did or did not start.

use serde_json::Value;

use super::{columns, items};
use crate::{
    args::TriggerCommand,
    client::{Client, Failure},
    exit::Exit,
    output::{Out, Paint, Table, Tone, member},
};

pub(super) async fn run(
    client: &Client,
    command: &TriggerCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    let TriggerCommand::Explain {
        application,
        pipeline,
        delivery,
        source,
        limit,
    } = command;
    let id = match (application, pipeline) {
        (Some(application), Some(name)) => Some(id_of(client, application, name).await?),
        _ => None,
    };
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(id.as_deref().map(|id| ("pipeline", id)));
    query.extend(delivery.as_deref().map(|id| ("delivery", id)));
    query.extend(source.as_deref().map(|name| ("source", name)));
    let all = client.list(&["triggers", "explain"], &query).await?;
    out.data(&all, |paint| table(&all, id.is_some(), paint, out));
    Ok(Exit::Success)
}

/// The id of a pipeline by its name, or the id itself.
async fn id_of(client: &Client, application: &str, name: &str) -> Result<String, Failure> {
    let path = ["applications", application, "pipelineConfigs", name];
    match client.find(&path).await? {
        Some(found) => Ok(member(&found, "id")),
        None => Ok(name.to_owned()),
    }
}

fn table(all: &Value, of_one: bool, paint: Paint, out: &Out) -> String {
    let none = if of_one {
        "no event came in yet that could be explained; `gennaker delivery list` shows what did"
    } else {
        "the newest events started no pipeline; name one to see why: gennaker trigger explain APPLICATION PIPELINE"
    };
    let mut table = Table::new(&["EVENT", "PIPELINE", "EXECUTION", "TRIGGER", "WHY"], none);
    for one in items(all) {
        let pipeline = format!("{}/{}", member(one, "application"), member(one, "name"));
        let triggers = items(&one["triggers"]);
        if triggers.is_empty() {
            let why = "the pipeline has no triggers".to_owned();
            table.row([
                member(one, "event"),
                pipeline,
                member(one, "execution"),
                String::new(),
                why,
            ]);
            continue;
        }
        for trigger in triggers {
            let (tone, why) = match trigger["matched"].as_bool() {
                Some(true) => (Tone::Good, member(trigger, "reason")),
                _ => (Tone::Warn, member(trigger, "reason")),
            };
            table.row([
                member(one, "event"),
                pipeline.clone(),
                member(one, "execution"),
                member(trigger, "type"),
                paint.tone(tone, &why),
            ]);
        }
    }
    table.render(paint, columns(out))
}
