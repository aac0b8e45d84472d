//! The event stream: everything that happens, as server-sent events, resumable.
//!
//! Each client has its own subscription and its own small queue. A client that does not read is cut
//! off when its queue stays full; nobody else notices.

use std::time::Duration;

use bytes::Bytes;
use kork::ports::{Cursor, Message, Start, Topic, TopicError, TopicStream};
use kork_model::{Kind, Problem, SuiteEvent, event::subject};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval, timeout},
};

use super::param::{AFTER, APPLICATION, EXECUTION, TYPES};
use crate::{
    http::{
        answer::{Answer, Outcome},
        call::Call,
        refusal::Refusal,
        route::{Gives, Route, Verb, run},
    },
    limit,
};

pub(crate) const ROUTES: &[Route] = &[Route::new(Verb::Get, "/events", "events", run!(follow))
    .about(
        "events",
        "Server-sent events: `id` is a cursor for Last-Event-ID, `event` the type, `data` the event \
         as JSON. An event `reset` says that some are lost: load what you show again.",
    )
    .query(&[&APPLICATION, &EXECUTION, &TYPES, &AFTER])
    .gives(Gives::Media(&["text/event-stream"]))];

async fn follow(call: Call) -> Outcome {
    let gate = &call.gate;
    let Ok(slot) = std::sync::Arc::clone(&gate.event_slots).try_acquire_owned() else {
        let most = gate.config.limits.event_clients_max;
        let detail = format!("{most} clients follow the event stream already");
        return Err(Problem::new("GATE-0014", Kind::TooMany, detail)
            .retry_after(10)
            .into());
    };
    let filter = Filter::of(&call)?;
    let start = start(&call)?;
    let topic = std::sync::Arc::clone(&gate.ports.topic);
    let (stream, first) = subscribe(&*topic, start).await.map_err(|e| {
        Problem::new(
            "GATE-0020",
            Kind::Unavailable,
            "the event stream cannot be followed",
        )
        .because(&e)
        .retry_after(2)
    })?;
    let limits = &gate.config.limits;
    let (frames, answer) = mpsc::channel(limit::EVENT_FRAMES_WAITING_MAX);
    let mut heartbeat = interval(Duration::from_millis(limits.event_heartbeat_ms));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = Client {
        frames,
        heartbeat,
        stall: Duration::from_millis(limits.event_stall_ms),
        filter,
        passed_over: None,
    };
    let connection = call.connection.clone();
    gate.chassis.shutdown.spawn_until_requested(async move {
        if client.feed(&*topic, stream, first).await == Left::Stalled {
            tracing::warn!("a client of the event stream does not read and is cut off");
            if let Some(connection) = connection {
                connection.cut();
            }
        }
        drop(slot);
    });
    Answer::events(answer)
}

fn start(call: &Call) -> Result<Start, Refusal> {
    let header = call
        .header("last-event-id")
        .map(str::trim)
        .filter(|id| !id.is_empty());
    match header.or_else(|| call.query.text(&AFTER)) {
        None => Ok(Start::Now),
        Some(id) => id
            .parse()
            .map(|cursor| Start::After(Cursor(cursor)))
            .map_err(|_| {
                AFTER.refuse(&format!(
                    "(or Last-Event-ID) is {id:?}, it must be the id of an event"
                ))
            }),
    }
}

/// A subscription, and the frame to send first. When messages behind the cursor are gone it begins
/// with the oldest, and the frame says so.
async fn subscribe(
    topic: &dyn Topic,
    start: Start,
) -> Result<(Box<dyn TopicStream>, Bytes), TopicError> {
    match topic.subscribe(subject::ALL, start).await {
        Err(TopicError::Expired { oldest, .. }) => Ok((
            topic.subscribe(subject::ALL, Start::Oldest).await?,
            reset(oldest),
        )),
        stream => Ok((
            stream?,
            Bytes::from_static(b"retry: 2000\n: gennaker events\n\n"),
        )),
    }
}

fn reset(oldest: Cursor) -> Bytes {
    let before = oldest.0.saturating_sub(1);
    let data =
        json!({"oldest": oldest, "reason": "earlier events are gone, load everything again"});
    Bytes::from(format!("id: {before}\nevent: reset\ndata: {data}\n\n"))
}

/// Why a client is no longer fed.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Gone,
    Stalled,
}

struct Client {
    frames: mpsc::Sender<Bytes>,
    heartbeat: Interval,
    stall: Duration,
    filter: Filter,
    /// The last message that the client did not want, when nothing was sent since.
    passed_over: Option<Cursor>,
}

impl Client {
    async fn feed(
        &mut self,
        topic: &dyn Topic,
        mut stream: Box<dyn TopicStream>,
        first: Bytes,
    ) -> Left {
        self.heartbeat.reset();
        let mut next = Some(first);
        loop {
            if let Some(frame) = next.take()
                && let Err(left) = self.send(frame).await
            {
                return left;
            }
            tokio::select! {
                () = self.frames.closed() => return Left::Gone,
                _ = self.heartbeat.tick() => next = Some(self.sign_of_life()),
                message = stream.next() => match message {
                    Ok(message) => {
                        next = self.filter.frame(&message);
                        self.passed_over = next.is_none().then_some(message.cursor);
                    }
                    Err(TopicError::Expired { oldest, .. }) => {
                        match topic.subscribe(subject::ALL, Start::Oldest).await {
                            Ok(again) => stream = again,
                            Err(error) => return self.lost(&error),
                        }
                        next = Some(reset(oldest));
                    }
                    Err(error) => return self.lost(&error),
                },
            }
        }
    }

