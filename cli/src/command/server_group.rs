//! `gennaker server-group`: list, resize, enable, disable, destroy, logs.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::{columns, items, must_be_known};
use crate::{
    args::{LOG_LINES_MAX, ServerGroupArgs, ServerGroupCommand},
    client::{Client, Failure, run_task},
    exit::Exit,
    output::{Out, Paint, Table, Tone, member, moment},
};

/// Pause between two looks at a log.
const LOG_LOOK_MS: u64 = 500;

pub(super) async fn run(
    client: &Client,
    command: &ServerGroupCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        ServerGroupCommand::List { application } => {
            let all = client
                .list(&["applications", application, "serverGroups"], &[])
                .await?;
            must_be_known(client, application, &all).await?;
            out.data(&all, |paint| table(&all, paint, columns(out)));
        }
        ServerGroupCommand::Resize { target, capacity } => {
            let size = json!({"min": capacity, "max": capacity, "desired": capacity});
            let extra = json!({"capacity": size});
            operate(client, target, "resizeServerGroup", &extra, out).await?;
        }
        ServerGroupCommand::Enable(target) => {
            operate(client, target, "enableServerGroup", &json!({}), out).await?;
        }
        ServerGroupCommand::Disable(target) => {
            operate(client, target, "disableServerGroup", &json!({}), out).await?;
        }
        ServerGroupCommand::Destroy(target) => {
            operate(client, target, "destroyServerGroup", &json!({}), out).await?;
        }
        ServerGroupCommand::Logs {
            name,
            application,
            follow,
            lines,
        } => {
            let place = Place::find(client, name, application.as_deref()).await?;
            logs(client, &place, *follow, *lines, out).await?;
        }
    }
    Ok(Exit::Success)
}

/// Where a server group is.
struct Place {
    application: String,
    account: String,
    region: String,
    name: String,
    provider: String,
}

impl Place {
    async fn find(client: &Client, name: &str, application: Option<&str>) -> Result<Self, Failure> {
        let application = application
            .unwrap_or_else(|| name.split_once('-').map_or(name, |(first, _)| first))
            .to_owned();
        let all = client
            .list(&["applications", &application, "serverGroups"], &[])
            .await?;
        let found: Vec<&Value> = items(&all)
            .iter()
            .filter(|g| member(g, "name") == name)
            .collect();
        match found.as_slice() {
            [one] => Ok(Self {
                application,
                account: member(one, "account"),
                region: member(one, "region"),
                name: name.to_owned(),
                provider: member(one, "cloudProvider"),
            }),
            [] => {
                let names: Vec<String> = items(&all).iter().map(|g| member(g, "name")).collect();
                let next = if names.is_empty() {
                    format!(
                        "list them: gennaker server-group list {application}; another application \
                        is named with --application"
                    )
                } else {
                    format!("there are {}", names.join(", "))
                };
                let detail = format!("application {application} has no server group {name}");
                Err(Failure::input(detail, next))
            }
            several => Err(Failure::input(
                format!("{} server groups are named {name}", several.len()),
                "use POST /tasks with account and region",
            )),
        }
    }
}

