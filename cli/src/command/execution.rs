//! `gennaker execution`: list, get, watch, cancel, pause, resume, restart.

use std::time::Duration;

use kork_model::{Execution, Stage, Status};
use serde_json::{Value, json};

use super::{columns, items, must_be_known};
use crate::{
    args::{ExecutionCommand, Format},
    client::{Client, Failure, exit_of, follow},
    exit::Exit,
    output::{Out, Paint, Table, duration, member, moment, now, render_tree},
};

/// How often a live drawing is brought up to date when nothing happens.
const REDRAW_MS: u64 = 200;

pub(super) async fn run(
    client: &Client,
    command: &ExecutionCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        ExecutionCommand::List {
            application,
            pipeline,
            status,
            limit,
        } => {
            let all = list(client, application, status, *limit).await?;
            let chosen: Vec<&Value> = items(&all)
                .iter()
                .filter(|e| {
                    pipeline
                        .as_ref()
                        .is_none_or(|name| member(e, "name") == *name)
                })
                .collect();
            out.data(&chosen, |paint| table(&chosen, paint, columns(out)));
        }
        ExecutionCommand::Get { id } => {
            let value = client.object(&["pipelines", id], &[]).await?;
            let execution = client.as_execution(value.clone())?;
            out.data(&value, |paint| render_tree(&execution, now(), paint));
        }
        ExecutionCommand::Watch { id } => return watch(client, id, out).await,
        ExecutionCommand::Cancel { id, reason } => {
            must_go_on(&client.execution(id).await?, "cancel")?;
            let reason = reason.as_deref().unwrap_or_default();
            let query: &[(&str, &str)] = if reason.is_empty() {
                &[]
            } else {
                &[("reason", reason)]
            };
            client
                .put(&["pipelines", id, "cancel"], query, None)
                .await?;
            out.note(&format!("execution {id} is being canceled"));
        }
        ExecutionCommand::Pause { id } => {
            must_go_on(&client.execution(id).await?, "hold")?;
            client.put(&["pipelines", id, "pause"], &[], None).await?;
            out.note(&format!(
                "execution {id} is held; `gennaker execution resume {id}` lets it go on"
            ));
        }
        ExecutionCommand::Resume { id } => {
            must_be_held(&client.execution(id).await?)?;
            client.put(&["pipelines", id, "resume"], &[], None).await?;
            out.note(&format!("execution {id} goes on"));
        }
        ExecutionCommand::Restart { id, stage } => {
            let execution = client.execution(id).await?;
            let stage = to_restart(&execution, stage.as_deref())?;
            let path = ["pipelines", id, "stages", stage.id.as_str(), "restart"];
            client.put(&path, &[], Some(&json!({}))).await?;
            out.note(&format!(
                "stage {} of execution {id} runs again",
                stage.name
            ));
        }
    }
    Ok(Exit::Success)
}

/// Gate takes these requests for an execution in any status, and does nothing. A person is told.
fn must_go_on(execution: &Execution, verb: &str) -> Result<(), Failure> {
    if !execution.status.is_complete() {
        return Ok(());
    }
    let (id, status) = (&execution.id, execution.status);
    Err(Failure::input(
        format!("execution {id} has ended ({status}): there is nothing to {verb}"),
        format!("run a stage again: gennaker execution restart {id} --stage NAME"),
    ))
}

fn must_be_held(execution: &Execution) -> Result<(), Failure> {
    if execution.status == Status::Paused {
        return Ok(());
    }
    let (id, status) = (&execution.id, execution.status);
    Err(Failure::input(
        format!("execution {id} is not held, it is {status}"),
        format!("look at it: gennaker execution get {id}"),
    ))
}

/// Follows an execution until it ends; the exit status says how.
pub(super) async fn watch(client: &Client, id: &str, out: &Out) -> Result<Exit, Failure> {
    let mut changes = follow(client, id);
    let mut progress = out.progress();
    let is_drawn = out.format == Format::Table;
    let mut last: Option<Execution> = None;
    let mut redraw = tokio::time::interval(Duration::from_millis(REDRAW_MS));
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(Ok(execution)) => {
                    if is_drawn {
                        progress.update(&execution, now());
                    }
                    last = Some(execution);
                }
                Some(Err(failure)) => return Err(failure),
                None => break,
            },
            _ = redraw.tick() => {
                if out.is_closed() {
                    return Ok(Exit::NotRead);
                }
                if let Some(execution) = last.as_ref().filter(|_| is_drawn && progress.is_live()) {
                    progress.update(execution, now());
                }
            }
        }
    }
    let Some(execution) = last else {
        return Err(Failure::Ended {
            detail: format!("execution {id} could not be followed"),
            next: format!("look at it: gennaker execution get {id}"),
        });
    };
    if out.format != Format::Table {
        out.document(&execution);
    }
    Ok(exit_of(&execution))
}

