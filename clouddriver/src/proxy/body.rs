//! Bodies of requests and answers on their way through.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::routes::InFlight;

/// What goes to an instance.
pub(super) type OutgoingBody = UnsyncBoxBody<Bytes, hyper::Error>;
/// What goes back to the client.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the instance stopped in the middle of its answer")]
    Instance(#[from] hyper::Error),
    #[error("the drain ended before the answer did")]
    Cut,
}

/// A request without a body can be sent again.
pub(super) fn empty() -> OutgoingBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn passed_on(body: Incoming) -> OutgoingBody {
    body.boxed_unsync()
}

pub(super) fn text(text: String) -> AnswerBody {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The body of an answer; the request is in flight until it ends.
pub(super) struct Guarded {
    inner: Incoming,
    in_flight: Option<InFlight>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Guarded {
    pub(super) fn body(inner: Incoming, in_flight: InFlight) -> AnswerBody {
        let cut = Box::pin(in_flight.target.cut.clone().cancelled_owned());
        Self {
            inner,
            in_flight: Some(in_flight),
            cut,
        }
        .boxed_unsync()
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match polled {
            Poll::Ready(None) => {
                self.in_flight = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(frame)) => {
                if frame.is_err() {
                    self.in_flight = None;
                }
                Poll::Ready(Some(frame.map_err(BodyError::Instance)))
            }
            Poll::Pending => {
                std::task::ready!(self.cut.as_mut().poll(context));
                if let Some(in_flight) = self.in_flight.take() {
                    in_flight.was_cut();
                }
                Poll::Ready(Some(Err(BodyError::Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
