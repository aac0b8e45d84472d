//! What the suite tells the world: the messages of the event stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// Topic subjects. A subscriber asks for a prefix.
pub mod subject {
    /// `events.execution.<application>`: an execution, a stage or a task changed.
    pub const EXECUTION: &str = "events.execution.";
    /// `events.front50.<type>`: a stored object changed.
    pub const FRONT50: &str = "events.front50.";
    /// `events.clouddriver.<account>`: a server group or a load balancer changed.
    pub const CLOUDDRIVER: &str = "events.clouddriver.";
    /// `events.igor.<source>`: something happened outside: a build, a push, an image.
    pub const IGOR: &str = "events.igor.";
    /// Everything.
    pub const ALL: &str = "events.";
}

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuiteEvent {
    /// Unique: a message that is published twice has the same id.
    pub id: String,
    /// `orca:pipeline:starting`, `orca:stage:complete`, `front50:pipeline:updated`, ...
    #[serde(rename = "type")]
    pub kind: String,
    pub time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Id of the thing that changed: execution, pipeline, server group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What changed; small, never a whole execution.
    pub data: Value,
}

/// Events of one message, at most.
pub const TOGETHER_MAX: usize = 64;
/// Bytes of a message past which the next event goes into another one.
const TOGETHER_BYTES: usize = 128 * 1024;

/// One message of the topic: the events that came of one decision, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The id of its first event.
    pub id: String,
    /// One event as an object, or several as an array of them.
    pub payload: Vec<u8>,
}

/// Events as messages, in their order. The same events make the same messages again, so that a message
/// that is published twice is one message.
pub fn messages(events: &[SuiteEvent]) -> Result<Vec<Told>, serde_json::Error> {
    let mut messages: Vec<(usize, Told)> = Vec::new();
    for event in events {
        let one = serde_json::to_vec(event)?;
        match messages.last_mut() {
            Some((count, told))
                if *count < TOGETHER_MAX && told.payload.len() + one.len() < TOGETHER_BYTES =>
            {
                told.payload.push(b',');
                told.payload.extend(one);
                *count += 1;
            }
            _ => messages.push((
                1,
                Told {
                    id: event.id.clone(),
                    payload: one,
                },
            )),
        }
    }
    let whole = messages.into_iter().map(|(count, mut told)| {
        if count > 1 {
            told.payload.insert(0, b'[');
            told.payload.push(b']');
        }
        told
    });
    Ok(whole.collect())
}

/// The events of a message of the topic.
pub fn read(payload: &[u8]) -> Result<Vec<SuiteEvent>, serde_json::Error> {
    if payload.first() == Some(&b'[') {
        return serde_json::from_slice(payload);
    }
    serde_json::from_slice(payload).map(|event| vec![event])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(count: usize, bytes: usize) -> Vec<SuiteEvent> {
        let event = |n| SuiteEvent {
            id: format!("E:1:{n}"),
            kind: "orca:stage:complete".to_owned(),
            time: Timestamp(n as u64),
            application: None,
            subject: None,
            data: json!("x".repeat(bytes)),
        };
        (0..count).map(event).collect()
    }

    #[test]
    fn events_come_back_from_their_messages() {
        for (count, bytes) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (64, 1),
            (65, 1),
            (200, 3_000),
            (3, 200_000),
        ] {
            let events = events(count, bytes);
            let told = messages(&events).unwrap();
            let back: Vec<Vec<SuiteEvent>> =
                told.iter().map(|t| read(&t.payload).unwrap()).collect();
            for (told, back) in told.iter().zip(&back) {
                assert_eq!(told.id, back[0].id);
                assert!(back.len() <= TOGETHER_MAX);
                assert!(back.len() == 1 || told.payload.len() <= TOGETHER_BYTES + 2);
            }
            assert_eq!(back.concat(), events);
        }
    }
}
