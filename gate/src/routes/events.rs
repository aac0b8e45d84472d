//! The event stream: everything that happens, as server-sent events, resumable.
//!
//! Each client has its own subscription and its own small queue. A client that does not read is cut
//! off when its queue stays full; nobody else notices.

use std::time::Duration;

use bytes::Bytes;
use kork::ports::{Cursor, Message, Start, Topic, TopicError, TopicStream};
use kork_model::{
    Kind, Problem, SuiteEvent,
    event::{self, subject},
};
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
    let seen = seen(&call)?;
    let start = seen.map_or(Start::Now, Seen::start);
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
        seen,
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

/// What a client sees of the stream's cursors: the number of a message, and how many of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    message: u64,
    /// [`Seen::WHOLE`] for all.
    events: u64,
}

impl Seen {
    /// Ids of one message.
    const EACH: u64 = 1 << 10;
    const WHOLE: u64 = Self::EACH - 1;

    const fn whole(message: u64) -> Self {
        Self {
            message,
            events: Self::WHOLE,
        }
    }

    const fn of(id: u64) -> Self {
        Self {
            message: id / Self::EACH,
            events: id % Self::EACH,
        }
    }

    /// Grows from event to event.
    const fn id(self) -> u64 {
        self.message
            .saturating_mul(Self::EACH)
            .saturating_add(self.events)
    }

    /// Where the topic is followed from: a message that was seen in part comes again.
    const fn start(self) -> Start {
        let before = if self.events == Self::WHOLE { 0 } else { 1 };
        Start::After(Cursor(self.message.saturating_sub(before)))
    }

    /// Events of a message that the client has.
    fn has(self, message: u64) -> usize {
        if self.message == message {
            return usize::try_from(self.events).unwrap_or_default();
        }
        0
    }
}

fn seen(call: &Call) -> Result<Option<Seen>, Refusal> {
    let header = call
        .header("last-event-id")
        .map(str::trim)
        .filter(|id| !id.is_empty());
    match header.or_else(|| call.query.text(&AFTER)) {
        None => Ok(None),
        Some(id) => id.parse().map(|id| Some(Seen::of(id))).map_err(|_| {
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
    let before = Seen::whole(oldest.0.saturating_sub(1)).id();
    let data = json!({
        "oldest": before + 1, "reason": "earlier events are gone, load everything again",
    });
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
    /// What the client had when it came.
    seen: Option<Seen>,
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
                        let seen = self.seen.map_or(0, |seen| seen.has(message.cursor.0));
                        let frames = self.filter.frames(&message, seen);
                        self.passed_over = (!frames.to_the_end).then_some(message.cursor);
                        // One by one: what waits for a client is counted in frames.
                        for frame in frames.each {
                            if let Err(left) = self.send(frame).await {
                                return left;
                            }
                        }
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
            Some(Cursor(message)) => {
                let id = Seen::whole(message).id();
                Bytes::from(format!("id: {id}\n: still here\n\n"))
            }
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

/// Frames of one message.
#[derive(Debug, Default)]
struct Frames {
    each: Vec<Bytes>,
    /// The last event of the message is among them.
    to_the_end: bool,
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

    /// The frames of a message that the client wants, without so many of its first events.
    fn frames(&self, message: &Message, seen: usize) -> Frames {
        let mut frames = Frames::default();
        let events = match event::read(&message.payload) {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, subject = message.subject, "a message is no event");
                return frames;
            }
        };
        let count = events.len();
        for (n, event) in (1..).zip(events) {
            frames.to_the_end = n == count && n > seen && self.wants(&event);
            if n <= seen || !self.wants(&event) {
                continue;
            }
            let id = Seen {
                message: message.cursor.0,
                events: if n == count { Seen::WHOLE } else { n as u64 },
            };
            let kind = event.kind.replace(['\r', '\n'], " ");
            let Ok(data) = serde_json::to_string(&event) else {
                continue;
            };
            let frame = format!("id: {}\nevent: {kind}\ndata: {data}\n\n", id.id());
            frames.each.push(Bytes::from(frame));
        }
        frames
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
        let frames = Filter::default().frames(&message, 0).each;
        let text = std::str::from_utf8(&frames[0]).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        let id = 7 * 1024 + 1023;
        assert!(
            text.starts_with(&format!("id: {id}\nevent: a b\ndata: {{")),
            "{text}"
        );
    }

    #[test]
    fn a_message_of_many_events_can_be_gone_on_with_in_the_middle() {
        let kinds = ["orca:stage:starting", "x", "orca:stage:complete", "y"];
        let events = (0..).zip(kinds).map(|(n, kind)| SuiteEvent {
            id: format!("E:1:{n}"),
            kind: kind.to_owned(),
            ..event()
        });
        let told = event::messages(&events.collect::<Vec<_>>()).unwrap();
        let message = Message {
            cursor: Cursor(7),
            subject: "events.x".to_owned(),
            id: told[0].id.clone(),
            payload: Bytes::from(told[0].payload.clone()),
        };
        let ids = |filter: &Filter, seen| {
            let frames = filter.frames(&message, seen);
            let text = String::from_utf8(frames.each.concat()).unwrap();
            let ids = text.lines().filter_map(|l| l.strip_prefix("id: "));
            let ids: Vec<u64> = ids.map(|id| id.parse().unwrap()).collect();
            (ids, frames.to_the_end)
        };
        let all = ids(&Filter::default(), 0);
        assert_eq!(all, (vec![7_169, 7_170, 7_171, 8_191], true));
        // Coming back with any of them goes on behind it.
        for (n, id) in (1..).zip(&all.0) {
            let seen = Seen::of(*id);
            let again = match seen.start() {
                Start::After(Cursor(7)) => Vec::new(),
                Start::After(Cursor(6)) => ids(&Filter::default(), seen.has(7)).0,
                other => panic!("{other:?}"),
            };
            assert_eq!(again, all.0[n..], "{id}");
            assert_eq!(seen.has(8), 0);
        }
        let some = filter(None, None, &["orca:stage:*"]);
        assert_eq!(ids(&some, 0), (vec![7_169, 7_171], false));
        assert_eq!(ids(&some, 4), (vec![], false));
    }
}
