//! Many stored messages for one request, without a consumer on the server.

use async_nats::{Client, HeaderMap, jetstream::stream::Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use super::ANSWER_MAX;

/// Messages of one request.
const MESSAGES_MAX: usize = 256;
/// Bytes of one request.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A message as the stream has it.
pub(super) struct Found {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Messages from a sequence on whose subject is under `filter`, or all, oldest first, and whether there
/// are more.
pub(super) async fn read(
    client: &Client,
    stream: &Stream,
    filter: Option<&str>,
    from: u64,
) -> Result<(Vec<Found>, bool), String> {
    let name = &stream.cached_info().config.name;
    let inbox = client.new_inbox();
    let mut answers = client
        .subscribe(inbox.clone())
        .await
        .map_err(|e| e.to_string())?;
    let mut request = json!({"seq": from, "batch": MESSAGES_MAX, "max_bytes": BYTES_MAX});
    if let Some(filter) = filter {
        request["next_by_subj"] = filter.into();
    }
    client
        .publish_with_reply(
            format!("$JS.API.DIRECT.GET.{name}"),
            inbox,
            Bytes::from(request.to_string()),
        )
        .await
        .map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    loop {
        let next = tokio::time::timeout(ANSWER_MAX, answers.next()).await;
        let message = next
            .map_err(|_| format!("the stream {name} does not answer"))?
            .ok_or("the connection is closed")?;
        let headers = message.headers.unwrap_or_default();
        let number = |key: &str| headers.get(key)?.as_str().parse::<u64>().ok();
        match message.status.map(|s| s.as_u16()) {
            None => {}
            Some(204) => return Ok((found, number("Nats-Num-Pending").unwrap_or(0) > 0)),
            Some(404) => return Ok((found, false)),
            Some(code) => {
                let said = message.description.unwrap_or_default();
                return Err(format!("the stream {name} answers with {code} {said}"));
            }
        }
        let (Some(sequence), Some(subject)) =
            (number("Nats-Sequence"), headers.get("Nats-Subject"))
        else {
            return Err(format!("the stream {name} answers without a sequence"));
        };
        found.push(Found {
            subject: subject.to_string(),
            sequence,
            payload: message.payload,
            headers,
        });
    }
}
