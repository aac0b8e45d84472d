//! Publishing to a stream under a condition on the subject. The condition makes it safe to publish again
//! when nobody knows what became of the first try: at most one of them is stored.

use std::pin::Pin;

use async_nats::jetstream::{
    context::{PublishAckFuture, PublishError, PublishErrorKind},
    message::PublishMessage,
};

use super::Nats;

/// Times that a message is published without hearing of it; each takes as long as an answer may.
const SILENT_MAX: usize = 2;

/// A first try that is on its way.
pub(super) struct Sent {
    subject: String,
    message: PublishMessage,
    answer: Result<PublishAckFuture, PublishError>,
    /// There is another connection.
    next: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What became of a message.
pub(super) enum Published {
    /// It is stored under this sequence.
    Stored(u64),
    /// The condition does not hold: somebody was first. With `unsure`, that may have been an earlier
    /// try of the same message.
    Refused { unsure: bool },
}

impl Nats {
    /// Publishes a message that carries a condition, until it is known what became of it.
    pub(super) async fn publish(
        &self,
        subject: &str,
        message: PublishMessage,
    ) -> Result<Published, String> {
        self.publish_from(0, subject, message).await
    }

    /// The same for a message that may be stored already.
    pub(super) async fn publish_again(
        &self,
        subject: &str,
        message: PublishMessage,
    ) -> Result<Published, String> {
        self.publish_from(1, subject, message).await
    }

    /// Publishes after so many tries of which nobody knows what became of them.
    async fn publish_from(
        &self,
        tries: usize,
        subject: &str,
        message: PublishMessage,
    ) -> Result<Published, String> {
        let message = &message;
        let publish = |number| self.try_publish(subject, message, tries + number > 0);
        self.connections.again(publish).await
    }

    /// Hands a message that carries a condition to the connection; [`Self::settle`] waits for it.
    pub(super) async fn send(&self, subject: String, message: PublishMessage) -> Sent {
        let next = Box::pin(self.connections.next());
        let answer = self.context.send_publish(subject.clone(), message.clone());
        Sent {
            answer: answer.await,
            next,
            subject,
            message,
        }
    }

    /// Waits until it is known what became of a message.
    pub(super) async fn settle(&self, sent: Sent) -> Result<Published, String> {
        let Sent {
            subject,
            message,
            answer,
            next,
        } = sent;
        let first = async { answer?.await };
        let error = tokio::select! {
            biased;
            stored = first => match stored {
                Ok(stored) => return Ok(Published::Stored(stored.sequence)),
                Err(error) => Some(error),
            },
            () = next => None,
        };
        match error.map(|error| (error.kind(), error)) {
            Some((PublishErrorKind::WrongLastSequence, _)) => {
                Ok(Published::Refused { unsure: false })
            }
            Some((PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe, _)) | None => {
                self.publish_again(&subject, message).await
            }
            Some((_, error)) => Err(said(&subject, &error)),
        }
    }

    async fn try_publish(
        &self,
        subject: &str,
        message: &PublishMessage,
        mut unsure: bool,
    ) -> Result<Published, String> {
        let mut silent = 0;
        loop {
            let sent = self
                .context
                .send_publish(subject.to_owned(), message.clone())
                .await;
            let error = match async { sent?.await }.await {
                Ok(stored) => return Ok(Published::Stored(stored.sequence)),
                Err(error) => error,
            };
            silent += 1;
            match error.kind() {
                PublishErrorKind::WrongLastSequence => return Ok(Published::Refused { unsure }),
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe
                    if silent < SILENT_MAX =>
                {
                    unsure = true;
                }
                _ => return Err(said(subject, &error)),
            }
        }
    }
}

/// Why a message is not stored, and what can be done about it.
fn said(subject: &str, error: &PublishError) -> String {
    let text = kork::problem::chain(error);
    if error.kind() == PublishErrorKind::StreamNotFound {
        return format!(
            "no stream takes {subject}: JetStream does not run (yet), or the stream was deleted, and \
             is made again when a service starts ({text})"
        );
    }
    if is_full(&text) {
        return format!(
            "the stream for {subject} is full; what it has is worked off, or raise its limits with \
             `nats stream edit` ({text})"
        );
    }
    text
}

/// The server refuses a message because the stream has reached a limit.
pub(super) fn is_full(text: &str) -> bool {
    text.contains("maximum messages exceeded") || text.contains("maximum bytes exceeded")
}
