//! An execution as a tree of its stages, failed ones with their reasons.

use kork_model::{Execution, Stage, StageOwner, Status, Timestamp};
use serde_json::Value;

use super::{Paint, Tone};

/// Lines of an instance's log that are shown under a failed stage.
const LOG_LINES_MAX: usize = 8;

/// The execution with its stages, one line each, failed ones with their reasons.
pub(crate) fn render(execution: &Execution, now: Timestamp, paint: Paint) -> String {
    let name = execution
        .name
        .as_deref()
        .or(execution.description.as_deref())
        .unwrap_or("task");
    let mut lines = vec![format!(
        "{} {}  {}  {}{}",
        execution.application,
        paint.tone(Tone::Strong, name),
        paint.tone(Tone::Faint, execution.id.as_str()),
        paint.status(execution.status),
        span(execution.start_time, execution.end_time, now),
    )];
    for (stage, depth) in ordered(execution) {
        lines.push(format!(
            "  {}{} {}{}",
            "  ".repeat(depth),
            paint.sign(stage.status),
            stage.name,
            paint.tone(Tone::Faint, &remark(stage, now)),
        ));
        if stage.status.is_failure() {
            let indent = "  ".repeat(depth + 2);
            let reasons = reasons(stage).into_iter();
            lines.extend(reasons.map(|text| format!("{indent}{}", paint.tone(Tone::Bad, &text))));
        }
    }
    if let Some(reason) = &execution.cancellation_reason {
        lines.push(format!("  canceled: {reason}"));
    }
    lines.join("\n")
}

pub(super) fn ending(execution: &Execution, paint: Paint) -> String {
    let name = execution
        .name
        .as_deref()
        .or(execution.description.as_deref())
        .unwrap_or("task");
    let end = execution.end_time.unwrap_or_default();
    let mut text = format!(
        "{name} {}{}",
        paint.status(execution.status),
        span(execution.start_time, Some(end), end)
    );
    if let Some(reason) = &execution.cancellation_reason {
        text.push_str("\n  canceled: ");
        text.push_str(reason);
    }
    text
}

pub(super) fn took(stage: &Stage, at: Timestamp) -> String {
    if stage.status.is_complete() {
        span(stage.start_time, Some(at), at)
    } else {
        String::new()
    }
}

fn remark(stage: &Stage, now: Timestamp) -> String {
    let mut text = match stage.status {
        Status::NotStarted | Status::Skipped => String::new(),
        _ => span(stage.start_time, stage.end_time, now),
    };
    if stage.status == Status::Running && stage.kind == "manualJudgment" {
        text.push_str("  waits for a judgment");
    } else if stage.status == Status::Running
        && let Some(message) = stage.context.get("progress").and_then(Value::as_str)
    {
        text.push_str("  ");
        text.push_str(message);
    }
    text
}

