//! Follows the changes that other instances announce.

use std::sync::Arc;

use kork::{
    model::{SuiteEvent, event::subject},
    ports::{Ports, Start, TopicStream},
};

use crate::{app::Front50, pause};

/// Wait before a lost subscription is made anew.
const RESUBSCRIBE_MS: u64 = 1_000;

/// Applies changes from a subscription; makes a new one, and lists everything, when it is lost.
pub(crate) async fn follow(front50: Arc<Front50>, ports: Ports, stream: Box<dyn TopicStream>) {
    let mut stream = Some(stream);
    loop {
        if let Some(open) = &mut stream {
            match open.next().await {
                Ok(message) => match serde_json::from_slice::<SuiteEvent>(&message.payload) {
                    Ok(event) => front50.follow(&event).await,
                    Err(error) => {
                        tracing::warn!(id = %message.id, %error, "an event cannot be read");
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "the subscription to changes was lost");
                    stream = None;
                }
            }
            continue;
        }
        pause(&*ports.clock, RESUBSCRIBE_MS).await;
        // Subscribed first, listed then: nothing falls between.
        match ports.topic.subscribe(subject::FRONT50, Start::Now).await {
            Ok(open) => {
                stream = Some(open);
                if let Err(problem) = front50.repair().await {
                    tracing::warn!(error = %problem, "the bucket was not listed");
                }
            }
            Err(error) => tracing::warn!(%error, "changes of other instances are not followed"),
        }
    }
}
