//! What the stored documents are and which of them are acceptable. Pure: no clock, no IO.

pub mod application;
pub mod fields;
pub mod layout;
pub mod limits;
pub mod names;
pub mod notification;
pub mod object_type;
pub mod permission;
pub mod pipeline;
pub mod problems;
pub mod project;
pub mod template;

pub use limits::Limits;
pub use object_type::ObjectType;

use kork::model::Context;
use serde_json::Value;

/// Who wrote something when nobody is named.
pub const ANONYMOUS: &str = "anonymous";

/// The user as it is stored in `lastModifiedBy`.
pub fn author(user: &str) -> &str {
    if user.trim().is_empty() {
        ANONYMOUS
    } else {
        user
    }
}

/// The text of a member; `None` when it is absent or not a text.
pub fn text<'a>(document: &'a Context, member: &str) -> Option<&'a str> {
    document.get(member).and_then(Value::as_str)
}

/// `updateTs` in milliseconds, whether it is stored as a text or as a number.
pub fn update_ts(document: &Context) -> Option<u64> {
    match document.get("updateTs")? {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The `updateTs` of the next version: the time, but always later than the stored one, so that two
/// versions never share it and a stale check on it is exact.
pub fn next_update_ts(stored: Option<&Context>, now_ms: u64) -> u64 {
    let after = stored
        .and_then(update_ts)
        .map_or(0, |stored| stored.saturating_add(1));
    now_ms.max(after)
}
