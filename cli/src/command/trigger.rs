//! `gennaker trigger`: why something did or did not start.

use serde_json::Value;

use super::{columns, items};
use crate::{
    args::TriggerCommand,
    client::{Client, Failure},
    exit::Exit,
    output::{Out, Paint, Table, Tone, ago, ahead, member},
};

pub(super) async fn run(
    client: &Client,
    command: &TriggerCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        TriggerCommand::Explain {
            application,
            pipeline,
            delivery,
            source,
            limit,
        } => {
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
        }
        TriggerCommand::History {
            application,
            pipeline,
        } => {
            let id = id_of(client, application, pipeline).await?;
            let query = [("pipeline", id.as_str())];
            let all = client.list(&["triggers", "history"], &query).await?;
            out.data(&all, |paint| history(&all, paint, out));
        }
    }
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

/// One line per start, and one of what comes next or why nothing does.
fn history(all: &Value, paint: Paint, out: &Out) -> String {
    let none = "the pipeline has no triggers; it is started by hand";
    let mut table = Table::new(&["TRIGGER", "WHEN", "WHAT", "EXECUTION", "WHY"], none);
    for trigger in items(all) {
        let name = format!("{} {}", member(trigger, "index"), member(trigger, "type"));
        let (what, tone) = match trigger.get("because") {
            Some(_) => ("cannot fire", Tone::Warn),
            None if trigger.get("next").is_some() => ("fires next", Tone::Good),
            None => ("listens", Tone::Good),
        };
        let why = match trigger.get("because") {
            Some(_) => member(trigger, "because"),
            None => member(trigger, "schedule"),
        };
        let next = ahead(&trigger["next"]);
        table.row([
            name.clone(),
            next,
            paint.tone(tone, what),
            String::new(),
            why,
        ]);
        if let Some(end) = trigger.get("lastEnd") {
            let what = format!("its parent ended {}", member(end, "status"));
            let row = [
                name.clone(),
                ago(&end["endTime"]),
                what,
                member(end, "execution"),
                member(end, "because"),
            ];
            table.row(row);
        }
        for start in items(&trigger["starts"]) {
            table.row([
                name.clone(),
                ago(&start["at"]),
                outcome(&member(start, "outcome"), paint),
                member(start, "execution"),
                member(start, "status"),
            ]);
        }
    }
    table.render(paint, columns(out))
}

fn outcome(word: &str, paint: Paint) -> String {
    let (tone, words) = match word {
        "missed" => (Tone::Bad, "was missed"),
        "madeUp" => (Tone::Warn, "was made up for"),
        "starting" => (Tone::Warn, "is starting"),
        _ => (Tone::Good, "started"),
    };
    paint.tone(tone, words)
}
