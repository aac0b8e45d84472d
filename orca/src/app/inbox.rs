//! Events from outside, between the moment they are promised to be kept and the moment that what they
//! start is started. What can be started at once is: then there is nothing to keep.
//!
//! Each instance has a log of its own, so that nobody waits for another one, and writes what comes in
//! together as one record. A record goes when all of its events are done. What an instance that died left is
//! done by the others, or at the next start: an execution's id follows from the event, so that what was
//! started already is not started again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::{
    ports::{JournalError, Record, Revision, limit},
    trace,
};
use kork_model::{InboundEvent, Kind, Problem, TraceContext};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Error, Shell, peers};

/// Where the logs of all instances lie.
pub(crate) const LOGS: &str = "inbox.";
/// Requests that wait to be written; past it, callers wait.
const WAITING_MAX: usize = 4_096;
/// Requests that are written together, at most, and the bytes past which a record is full.
const TOGETHER_MAX: usize = 512;
const RECORD_BYTES: usize = 256 * 1024;
/// Bytes of a record that are not its events.
const RECORD_MARGIN: usize = 1_024;
/// Events that are kept and not done; past it, callers are asked to come back.
const OPEN_MAX: usize = 20_000;
/// Events that are done at the same time.
const AT_ONCE: usize = 64;
/// What cannot be started within this time is stored instead.
const AT_ONCE_MAX: Duration = Duration::from_millis(500);
/// Records that were done before the log is cut, unless nothing is left to do.
const CUT_EVERY: usize = 64;
/// Pauses before the store, or an event, is tried again.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// An event that cannot be done is given up when it was tried for so long: whoever could complete it is gone.
const TRIED_MAX_MS: u64 = 24 * 3_600_000;
/// Version of [`Stored`] that is written.
const VERSION: u8 = 1;

/// One record of the log.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    v: u8,
    events: Vec<InboundEvent>,
}

/// Events of one request, as JSON, and who waits for them to be stored.
struct Asked {
    events: Vec<Vec<u8>>,
    answer: oneshot::Sender<Result<(), Box<Problem>>>,
}

enum Item {
    Asked(Asked),
    /// All events of this record are done.
    Done(Revision),
}

/// The way to the task that writes.
pub(crate) struct Inbox {
    sender: mpsc::Sender<Item>,
    receiver: Mutex<Option<mpsc::Receiver<Item>>>,
    /// Events that may still be taken.
    room: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
}

impl Default for Inbox {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            room: Arc::new(Semaphore::new(OPEN_MAX)),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Inbox {
    /// Events that are stored and not done yet.
    pub(crate) fn open(&self) -> usize {
        OPEN_MAX - self.room.available_permits().min(OPEN_MAX)
    }

