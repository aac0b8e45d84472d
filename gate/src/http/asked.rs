//! Questions that many ask at the same moment are answered once.
//!
//! An answer is only shared with those who asked before it was begun: nobody gets one that is older than
//! their question.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::answer::Outcome;

/// The questions that are asked now.
#[derive(Default)]
pub(crate) struct Asked(Mutex<HashMap<String, Arc<Slot>>>);

/// One question.
#[derive(Default)]
struct Slot {
    /// Answers that were begun.
    begun: AtomicU64,
    /// The last one that was finished, with its number. Held by whoever makes the next one.
    last: tokio::sync::Mutex<(u64, Option<Outcome>)>,
}

impl Asked {
    /// The outcome of `answer`, or of the same question's that somebody else began after this call.
    pub(crate) async fn once(
        &self,
        question: String,
        answer: impl Future<Output = Outcome>,
    ) -> Outcome {
        let leaves = Leaves {
            asked: self,
            question,
        };
        // Dropped before `leaves`, also by whoever goes in between.
        let slot = {
            let mut asked = self.lock();
            Arc::clone(asked.entry(leaves.question.clone()).or_default())
        };
        slot.outcome(answer).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who asks, and may leave at any moment.
struct Leaves<'a> {
    asked: &'a Asked,
    question: String,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let mut asked = self.asked.lock();
        // The table has one, and whoever comes needs this lock: nobody else waits for it.
        let alone = |slot: &Arc<Slot>| Arc::strong_count(slot) == 1;
        if asked.get(&self.question).is_some_and(alone) {
            asked.remove(&self.question);
        }
    }
}

impl Slot {
    async fn outcome(&self, answer: impl Future<Output = Outcome>) -> Outcome {
        let needed = self.begun.load(Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.0 >= needed
            && let Some(outcome) = last.1.as_ref().and_then(again)
        {
            return outcome;
        }
        // Dropped with its client, it is not the last one, and the next in line makes one.
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = answer.await;
        *last = (number, again(&outcome));
        outcome
    }
}

/// The outcome once more.
fn again(outcome: &Outcome) -> Option<Outcome> {
    match outcome {
        Ok(answer) => answer.again().map(Ok),
        Err(refusal) => Some(Err(refusal.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::http::answer::Answer;

    /// A question whose answers come when they are let go.
    struct Counted {
        asked: Asked,
        answers: AtomicUsize,
        gate: Semaphore,
    }

    impl Counted {
        fn new() -> Self {
            Self {
                asked: Asked::default(),
                answers: AtomicUsize::new(0),
                gate: Semaphore::new(0),
            }
        }

        async fn ask(&self, question: &str) {
            let answer = async {
                self.answers.fetch_add(1, Ordering::SeqCst);
                self.gate.acquire().await.unwrap().forget();
                Answer::empty()
            };
            assert!(self.asked.once(question.to_owned(), answer).await.is_ok());
        }

        fn begun(&self) -> usize {
            self.answers.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn who_asks_meanwhile_shares_the_next_answer() {
        let counted = Counted::new();
        let mut first = Box::pin(counted.ask("q"));
        assert!(first.as_mut().now_or_never().is_none());
        let mut rest = Box::pin(join_all((0..20).map(|_| counted.ask("q"))));
        assert!(rest.as_mut().now_or_never().is_none());
        assert_eq!(counted.begun(), 1, "they wait for the first");
        counted.gate.add_permits(1);
        first.await;
        assert!(rest.as_mut().now_or_never().is_none());
        assert_eq!(counted.begun(), 2, "the first was begun before they asked");
        counted.gate.add_permits(1);
        rest.await;
        assert_eq!(counted.begun(), 2);
        assert!(counted.asked.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn other_questions_do_not_wait_and_who_leaves_holds_nobody_up() {
        let counted = Counted::new();
        let mut gone = Box::pin(counted.ask("q"));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut waits = Box::pin(counted.ask("q"));
        assert!(waits.as_mut().now_or_never().is_none());
        let mut other = Box::pin(counted.ask("other"));
        assert!(other.as_mut().now_or_never().is_none());
        assert_eq!(counted.begun(), 2);
        drop((gone, other));
        assert_eq!(counted.asked.lock().len(), 1);
        counted.gate.add_permits(1);
        waits.await;
        assert_eq!(counted.begun(), 3);
        assert!(counted.asked.lock().is_empty(), "nothing is kept");
    }
}
