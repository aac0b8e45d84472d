//! The event stream of gate (`GET /events`, server-sent events), which connects again by itself and
//! goes on behind the last event it saw.

use std::time::Duration;

use super::{Client, Failure};

/// Pause before connecting again.
const RECONNECT_MS: u64 = 500;
/// Longest event that is kept, bytes; the data of longer ones are dropped.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// A stream of events that never ends by itself.
pub(crate) struct EventStream {
    client: Client,
    response: Option<reqwest::Response>,
    parser: Parser,
    /// Sent as `Last-Event-ID` when connecting again.
    last_id: Option<String>,
    ready: std::collections::VecDeque<Event>,
}

impl EventStream {
    /// Connects; events from now on will be seen.
    pub(crate) async fn open(client: &Client) -> Result<Self, Failure> {
        let mut stream = Self {
            client: client.clone(),
            response: None,
            parser: Parser::default(),
            last_id: None,
            ready: std::collections::VecDeque::new(),
        };
        stream.response = Some(stream.connect().await?);
        Ok(stream)
    }

    async fn connect(&self) -> Result<reqwest::Response, Failure> {
        let mut headers = vec![("Accept", "text/event-stream")];
        if let Some(id) = &self.last_id {
            headers.push(("Last-Event-ID", id));
        }
        self.client.open(&["events"], &headers).await
    }

    /// The next event. May be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.id.is_some() {
                    self.last_id.clone_from(&event.id);
                }
                return event;
            }
            let Some(response) = &mut self.response else {
                tokio::time::sleep(Duration::from_millis(RECONNECT_MS)).await;
                self.response = self.connect().await.ok();
                continue;
            };
            if let Ok(Some(bytes)) = response.chunk().await {
                self.ready.extend(self.parser.push(&bytes));
            } else {
                // Gate stopped, or the connection broke: both mean connecting again.
                self.response = None;
                self.parser = Parser::default();
            }
        }
    }
}

/// Takes the bytes of a stream apart into events.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() < EVENT_BYTES_MAX {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line)
                .trim_end_matches('\r')
                .to_owned();
            self.line.clear();
            if !line.is_empty() {
                self.field(&line);
            } else if std::mem::take(&mut self.has_data) {
                events.push(std::mem::take(&mut self.event));
            }
        }
        events
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                if self.event.data.len() + value.len() <= EVENT_BYTES_MAX {
                    self.event.data.push_str(value);
                }
                self.has_data = true;
            }
            // Comments (signs of life), event names and retry hints are of no use here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = b": hello\n\nid: 7\r\nevent: x\r\ndata: a\r\ndata: b\r\n\r\ndata: c\n\n";
        for cut in 1..text.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> = text.chunks(cut).flat_map(|c| parser.push(c)).collect();
            let expected = [
                Event {
                    id: Some("7".to_owned()),
                    data: "a\nb".to_owned(),
                },
                Event {
                    id: None,
                    data: "c".to_owned(),
                },
            ];
            assert_eq!(events, expected, "cut every {cut} bytes");
        }
    }
}
