//! `gennaker delivery`: what came in from outside, and doing it again.

use serde_json::{Value, json};

use super::{columns, items};
use crate::{
    args::DeliveryCommand,
    client::{Client, Failure},
    exit::Exit,
    output::{Out, Paint, Table, Tone, ago, member},
};

pub(super) async fn run(
    client: &Client,
    command: &DeliveryCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        DeliveryCommand::List { source, limit } => {
            let limit = limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(source.as_deref().map(|name| ("source", name)));
            let all = client.list(&["deliveries"], &query).await?;
            out.data(&all, |paint| table(&all, paint, out));
        }
        DeliveryCommand::Get { id } => {
            out.document(&client.object(&["deliveries", id], &[]).await?);
        }
        DeliveryCommand::Replay { id } => {
            let taken = client
                .post(&["deliveries", id, "replay"], &json!({}))
                .await?;
            out.data(&taken, |_| {
                format!(
                    "delivery {id} is done again as {}",
                    member(&taken, "eventId")
                )
            });
        }
        DeliveryCommand::Sources => {
            let all = client.list(&["sources"], &[]).await?;
            out.data(&all, |paint| sources(&all, paint, out));
        }
    }
    Ok(Exit::Success)
}

fn table(all: &Value, paint: Paint, out: &Out) -> String {
    let mut table = Table::new(
        &["DELIVERY", "WHEN", "SENDER", "SOURCE", "VERDICT", "WHAT"],
        "nothing came in yet; let a sender post to /webhooks/{type}/{source}",
    );
    for one in items(all) {
        let verdict = member(one, "verdict");
        let tone = match verdict.as_str() {
            "accepted" => Tone::Good,
            "refused" | "failed" => Tone::Bad,
            _ => Tone::Faint,
        };
        table.row([
            member(one, "id"),
            ago(&one["received"]),
            member(one, "sender"),
            member(one, "source"),
            paint.tone(tone, &verdict),
            what(one),
        ]);
    }
    table.render(paint, columns(out))
}

/// Its events in a few words, and why nothing came of it.
fn what(delivery: &Value) -> String {
    let mut words: Vec<String> = items(&delivery["events"]).iter().map(event).collect();
    words.extend(delivery["because"].as_str().map(str::to_owned));
    words.join("; ")
}

/// `payments/ledger #87 SUCCESS`, `acme/shop main 3f0c9d7`, `registry/shop:1.2`.
pub(super) fn event(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let mut words = Vec::new();
    if let Some(job) = event["job"].as_str() {
        words.push(job.to_owned());
        words.extend(
            event["buildNumber"]
                .as_u64()
                .map(|number| format!("#{number}")),
        );
        words.push(text("result").to_owned());
    } else if let Some(image) = event["image"].as_str() {
        words.push(format!("{image}:{}", text("tag")));
    } else {
        words.push(text("repository").to_owned());
        words.push(format!("{}{}", text("branch"), text("tag")));
        words.push(text("commit").chars().take(7).collect());
        words.push(text("action").to_owned());
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

fn sources(all: &Value, paint: Paint, out: &Out) -> String {
    let mut table = Table::new(
        &["NAME", "TYPE", "LAST DELIVERY", "LAST LOOK", "STATE"],
        "nothing is configured; see igor.sources, igor.controllers, igor.registries and igor.repositories",
    );
    for one in items(all) {
        let state = match one["error"].as_str() {
            Some(error) => paint.tone(Tone::Bad, error),
            None => paint.tone(Tone::Good, "fine"),
        };
        table.row([
            member(one, "name"),
            member(one, "type"),
            ago(&one["lastDelivery"]),
            ago(&one["lastPoll"]),
            state,
        ]);
    }
    table.render(paint, columns(out))
}
