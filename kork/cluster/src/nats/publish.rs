//! Publishing to a stream under a condition on the subject. The condition makes it safe to publish again
//! when nobody knows what became of the first try: at most one of them is stored.

use async_nats::jetstream::{
    context::{PublishError, PublishErrorKind},
    message::PublishMessage,
};

use super::Nats;

/// Times that a message is published without hearing of it; each takes as long as an answer may.
const SILENT_MAX: usize = 2;

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
        let message = &message;
        let publish = |number| self.try_publish(subject, message, number > 0);
        self.connections.again(publish).await
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
