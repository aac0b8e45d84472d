//! A good answer on its way to the wire.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use bytes::Bytes;
use futures_util::stream;
use kork_model::{Kind, Problem};
use serde::Serialize;
use tokio::sync::mpsc;

use super::refusal::Refusal;

/// The media type of JSON answers, with the charset that Spinnaker's own answers carry.
pub(crate) const JSON: &str = "application/json;charset=UTF-8";

/// What a handler gives back.
pub(crate) type Outcome = Result<Answer, Refusal>;

/// A status with its content.
pub(crate) struct Answer {
    status: StatusCode,
    content: Content,
}

enum Content {
    Empty,
    Whole(&'static str, Bytes),
    Redirect(&'static str),
    Events(mpsc::Receiver<Bytes>),
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "handlers give an outcome, and every way to make an answer reads the same"
)]
impl Answer {
    /// 200 with JSON, keys sorted.
    pub(crate) fn json(value: &impl Serialize) -> Outcome {
        Self::json_with(StatusCode::OK, value)
    }

    /// 202 with JSON: it is stored and goes on.
    pub(crate) fn accepted(value: &impl Serialize) -> Outcome {
        Self::json_with(StatusCode::ACCEPTED, value)
    }

    /// JSON with a status. Through a value, because that sorts the keys.
    pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Outcome {
        let bytes = serde_json::to_value(value)
            .and_then(|sorted| serde_json::to_vec(&sorted))
            .map_err(|e| {
                Problem::new("GATE-0018", Kind::Bug, "an answer cannot be written").because(&e)
            })?;
        Ok(Self {
            status,
            content: Content::Whole(JSON, Bytes::from(bytes)),
        })
    }

    /// 200 with a JSON list of texts that are JSON already.
    pub(crate) fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Outcome {
        let mut body = vec![b'['];
        for text in texts {
            if body.len() > 1 {
                body.push(b',');
            }
            body.extend_from_slice(text.as_bytes());
        }
        body.push(b']');
        Self::of_type(JSON, body)
    }

    /// The same answer once more; none of a stream of events, which has one reader.
    pub(crate) fn again(&self) -> Option<Self> {
        let content = match &self.content {
            Content::Empty => Content::Empty,
            Content::Whole(media_type, body) => Content::Whole(media_type, body.clone()),
            Content::Redirect(to) => Content::Redirect(to),
            Content::Events(_) => return None,
        };
        Some(Self {
            status: self.status,
            content,
        })
    }

    /// 200 without a body.
    pub(crate) fn empty() -> Outcome {
        Ok(Self {
            status: StatusCode::OK,
            content: Content::Empty,
        })
    }

    /// 200 with bytes of some media type.
    pub(crate) fn of_type(media_type: &'static str, body: impl Into<Bytes>) -> Outcome {
        Self::with_type(StatusCode::OK, media_type, body)
    }

    /// Bytes of some media type with a status.
    pub(crate) fn with_type(
        status: StatusCode,
        media_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Outcome {
        Ok(Self {
            status,
            content: Content::Whole(media_type, body.into()),
        })
    }

    /// 302 to another path of this server.
    pub(crate) fn redirect(to: &'static str) -> Outcome {
        Ok(Self {
            status: StatusCode::FOUND,
            content: Content::Redirect(to),
        })
    }

    /// 200 with server-sent events: frames as they come, until the sender is dropped.
    pub(crate) fn events(frames: mpsc::Receiver<Bytes>) -> Outcome {
        Ok(Self {
            status: StatusCode::OK,
            content: Content::Events(frames),
        })
    }

    /// The answer on the wire.
    pub(crate) fn response(self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status);
        match self.content {
            Content::Empty => builder.finish(),
            Content::Whole(media_type, body) => builder.content_type(media_type).body(body),
            Content::Redirect(to) => builder.insert_header((header::LOCATION, to)).finish(),
            Content::Events(frames) => {
                let frames = stream::unfold(frames, |mut frames| async move {
                    let frame = frames.recv().await?;
                    Some((Ok::<_, std::convert::Infallible>(frame), frames))
                });
                builder
                    .content_type("text/event-stream;charset=UTF-8")
                    .insert_header(("X-Accel-Buffering", "no"))
                    .streaming(frames)
            }
        }
    }
}
