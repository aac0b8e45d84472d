//! Follows the status of what a webhook started.

use std::time::Duration;

use kork_model::{Context, Status, WorkOrder, WorkResult};
use serde_json::{Value, json};

use super::{Answer, Caller, Listener, canceled, codes, ended, find_path, shown, text};
use crate::config::WebhookConfig;

/// Looks are frequent for this long, then rare.
const FREQUENT_MS: u64 = 60_000;

/// Where the status is asked for, as the stage says (`statusUrlResolution`).
pub(super) fn status_url(context: &Context, answer: &Answer) -> Result<String, String> {
    match text(context, "statusUrlResolution").as_str() {
        "" | "getMethod" => Ok(text(context, "url")),
        "locationHeader" => answer
            .headers
            .get("Location")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| "the answer has no Location header to follow the status at".to_owned()),
        "webhookResponse" => {
            let path = text(context, "statusUrlJsonPath");
            let found = answer.body.as_ref().and_then(|body| find_path(body, &path));
            found
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("the answer has no text at {path} (statusUrlJsonPath)"))
        }
        other => Err(format!(
            "statusUrlResolution {other} is not known; there are getMethod, locationHeader and \
             webhookResponse"
        )),
    }
}

enum Look {
    Again(Value),
    End(Status, Value),
}

pub(super) async fn follow(
    caller: &Caller,
    config: &WebhookConfig,
    order: &WorkOrder,
    listener: &impl Listener,
) -> WorkResult {
    let mut context = order.payload.clone();
    let url = match text(&context, "statusEndpoint") {
        url if url.is_empty() => text(&context, "url"),
        url => url,
    };
    context.insert("statusEndpoint".to_owned(), json!(url));
    context.insert("statusMethod".to_owned(), json!("GET"));
    let mut webhook = context.get("webhook").cloned().unwrap_or_else(|| json!({}));
    webhook["statusEndpoint"] = json!(url);
    let started = listener.now_ms();
    let mut past: Vec<Value> = Vec::new();
    loop {
        let call = caller
            .call(&context, "statusEndpoint", "statusMethod", "", &order.key.0)
            .await;
        let look = match call {
            Ok(answer) => look(&order.payload, &answer, &mut past),
            Err(error) if error.is_passing() => Look::Again(json!({ "error": error.to_string() })),
            Err(error) => Look::End(Status::Terminal, json!({ "error": error.to_string() })),
        };
        match look {
            Look::End(status, monitor) => {
                webhook["monitor"] = monitor;
                return ended(status, webhook);
            }
            Look::Again(monitor) => {
                if webhook.get("monitor") != Some(&monitor) {
                    webhook["monitor"] = monitor;
                    listener.progress(shown(webhook.clone())).await;
                }
            }
        }
        let early = listener.now_ms().saturating_sub(started) < FREQUENT_MS;
        let pause = if early {
            config.monitor_ms
        } else {
            config.monitor_slow_ms
        };
        if !listener.pause(Duration::from_millis(pause)).await {
            return canceled();
        }
    }
}

fn look(context: &Context, answer: &Answer, past: &mut Vec<Value>) -> Look {
    let also_retried = codes(context.get("retryStatusCodes"));
    if answer.status == 429 || answer.status >= 500 || also_retried.contains(&answer.status) {
        past.push(json!(answer.status));
        if past.len() > 100 {
            past.remove(0);
        }
        return Look::Again(json!({ "pastStatusCodes": past }));
    }
    let mut monitor = answer.shown();
    if answer.status >= 400 {
        let text = format!("the status was answered with status code {}", answer.status);
        return fail(monitor, &text);
    }
    let path = text(context, "statusJsonPath");
    if path.is_empty() {
        return Look::End(Status::Succeeded, monitor);
    }
    let body = answer.body.clone().unwrap_or_default();
    let Some(status) = find_path(&body, &path) else {
        let text = format!("the status cannot be read: there is nothing at {path} in the answer");
        return fail(monitor, &text);
    };
    if !(status.is_string() || status.is_number() || status.is_boolean()) {
        monitor["resolvedValue"] = status.clone();
        return fail(monitor, &format!("{path} does not lead to a single value"));
    }
    let progress_path = text(context, "progressJsonPath");
    if !progress_path.is_empty() {
        match find_path(&body, &progress_path) {
            Some(Value::String(message)) => monitor["progressMessage"] = json!(message),
            Some(other) => {
                monitor["resolvedValue"] = other.clone();
                return fail(monitor, &format!("{progress_path} does not lead to a text"));
            }
            None => {
                let text =
                    format!("the progress cannot be read: there is nothing at {progress_path}");
                return fail(monitor, &text);
            }
        }
    }
    judged(context, status, monitor)
}

fn judged(context: &Context, status: &Value, mut monitor: Value) -> Look {
    if let Some(percent) = status.as_f64() {
        monitor["percentComplete"] = status.clone();
        return if percent >= 100.0 {
            Look::End(Status::Succeeded, monitor)
        } else {
            Look::Again(monitor)
        };
    }
    let said = status
        .as_str()
        .map_or_else(|| status.to_string(), str::to_owned);
    let listed = |key: &str| {
        let list = text(context, key);
        list.split(',')
            .any(|s| s.trim().eq_ignore_ascii_case(&said))
    };
    if text(context, "successStatuses").is_empty() {
        return fail(
            monitor,
            "successStatuses is missing, so no status would be a success",
        );
    }
    if listed("successStatuses") {
        Look::End(Status::Succeeded, monitor)
    } else if listed("canceledStatuses") {
        Look::End(Status::Canceled, monitor)
    } else if listed("terminalStatuses") {
        Look::End(Status::Terminal, monitor)
    } else {
        Look::Again(monitor)
    }
}

fn fail(mut monitor: Value, reason: &str) -> Look {
    monitor["error"] = json!(reason);
    Look::End(Status::Terminal, monitor)
}
