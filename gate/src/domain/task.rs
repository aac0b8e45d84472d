//! A task as clients read it: the orchestration with its steps and its variables.

use kork_model::Execution;
use serde_json::{Map, Value, json};

/// The task of an orchestration.
///
/// `steps` are the steps of all stages; `variables` are the contexts of all stages, where an empty
/// value of a later stage does not replace an earlier one.
pub(crate) fn view(execution: &Execution) -> Value {
    let steps: Vec<_> = execution
        .stages
        .iter()
        .flat_map(|stage| &stage.tasks)
        .collect();
    let mut task = json!({
        "id": execution.id,
        "name": execution.description.as_ref().or(execution.name.as_ref()),
        "application": execution.application,
        "status": execution.status,
        "steps": steps,
        "variables": variables(execution),
        "execution": execution,
    });
    for (name, time) in [
        ("buildTime", execution.build_time),
        ("startTime", execution.start_time),
        ("endTime", execution.end_time),
    ] {
        if let Some(time) = time {
            task[name] = json!(time);
        }
    }
    task
}

fn variables(execution: &Execution) -> Vec<Value> {
    let mut flat: Map<String, Value> = Map::new();
    for (key, value) in execution.stages.iter().flat_map(|stage| &stage.context) {
        if !flat.contains_key(key) || !is_empty(value) {
            flat.insert(key.clone(), value.clone());
        }
    }
    flat.into_iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use kork_model::{Stage, Task, Timestamp};

    use super::*;

    fn stage(context: Value) -> Stage {
        let Value::Object(context) = context else {
            panic!("not an object")
        };
        Stage {
            context,
            tasks: vec![Task::default()],
            ..Stage::default()
        }
    }

    #[test]
    fn variables_come_from_all_stages_and_empty_ones_do_not_win() {
        let execution = Execution {
            description: Some("do it".to_owned()),
            start_time: Some(Timestamp(7)),
            stages: vec![
                stage(json!({"a": 1, "b": "x", "c": []})),
                stage(json!({"a": 2, "b": "", "d": {}})),
            ],
            ..Execution::default()
        };
        let task = view(&execution);
        let expect = json!([
            {"key": "a", "value": 2},
            {"key": "b", "value": "x"},
            {"key": "c", "value": []},
            {"key": "d", "value": {}},
        ]);
        assert_eq!(task["variables"], expect);
        assert_eq!(task["steps"].as_array().unwrap().len(), 2);
        assert_eq!(task["name"], "do it");
        assert_eq!(task["startTime"], 7);
        assert!(task.get("endTime").is_none());
    }
}