async fn operate(
    client: &Client,
    target: &ServerGroupArgs,
    kind: &str,
    extra: &Value,
    out: &Out,
) -> Result<(), Failure> {
    let place = Place::find(client, &target.name, target.application.as_deref()).await?;
    let mut job = json!({
        "type": kind,
        "account": place.account,
        "credentials": place.account,
        "region": place.region,
        "regions": [place.region],
        "cloudProvider": place.provider,
        "serverGroupName": place.name,
        "asgName": place.name,
        "application": place.application,
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        job[key] = value.clone();
    }
    if target.dry_run {
        let request = json!({"kind": kind, "application": place.application, "payload": job});
        let plan = client.post(&["operations", "plan"], &request).await?;
        out.data(&plan, |paint| plan_text(&plan, paint));
        out.note("this is the plan; nothing was done");
        return Ok(());
    }
    let description = format!("{kind}: {}", place.name);
    run_task(client, &place.application, &description, &[job], |step| {
        out.note(step);
    })
    .await?;
    out.note(&format!("{kind} of {} is done", place.name));
    Ok(())
}

fn plan_text(plan: &Value, paint: Paint) -> String {
    let mut lines = Vec::new();
    for (at, step) in plan
        .get("steps")
        .map(items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let rest: Vec<String> = step
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "action")
            .map(|(key, value)| format!("{key}={}", crate::output::plain(value)))
            .collect();
        let action = paint.tone(Tone::Strong, &member(step, "action"));
        lines.push(format!("{}. {action} {}", at + 1, rest.join(" ")));
    }
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    for problem in plan.get("problems").map(items).unwrap_or_default() {
        lines.push(paint.tone(
            Tone::Bad,
            &format!("problem: {}", crate::output::plain(problem)),
        ));
    }
    lines.join("\n")
}

fn table(groups: &Value, paint: Paint, columns: Option<usize>) -> String {
    let mut table = Table::new(
        &[
            "NAME",
            "ACCOUNT",
            "REGION",
            "INSTANCES",
            "TRAFFIC",
            "LOAD BALANCERS",
            "CREATED (UTC)",
        ],
        "there are no server groups",
    );
    for group in items(groups) {
        let count = |key: &str| {
            group
                .pointer(&format!("/instanceCounts/{key}"))
                .and_then(Value::as_u64)
                .unwrap_or(0)
        };
        let up = format!("{}/{} up", count("up"), count("total"));
        let off = ["isDisabled", "disabled"]
            .iter()
            .any(|key| group.get(key).and_then(Value::as_bool) == Some(true));
        table.row([
            member(group, "name"),
            member(group, "account"),
            member(group, "region"),
            paint.tone(
                if count("up") == count("total") {
                    Tone::Good
                } else {
                    Tone::Warn
                },
                &up,
            ),
            if off {
                paint.tone(Tone::Faint, "disabled")
            } else {
                "enabled".to_owned()
            },
            member(group, "loadBalancers"),
            group
                .get("createdTime")
                .and_then(Value::as_u64)
                .map(moment)
                .unwrap_or_default(),
        ]);
    }
    table.render(paint, columns)
}

async fn logs(
    client: &Client,
    place: &Place,
    follow: bool,
    lines: u32,
    out: &Out,
) -> Result<(), Failure> {
    let path = [
        "applications",
        &place.application,
        "serverGroups",
        &place.account,
        &place.region,
        &place.name,
        "logs",
    ];
    let mut asked = lines;
    // Lines that two looks have in common are shown once.
    let mut seen: HashSet<String> = HashSet::new();
    loop {
        let count = asked.to_string();
        let answer = client.list(&path, &[("lines", &count)]).await?;
        let mut now_there = HashSet::new();
        let mut fresh = Vec::new();
        for line in items(&answer) {
            let key = line.to_string();
            if !seen.contains(&key) {
                fresh.push(line.clone());
            }
            now_there.insert(key);
        }
        seen = now_there;
        if !follow || !fresh.is_empty() {
            out.data(&fresh, |paint| {
                fresh
                    .iter()
                    .map(|line| log_line(line, paint))
                    .collect::<Vec<_>>()
                    .join("\n")
            });
        }
        if !follow || out.is_closed() {
            return Ok(());
        }
        asked = LOG_LINES_MAX;
        tokio::time::sleep(Duration::from_millis(LOG_LOOK_MS)).await;
    }
}

fn log_line(line: &Value, paint: Paint) -> String {
    let time = line
        .get("time")
        .and_then(Value::as_u64)
        .map(moment)
        .unwrap_or_default();
    let stream = member(line, "stream");
    let text = member(line, "line");
    let text = if stream == "stderr" {
        paint.tone(Tone::Warn, &text)
    } else {
        text
    };
    let place = format!("{time} {}", member(line, "instance"));
    format!("{} {text}", paint.tone(Tone::Faint, &place))
}
