//! Tasks: `POST /tasks`, then following the task until it ends.

use std::time::Duration;

use kork_model::Status;
use serde_json::{Value, json};

use super::{Client, Failure};

/// Pause between two looks at a task.
const LOOK_MS: u64 = 150;
/// Longest time that the command waits for a task.
const TASK_TIMEOUT: Duration = Duration::from_mins(10);

/// Runs jobs as one task and waits until it ended; `told` hears of each step once. The task as gate
/// shows it; a task that did not succeed is a failure with its reason.
pub(crate) async fn run_task(
    client: &Client,
    application: &str,
    description: &str,
    jobs: &[Value],
    mut told: impl FnMut(&str),
) -> Result<Value, Failure> {
    let body = json!({"application": application, "description": description, "job": jobs});
    let answer = client.post(&["tasks"], &body).await?;
    let id = client.reference(&["tasks"], &answer)?;
    let deadline = tokio::time::Instant::now() + TASK_TIMEOUT;
    let mut last = String::new();
    loop {
        let task = client.object(&["tasks", &id], &[]).await?;
        let name = task
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let step = running_step(&task);
        if !step.is_empty() && step != last {
            told(&step);
            last = step;
        }
        match Status::parse(name) {
            Some(status) if status.is_successful() => return Ok(task),
            Some(status) if status.is_complete() => {
                let reason = reason(&task).unwrap_or_else(|| format!("it ended {status}"));
                let detail = format!("the task {description:?} ({id}) failed: {reason}");
                let next = format!("all of it: curl {}/tasks/{id}", client.base());
                return Err(Failure::Ended { detail, next });
            }
            _ if tokio::time::Instant::now() >= deadline => {
                return Err(Failure::TimedOut {
                    detail: format!("the task {id} is still {name}"),
                    next: format!("it goes on; look again: curl {}/tasks/{id}", client.base()),
                });
            }
            _ => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
}

fn running_step(task: &Value) -> String {
    let steps = task
        .get("steps")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let running = steps.filter(|s| s.get("status").and_then(Value::as_str) == Some("RUNNING"));
    running
        .filter_map(|s| s.get("name")?.as_str())
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

/// The first error of a failed task: in its variables, else in the contexts of its stages.
fn reason(task: &Value) -> Option<String> {
    let variables = task
        .get("variables")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let told = variables.filter(|v| v.get("key").and_then(Value::as_str) == Some("exception"));
    let stages = task
        .pointer("/execution/stages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let exceptions = told
        .filter_map(|v| v.get("value"))
        .chain(stages.filter_map(|stage| stage.pointer("/context/exception")));
    let mut texts = exceptions.filter_map(|exception| {
        let errors = exception
            .pointer("/details/errors")
            .and_then(Value::as_array);
        let listed: Vec<&str> = errors
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if listed.is_empty() {
            exception
                .pointer("/details/error")
                .and_then(Value::as_str)
                .map(str::to_owned)
        } else {
            Some(listed.join("; "))
        }
    });
    texts.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failed_task_is_found() {
        let task = json!({"variables": [
            {"key": "application", "value": "shop"},
            {"key": "exception", "value": {"details": {"errors": ["no such server group", "b"]}}}]});
        assert_eq!(reason(&task).as_deref(), Some("no such server group; b"));
        assert_eq!(reason(&json!({})), None);
    }
}
