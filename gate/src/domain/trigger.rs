//! The trigger of a manual start, out of the bodies that clients send.

use kork_model::Context;
use serde_json::Value;

/// The trigger in the body of a start.
///
/// Two generations of `spin` differ: the body is the trigger, or it is `{"trigger": {...}}`. The
/// latter is unwrapped when nothing else says that the body itself is the trigger (`type`). Deck
/// sends `buildNumber: ""` for "no build": that is dropped.
pub(crate) fn from_body(body: Context, user: &str) -> Context {
    let mut trigger = match body.get("trigger") {
        Some(Value::Object(inner)) if !body.contains_key("type") => inner.clone(),
        _ => body,
    };
    if trigger
        .get("buildNumber")
        .is_some_and(|number| number == "")
    {
        trigger.remove("buildNumber");
    }
    trigger.entry("type").or_insert_with(|| "manual".into());
    trigger.entry("user").or_insert_with(|| user.into());
    trigger
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: Value, expect: &Value) {
        let Value::Object(body) = body else {
            panic!("not an object")
        };
        assert_eq!(&Value::Object(from_body(body, "anonymous")), expect);
    }

    #[test]
    fn both_generations_of_spin_are_understood() {
        let expect = json!({"type": "manual", "user": "anonymous", "parameters": {"v": "1"}});
        check(json!({"type": "manual", "parameters": {"v": "1"}}), &expect);
        check(
            json!({"trigger": {"type": "manual", "parameters": {"v": "1"}}}),
            &expect,
        );
        check(json!({"parameters": {"v": "1"}}), &expect);
    }

    #[test]
    fn an_own_type_means_that_the_body_is_the_trigger() {
        check(
            json!({"type": "manual", "user": "u", "trigger": {"a": 1}, "buildNumber": ""}),
            &json!({"type": "manual", "user": "u", "trigger": {"a": 1}}),
        );
    }
}