    fn receiver(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Item>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subject(instance: &str) -> String {
    format!("{LOGS}{instance}")
}

/// What a caller hears when nothing can be taken just now.
fn busy(why: &str) -> Box<Problem> {
    let text = format!("events cannot be stored just now: {why}; send them again");
    Box::new(Problem::new("KORK-0008", Kind::Unavailable, text).retry_after(1))
}

impl Shell {
    /// Takes events: when this is answered, what they start is started, or they are stored and it will be,
    /// whatever becomes of this process.
    pub(crate) async fn take_events(
        self: &Arc<Self>,
        events: &[InboundEvent],
    ) -> Result<(), Error> {
        let at_once = events.iter().map(|event| self.fire_at_once(event));
        let done = futures_util::future::join_all(at_once).await;
        let left = events.iter().zip(done).filter(|(_, done)| !done);
        let left: Vec<&InboundEvent> = left.map(|(event, _)| event).collect();
        if left.is_empty() {
            return Ok(());
        }
        self.keep_events(&left).await
    }

    /// Starts what an event starts, if that can be done now: an execution is as durable as a stored event.
    async fn fire_at_once(self: &Arc<Self>, event: &InboundEvent) -> bool {
        if event.incomplete || event.not_before.is_some() {
            return false;
        }
        let Ok(permit) = Arc::clone(&self.inbox.at_once).try_acquire_owned() else {
            return false;
        };
        let (sender, fired) = oneshot::channel();
        let (shell, event) = (Arc::clone(self), event.clone());
        let asked = trace::current();
        // Never dropped in the middle of a start: who does not wait for it stores the event.
        self.shutdown.spawn(async move {
            let fired = trace::within(asked, shell.fire(&event)).await;
            drop(permit);
            sender.send(fired.is_ok()).ok();
        });
        matches!(tokio::time::timeout(AT_ONCE_MAX, fired).await, Ok(Ok(true)))
    }

    async fn keep_events(&self, events: &[&InboundEvent]) -> Result<(), Error> {
        let too_many = || Error::Problem(busy("too many wait to be done"));
        if self.inbox.room.available_permits() < events.len() {
            return Err(too_many());
        }
        let events = events
            .iter()
            .map(|event| written(event))
            .collect::<Result<Vec<_>, _>>()?;
        let stops = || Error::Problem(busy("orca stops"));
        // All of them are sent before the first answer is awaited: they are written together.
        let mut answers = Vec::new();
        for events in limit::grouped(events, RECORD_BYTES, |event| bytes_of(event)) {
            let (answer, stored) = oneshot::channel();
            let item = Item::Asked(Asked { events, answer });
            self.inbox.sender.send(item).await.map_err(|_| stops())?;
            answers.push(stored);
        }
        for stored in answers {
            stored.await.map_err(|_| stops())?.map_err(Error::Problem)?;
        }
        Ok(())
    }
}

fn written(event: &InboundEvent) -> Result<Vec<u8>, Error> {
    let text = serde_json::to_vec(event).map_err(|source| Error::Unreadable {
        id: event.id.clone(),
        source,
    })?;
    let max = limit::MESSAGE_BYTES_MAX - RECORD_MARGIN;
    if text.len() > max {
        let detail = format!(
            "the event {} has {} bytes, at most {max} can be stored; let the sender say less",
            event.id,
            text.len()
        );
        return Err(Error::Problem(Box::new(Problem::new(
            "ORCA-0019",
            Kind::TooLarge,
            detail,
        ))));
    }
    Ok(text)
}

/// Starts to write, and to do what is written.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let Some(receiver) = shell.inbox.receiver().take() else {
        return;
    };
    shell.measures.inbound(0);
    let writer = Writer {
        shell: Arc::clone(shell),
        subject: subject(&shell.me),
        last: Revision::NONE,
        open: BTreeSet::new(),
        done: 0,
    };
    shell
        .shutdown
        .spawn(async move { writer.run(receiver).await });
}

/// The task that writes the log of this instance, and cuts it.
struct Writer {
    shell: Arc<Shell>,
    subject: String,
    /// The last record of the log.
    last: Revision,
    /// Records whose events are not all done.
    open: BTreeSet<Revision>,
    /// Records that were done since the log was cut.
    done: usize,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Item>) {
        let mut items = Vec::with_capacity(TOGETHER_MAX);
        let shutdown = self.shell.shutdown.clone();
        loop {
            let received = tokio::select! {
                biased;
                received = receiver.recv_many(&mut items, TOGETHER_MAX) => received,
                () = shutdown.requested() => return self.cut().await,
            };
            if received == 0 {
                return;
            }
            let mut asked = Vec::new();
            for item in items.drain(..) {
                match item {
                    Item::Asked(one) => asked.push(one),
                    Item::Done(revision) => {
                        self.done += usize::from(self.open.remove(&revision));
                    }
                }
            }
            let bytes_of = |asked: &Asked| asked.events.iter().map(|e| bytes_of(e)).sum();
            for together in limit::grouped(asked, RECORD_BYTES, bytes_of) {
                self.write(together).await;
            }
            self.shell.measures.inbound(self.shell.inbox.open());
            if self.done >= CUT_EVERY || (self.done > 0 && self.open.is_empty()) {
                self.cut().await;
            }
        }
    }

    async fn write(&mut self, asked: Vec<Asked>) {
        let (events, answers): (Vec<_>, Vec<_>) =
            asked.into_iter().map(|a| (a.events, a.answer)).unzip();
        let payload = Bytes::from(record(&events.concat()));
        let outcome = match self.append(&payload).await {
            Ok(revision) => {
                self.keep(revision, &payload);
                Ok(())
            }
            Err(error) => Err(busy(&kork::problem::chain(&error))),
        };
        let is_lost = outcome.is_err();
        for answer in answers {
            if answer.send(outcome.clone()).is_err() {
                tracing::debug!("whoever sent events did not wait for the answer");
            }
        }
        if is_lost {
            self.find().await;
        }
    }

    async fn append(&mut self, payload: &Bytes) -> Result<Revision, JournalError> {
        let journal = &self.shell.ports.journal;
        let first = journal.append(&self.subject, self.last, payload.clone());
        match first.await {
            // The log was cut, here or by one who took this instance for dead.
            Err(JournalError::Conflict { actual, .. }) => {
                let again = journal.append(&self.subject, actual, payload.clone());
                again.await
            }
            outcome => outcome,
        }
    }

    fn keep(&mut self, revision: Revision, payload: &Bytes) {
        self.last = revision;
        self.open.insert(revision);
        let shell = Arc::clone(&self.shell);
        let payload = payload.clone();
        self.shell.shutdown.spawn(async move {
            if do_record(&shell, &payload).await {
                let done = Item::Done(revision);
                // The task ends only with the process, and then others do it again.
                drop(shell.inbox.sender.send(done).await);
            }
        });
    }