async fn list(
    client: &Client,
    application: &str,
    statuses: &[String],
    limit: u32,
) -> Result<Value, Failure> {
    let unknown: Vec<&String> = statuses
        .iter()
        .filter(|s| Status::parse(&s.to_ascii_uppercase()).is_none())
        .collect();
    if let Some(name) = unknown.first() {
        let known = Status::ALL.map(Status::name).join(", ");
        return Err(Failure::input(
            format!("there is no status {name}"),
            format!("use one of {known}"),
        ));
    }
    let limit = limit.to_string();
    let statuses = statuses.join(",").to_ascii_uppercase();
    let mut query = vec![("limit", limit.as_str()), ("expand", "false")];
    if !statuses.is_empty() {
        query.push(("statuses", &statuses));
    }
    let mut all = client
        .list(&["applications", application, "pipelines"], &query)
        .await?;
    must_be_known(client, application, &all).await?;
    if let Some(list) = all.as_array_mut() {
        // Ids tell nothing about it: that of a webhook's execution follows from the delivery.
        list.sort_by_key(|e| std::cmp::Reverse((made_at(e), member(e, "id"))));
    }
    Ok(all)
}

fn made_at(execution: &Value) -> Option<u64> {
    let time = |key: &str| execution.get(key).and_then(Value::as_u64);
    time("buildTime").or_else(|| time("startTime"))
}

fn table(executions: &[&Value], paint: Paint, columns: Option<usize>) -> String {
    let mut table = Table::new(
        &[
            "ID",
            "PIPELINE",
            "STATUS",
            "STARTED (UTC)",
            "TOOK",
            "STARTED BY",
        ],
        "there are no executions",
    );
    for one in executions {
        let time = |key: &str| one.get(key).and_then(Value::as_u64);
        let took = time("startTime").map(|start| {
            duration(
                time("endTime")
                    .unwrap_or_else(|| now().millis())
                    .saturating_sub(start),
            )
        });
        let trigger = one.get("trigger").unwrap_or(&Value::Null);
        table.row([
            member(one, "id"),
            member(one, "name"),
            paint.status_name(&member(one, "status")),
            time("startTime").map(moment).unwrap_or_default(),
            took.unwrap_or_default(),
            started_by(trigger),
        ]);
    }
    table.render(paint, columns)
}

fn started_by(trigger: &Value) -> String {
    let (user, kind) = (member(trigger, "user"), member(trigger, "type"));
    match (user.is_empty(), kind.is_empty()) {
        (_, true) => user,
        (true, false) => kind,
        (false, false) => format!("{user} ({kind})"),
    }
}

/// The stage with this id, refId or name. Synthetic stages are found by id only.
pub(super) fn find_stage<'a>(execution: &'a Execution, text: &str) -> Result<&'a Stage, Failure> {
    let own = || {
        execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.is_none())
    };
    let found = execution
        .stages
        .iter()
        .find(|s| s.id.as_str() == text)
        .or_else(|| own().find(|s| s.ref_id == text))
        .or_else(|| own().find(|s| s.name.eq_ignore_ascii_case(text)));
    found.ok_or_else(|| {
        let names: Vec<String> = own().map(|s| format!("{:?}", s.name)).collect();
        Failure::input(
            format!("execution {} has no stage {text:?}", execution.id),
            format!("its stages are {}", names.join(", ")),
        )
    })
}

fn to_restart<'a>(execution: &'a Execution, named: Option<&str>) -> Result<&'a Stage, Failure> {
    if let Some(text) = named {
        return find_stage(execution, text);
    }
    let own = execution
        .stages
        .iter()
        .filter(|s| s.parent_stage_id.is_none());
    let mut failed = own.filter(|s| s.status.is_failure() || s.status == Status::Canceled);
    failed.next().ok_or_else(|| {
        Failure::input(
            format!("no stage of execution {} failed", execution.id),
            "say which stage shall run again with --stage",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_execution_is_the_one_made_last_whatever_its_id() {
        let old = json!({"id": "09", "buildTime": 1, "startTime": 9});
        let new = json!({"id": "01", "buildTime": 2});
        assert!(made_at(&new) > made_at(&old));
        assert_eq!(made_at(&json!({"startTime": 3})), Some(3));
    }
}
