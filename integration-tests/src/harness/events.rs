//! A client of the event stream that remembers where it was.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Response;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::gate::chain;

/// Time for an answer and its first frame.
const FIRST_MAX: Duration = Duration::from_secs(10);

/// One event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The cursor.
    pub cursor: u64,
    /// Such as `orca:stage:complete`.
    pub kind: String,
    pub data: Value,
}

/// An open stream.
pub struct EventStream {
    response: futures_util::stream::BoxStream<'static, Result<bytes::Bytes, reqwest::Error>>,
    buffer: String,
    first: Option<Event>,
}

impl EventStream {
    /// Connects; `query` is what follows `/events?`. With a cursor, everything behind it comes.
    pub async fn connect(base: &str, query: &str, after: Option<u64>) -> Self {
        let connected = Self::try_connect(base, query, after).await;
        connected.unwrap_or_else(|reason| panic!("the event stream does not answer: {reason}"))
    }

    /// The same, for whoever can try another gate.
    pub async fn try_connect(base: &str, query: &str, after: Option<u64>) -> Result<Self, String> {
        let http = kork_http::client().no_proxy().build();
        let http = http.expect("a client without certificates can be made");
        let mut request = http.get(format!("{base}/events?{query}"));
        if let Some(cursor) = after {
            request = request.header("last-event-id", cursor.to_string());
        }
        let end = Instant::now() + FIRST_MAX;
        let sent = timeout_at(end, request.send()).await;
        let response = sent.map_err(|_| "no answer".to_owned())?;
        let response = response.and_then(Response::error_for_status);
        let response = response.map_err(|e| chain(&e))?;
        let mut stream = Self {
            response: response.bytes_stream().boxed(),
            buffer: String::new(),
            first: None,
        };
        // The first frame says that the subscription is there: what happens from now on comes.
        let first = stream.frame(FIRST_MAX).await.ok_or("no first frame")?;
        // It may be an event already: that the stream begins anew.
        stream.first = parse(&first);
        Ok(stream)
    }

    /// The next event; none when the stream ends or nothing comes within this time.
    pub async fn next(&mut self, within: Duration) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if let Some(event) = parse(&self.frame(within).await?) {
                return Some(event);
            }
        }
    }

    async fn frame(&mut self, within: Duration) -> Option<String> {
        let end = Instant::now() + within;
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(frame);
            }
            let bytes = timeout_at(end, self.response.next()).await.ok()??.ok()?;
            self.buffer.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// An event, or nothing for a comment.
fn parse(frame: &str) -> Option<Event> {
    let field = |name: &str| frame.lines().find_map(|l| l.strip_prefix(name));
    Some(Event {
        cursor: field("id: ")?.parse().ok()?,
        kind: field("event: ")?.to_owned(),
        data: serde_json::from_str(field("data: ")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_no_event() {
        assert_eq!(parse(": still here"), None);
        assert_eq!(parse("retry: 2000\n: gennaker events"), None);
        let event = parse("id: 7\nevent: a\ndata: {\"b\": 1}").expect("an event");
        assert_eq!((event.cursor, event.kind.as_str()), (7, "a"));
        assert_eq!(event.data["b"], 1);
    }
}