    /// Nobody knows whether the last record was written; if it was, it is done.
    async fn find(&mut self) {
        while !self.shell.shutdown.is_requested() {
            match self
                .shell
                .ports
                .journal
                .read(&self.subject, self.last)
                .await
            {
                Ok(records) => {
                    for record in records {
                        self.keep(record.revision, &record.payload);
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the log of events is read again later");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Removes what is done from the log.
    async fn cut(&mut self) {
        let up_to = match self.open.first() {
            Some(open) => Revision(open.0 - 1),
            None => self.last,
        };
        if up_to == Revision::NONE {
            return;
        }
        match self.shell.ports.journal.purge(&self.subject, up_to).await {
            Ok(()) => {
                self.done = 0;
                if self.open.is_empty() {
                    self.last = Revision::NONE;
                }
            }
            Err(error) => tracing::warn!(%error, "the log of events is cut later"),
        }
    }
}

/// Bytes of an event in a record, with the comma behind it.
fn bytes_of(event: &[u8]) -> usize {
    event.len() + 1
}

fn record(events: &[Vec<u8>]) -> Vec<u8> {
    let mut text = format!("{{\"v\":{VERSION},\"events\":[").into_bytes();
    text.extend(events.join(&b','));
    text.extend(b"]}");
    text
}

/// Does the events of a record; false when the process stops before all are done.
async fn do_record(shell: &Arc<Shell>, payload: &Bytes) -> bool {
    let stored: Stored = match serde_json::from_slice(payload) {
        Ok(Stored { v: VERSION, events }) => Stored { v: VERSION, events },
        Ok(Stored { v, .. }) => {
            tracing::error!(version = v, "events of another version are left to it");
            return false;
        }
        Err(error) => {
            tracing::error!(%error, "stored events cannot be read");
            return true;
        }
    };
    let count = stored.events.len() as u32;
    // Taken over, there may be more than may be taken.
    let room = Arc::clone(&shell.inbox.room).try_acquire_many_owned(count);
    let all = stored.events.into_iter().map(|event| {
        let shell = Arc::clone(shell);
        async move {
            if let Some(from) = event.not_before {
                let clock = &shell.ports.clock;
                tokio::select! {
                    () = clock.sleep_until(from) => {}
                    () = shell.shutdown.requested() => return false,
                }
            }
            until_done(&shell, &event).await
        }
    });
    let done = futures_util::future::join_all(all).await;
    drop(room);
    // What was taken over has no writer here that would say so.
    shell.measures.inbound(shell.inbox.open());
    done.into_iter().all(|done| done)
}

async fn until_done(shell: &Arc<Shell>, event: &InboundEvent) -> bool {
    let asked = event.traceparent.as_deref().and_then(TraceContext::parse);
    let mut pause = RETRY;
    let began = shell.ports.clock.now();
    loop {
        let Ok(permit) = shell.inbox.at_once.acquire().await else {
            return false;
        };
        let fired = trace::within(asked, shell.fire(event)).await;
        drop(permit);
        let Err(error) = fired else {
            return true;
        };
        // Not by the age of the event: the suite may have been down for longer.
        if shell.ports.clock.now().ms_since(began) > TRIED_MAX_MS {
            tracing::error!(event = event.id, error = %error.problem(), "an event is given up");
            return true;
        }
        if shell.shutdown.is_requested() {
            return false;
        }
        tracing::warn!(event = event.id, error = %error.problem(), "an event is done again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

/// After a start: does what instances that are gone left.
pub(crate) async fn recover(shell: &Arc<Shell>) -> Result<(), Error> {
    let logs = shell.ports.journal.subjects(LOGS).await;
    let logs = logs.map_err(|source| failed("all", source))?;
    for log in logs {
        let Some(instance) = log.strip_prefix(LOGS) else {
            continue;
        };
        if instance != shell.me && !peers::is_alive(shell, instance).await {
            take_over(shell, instance);
        }
    }
    Ok(())
}

/// Does what an instance left that is gone, behind the caller's back.
pub(crate) fn take_over(shell: &Arc<Shell>, instance: &str) {
    let (shell, subject) = (Arc::clone(shell), subject(instance));
    shell.shutdown.clone().spawn_until_requested(async move {
        while let Err(error) = do_left(&shell, &subject).await {
            tracing::warn!(error = %error.problem(), "events of an orca that is gone are done later");
            tokio::time::sleep(RETRY).await;
        }
    });
}

async fn do_left(shell: &Arc<Shell>, subject: &str) -> Result<(), Error> {
    let journal = &shell.ports.journal;
    let records: Vec<Record> = journal
        .read(subject, Revision::NONE)
        .await
        .map_err(|source| failed(subject, source))?;
    let mut all = true;
    for record in &records {
        all &= do_record(shell, &record.payload).await;
    }
    if let Some(last) = records.last().filter(|_| all) {
        journal
            .purge(subject, last.revision)
            .await
            .map_err(|source| failed(subject, source))?;
    }
    Ok(())
}

fn failed(id: &str, source: JournalError) -> Error {
    Error::Journal {
        id: id.to_owned(),
        source,
    }
}