    /// An id without data moves the client's cursor and shows it nothing: who wants few events does
    /// not come back with a cursor that was forgotten long ago.
    fn sign_of_life(&mut self) -> Bytes {
        match self.passed_over.take() {
            Some(cursor) => Bytes::from(format!("id: {}\n: still here\n\n", cursor.0)),
            None => Bytes::from_static(b": still here\n\n"),
        }
    }

    /// Ending the stream makes the client come back with its last cursor.
    fn lost(&self, error: &TopicError) -> Left {
        tracing::warn!(%error, waiting = self.frames.max_capacity() - self.frames.capacity(),
            "an event stream ended");
        Left::Gone
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), Left> {
        match timeout(self.stall, self.frames.send(frame)).await {
            Ok(Ok(())) => {
                self.heartbeat.reset();
                Ok(())
            }
            Ok(Err(_)) => Err(Left::Gone),
            Err(_) => Err(Left::Stalled),
        }
    }
}

/// Which events a client wants.
#[derive(Debug, Default)]
struct Filter {
    application: Option<String>,
    execution: Option<String>,
    types: Vec<String>,
}

impl Filter {
    fn of(call: &Call) -> Result<Self, Refusal> {
        Ok(Self {
            application: call.query.text(&APPLICATION).map(str::to_lowercase),
            execution: call.query.text(&EXECUTION).map(str::to_owned),
            types: call.query.list(&TYPES)?,
        })
    }

    /// The frame of a message, none when the client does not want it.
    fn frame(&self, message: &Message) -> Option<Bytes> {
        let event: SuiteEvent = match serde_json::from_slice(&message.payload) {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, subject = message.subject, "a message is no event");
                return None;
            }
        };
        if !self.wants(&event) {
            return None;
        }
        let kind = event.kind.replace(['\r', '\n'], " ");
        let data = serde_json::to_string(&event).ok()?;
        Some(Bytes::from(format!(
            "id: {}\nevent: {kind}\ndata: {data}\n\n",
            message.cursor.0
        )))
    }

    fn wants(&self, event: &SuiteEvent) -> bool {
        let application = self.application.as_ref().is_none_or(|wanted| {
            event
                .application
                .as_ref()
                .is_some_and(|own| own.to_lowercase() == *wanted)
        });
        let execution = self.execution.as_ref().is_none_or(|wanted| {
            let named = |key: &str| event.data.get(key).and_then(Value::as_str);
            event.subject.as_ref() == Some(wanted)
                || named("executionId") == Some(wanted)
                || named("execution") == Some(wanted)
        });
        let kind = self.types.is_empty()
            || self
                .types
                .iter()
                .any(|wanted| match wanted.strip_suffix('*') {
                    Some(prefix) => event.kind.starts_with(prefix),
                    None => event.kind == *wanted,
                });
        application && execution && kind
    }
}

#[cfg(test)]
mod tests {
    use kork_model::Timestamp;

    use super::*;

    fn event() -> SuiteEvent {
        SuiteEvent {
            id: "1".to_owned(),
            kind: "orca:stage:complete".to_owned(),
            time: Timestamp(1),
            application: Some("Shop".to_owned()),
            subject: Some("E1".to_owned()),
            data: json!({"executionId": "E2"}),
        }
    }

    fn filter(application: Option<&str>, execution: Option<&str>, types: &[&str]) -> Filter {
        Filter {
            application: application.map(str::to_owned),
            execution: execution.map(str::to_owned),
            types: types.iter().map(|t| (*t).to_owned()).collect(),
        }
    }

    #[test]
    fn filters_are_joined_with_and() {
        assert!(Filter::default().wants(&event()));
        assert!(filter(Some("shop"), Some("E1"), &["orca:stage:*"]).wants(&event()));
        assert!(filter(None, Some("E2"), &["x", "orca:stage:complete"]).wants(&event()));
        assert!(!filter(Some("other"), None, &[]).wants(&event()));
        assert!(!filter(None, Some("E3"), &[]).wants(&event()));
        assert!(!filter(None, None, &["orca:stage"]).wants(&event()));
    }

    #[test]
    fn a_frame_never_holds_a_line_of_its_own() {
        let mut event = event();
        event.kind = "a\nb".to_owned();
        event.data = json!({"text": "x\ny"});
        let message = Message {
            cursor: Cursor(7),
            subject: "events.x".to_owned(),
            id: "1".to_owned(),
            payload: Bytes::from(serde_json::to_vec(&event).unwrap()),
        };
        let frame = Filter::default().frame(&message).unwrap();
        let text = std::str::from_utf8(&frame).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("id: 7\nevent: a b\ndata: {"), "{text}");
    }
}