fn span(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> String {
    start.map_or_else(String::new, |s| {
        format!("  {}", duration(end.unwrap_or(now).ms_since(s)))
    })
}

/// How long ago a moment is, from its milliseconds since 1970; nothing when there is none.
pub(crate) fn ago(at: &Value) -> String {
    at.as_u64().map_or_else(String::new, |ms| {
        format!("{} ago", duration(super::now().ms_since(Timestamp(ms))))
    })
}

/// In how long a moment is, from its milliseconds since 1970; nothing when there is none.
pub(crate) fn ahead(at: &Value) -> String {
    at.as_u64().map_or_else(String::new, |ms| {
        format!("in {}", duration(Timestamp(ms).ms_since(super::now())))
    })
}

/// A length of time as people read it: `350 ms`, `4.2 s`, `3 min 05 s`, `2 h 10 min`.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Why a stage failed: its errors, then the last lines that its instances wrote.
pub(crate) fn reasons(stage: &Stage) -> Vec<String> {
    let context = &stage.context;
    let details = context.get("exception").and_then(|e| e.get("details"));
    let mut found: Vec<String> = Vec::new();
    if let Some(errors) = details
        .and_then(|d| d.get("errors"))
        .and_then(Value::as_array)
    {
        found.extend(errors.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    if found.is_empty() {
        found.extend(
            details
                .and_then(|d| d.get("error"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        );
    }
    found.extend(
        context
            .get("failureMessage")
            .and_then(Value::as_str)
            .map(str::to_owned),
    );
    let webhook = context.get("webhook");
    let told = [webhook.and_then(|w| w.get("monitor")), webhook];
    found.extend(
        told.into_iter()
            .flatten()
            .filter_map(|answer| answer.get("error")?.as_str())
            .map(str::to_owned),
    );
    let condition = context.get("context").filter(|_| found.is_empty());
    if let (Some(Value::String(source)), Some(result)) = (
        condition.and_then(|c| c.get("expression")),
        condition.and_then(|c| c.get("expressionResult")),
    ) {
        found.push(format!("{source} is {}, not true", super::plain(result)));
    }
    let log: Vec<String> = match context.get("logTail") {
        Some(Value::Array(lines)) => lines.iter().map(log_line).collect(),
        Some(Value::String(text)) => text.lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let from = log.len().saturating_sub(LOG_LINES_MAX);
    found.extend(log[from..].iter().map(|line| format!("log: {line}")));
    found.dedup();
    found
        .iter()
        .flat_map(|text| text.lines())
        .map(str::to_owned)
        .collect()
}

fn log_line(line: &Value) -> String {
    match line {
        Value::String(text) => text.clone(),
        Value::Object(entry) => entry.get("line").map(super::plain).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The stages as they run, each with its depth: what runs before and after a stage stands below it.
fn ordered(execution: &Execution) -> impl Iterator<Item = (&Stage, usize)> {
    let starts = visits(execution).into_iter().filter(|visit| !visit.is_end);
    starts.map(|visit| (visit.stage, visit.depth))
}

/// One side of a stage on the way through an execution.
pub(super) struct Visit<'a> {
    pub(super) stage: &'a Stage,
    pub(super) depth: usize,
    pub(super) is_end: bool,
}

/// Every stage twice: before its children, and behind them.
pub(super) fn visits(execution: &Execution) -> Vec<Visit<'_>> {
    let mut found = Vec::new();
    for stage in execution
        .stages
        .iter()
        .filter(|s| s.parent_stage_id.is_none())
    {
        visit(execution, stage, 0, &mut found);
    }
    found
}

fn visit<'a>(execution: &'a Execution, stage: &'a Stage, depth: usize, found: &mut Vec<Visit<'a>>) {
    // A malformed execution in which stages own each other must not be walked for ever.
    if depth > execution.stages.len() {
        return;
    }
    found.push(Visit {
        stage,
        depth,
        is_end: false,
    });
    for owner in [StageOwner::StageBefore, StageOwner::StageAfter] {
        let children = execution.stages.iter().filter(|s| {
            s.parent_stage_id.as_ref() == Some(&stage.id) && s.synthetic_stage_owner == Some(owner)
        });
        for child in children {
            visit(execution, child, depth + 1, found);
        }
    }
    found.push(Visit {
        stage,
        depth,
        is_end: true,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Execution {
        serde_json::from_value(json!({
            "type": "PIPELINE", "id": "01A", "application": "shop", "name": "Deliver",
            "status": "TERMINAL", "startTime": 1000, "endTime": 5200,
            "stages": [
                {"id": "S1", "refId": "1", "type": "deploy", "name": "Deploy", "status": "TERMINAL",
                 "startTime": 1000, "endTime": 5200},
                {"id": "S2", "refId": "1<1", "type": "createServerGroup", "name": "Deploy in prod",
                 "status": "TERMINAL", "startTime": 1100, "endTime": 5100, "parentStageId": "S1",
                 "syntheticStageOwner": "STAGE_BEFORE",
                 "context": {"exception": {"details": {"errors": ["health check failed"]}},
                             "logTail": ["no prices"]}},
                {"id": "S3", "refId": "2", "type": "wait", "name": "Wait", "status": "NOT_STARTED"}
            ]
        }))
        .unwrap()
    }

    #[test]
    fn children_stand_below_their_parent_with_their_reasons() {
        let text = render(&sample(), Timestamp(9000), Paint::new(false));
        let expected = "shop Deliver  01A  TERMINAL  4.2 s\n  ✗ Deploy  4.2 s\n    \
                        ✗ Deploy in prod  4.0 s\n      health check failed\n      \
                        log: no prices\n  · Wait";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_end_tells_why_it_was_canceled() {
        let mut execution = sample();
        execution.cancellation_reason = Some("wrong version".to_owned());
        let expected = "Deliver TERMINAL  4.2 s\n  canceled: wrong version";
        assert_eq!(ending(&execution, Paint::new(false)), expected);
    }

    #[test]
    fn lengths_of_time_are_readable() {
        let texts = [0, 999, 1000, 59_999, 60_000, 3_661_000].map(duration);
        assert_eq!(
            texts,
            [
                "0 ms",
                "999 ms",
                "1.0 s",
                "59.9 s",
                "1 min 00 s",
                "1 h 01 min"
            ]
        );
    }

    #[test]
    fn stages_that_own_each_other_end() {
        let mut execution = sample();
        execution.stages[1].parent_stage_id = Some(execution.stages[1].id.clone());
        assert!(!render(&execution, Timestamp(0), Paint::new(false)).is_empty());
    }
}
