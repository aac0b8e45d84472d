//! The file behind the embedded journal, queue and topic, and its only writer.
//!
//! In a directory, one thread takes every mutation that waits, applies them in one transaction and
//! makes them durable with one fsync; then it answers each. In memory the caller commits itself, so
//! that nothing depends on the scheduling of threads.

mod change;
mod commit;
mod load;
mod mark;
mod newest;
mod queues;
mod tables;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use camino::Utf8Path;
use redb::{Database, ReadTransaction, ReadableDatabase, backends::InMemoryBackend};
use tokio::sync::oneshot;

use self::{commit::Committer, mark::Mark, newest::Newest, tables::Tables, writer::Writer};
pub(super) use self::{
    commit::Mutation,
    queues::{Queues, Taken},
    tables::{COUNTERS, DEAD, MESSAGES, ORDER, QUEUED, RECORDS, counter::DROPPED, unguard},
};
use super::{OpenError, lock::DirectoryLock};

/// Memory that the store keeps pages in.
const PAGE_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Changes that need not be durable at once (acknowledgements, positions) and are held in memory;
/// with more the writer is woken.
const LAZY_CHANGES_MAX: usize = 4096;
/// Commits without fsync between two with one.
const LAZY_COMMITS_MAX: u32 = 1000;
/// Cursors left out when a file is opened again: messages published shortly before a crash may be
/// lost, and their cursors must not name other messages. More than can be published between two
/// durable commits.
const CURSOR_GAP: u64 = 1 << 24;

/// Name of the store's file.
pub(super) const JOURNAL_FILE: &str = "journal.redb";

/// Why the store refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreError {
    Conflict { actual: u64 },
    Full { max: usize },
    Unavailable(String),
    Corrupt(String),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(reason) => Self::Corrupt(reason),
            // The file ends before the pages that its head tells of.
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
                ) =>
            {
                Self::Corrupt(error.to_string())
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl StoreError {
    /// The reason as text, for the errors of the ports.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Conflict { actual } => format!("it is at revision {actual}"),
            Self::Full { max } => format!("it is full with {max} messages"),
            Self::Unavailable(reason) | Self::Corrupt(reason) => reason.clone(),
        }
    }
}

/// What the writer and the readers share.
pub(super) struct Shared {
    db: Database,
    /// Subject -> revision of its last record. Only durable ones.
    heads: RwLock<BTreeMap<String, u64>>,
    positions: Mutex<HashMap<String, u64>>,
    pub(super) queues: Queues,
    lazy: Mutex<Lazy>,
    /// Last revision that readers can see.
    revision: Newest,
    /// Last cursor that readers can see.
    cursor: Newest,
    /// Highest cursor that was dropped.
    dropped: AtomicU64,
    committer: Mutex<Committer>,
    /// Why nothing can be written any more.
    failed: OnceLock<StoreError>,
}

/// Changes that are written with the next commit, whatever it is for.
#[derive(Default)]
struct Lazy {
    /// Queue messages that are done.
    done: Vec<(Arc<str>, u64)>,
    positions: HashMap<String, u64>,
}

impl Lazy {
    fn len(&self) -> usize {
        self.done.len() + self.positions.len()
    }
}

/// The store. The last one to drop it writes what is still in memory.
pub(super) struct Store {
    shared: Arc<Shared>,
    /// `None` in memory.
    writer: Option<Writer>,
    /// Dropped after the writer has ended.
    _directory: Option<DirectoryLock>,
}

impl Store {
    /// Opens or makes the store in a directory, and holds the directory from then on.
    pub(super) fn open(dir: &Utf8Path, directory: DirectoryLock) -> Result<Self, OpenError> {
        let path = dir.join(JOURNAL_FILE);
        let (mark, marked) = Mark::open(dir).map_err(|source| OpenError::Unavailable {
            path: dir.join(mark::MARK_FILE),
            source,
        })?;
        let opened = guarded(|| {
            let db = redb::Builder::new()
                .set_cache_size(PAGE_CACHE_BYTES)
                .create(&path)?;
            Shared::load(db, Some(mark), marked)
        });
        let shared = Arc::new(opened.map_err(|error| match error {
            StoreError::Unavailable(reason) => OpenError::Unavailable {
                path,
                source: std::io::Error::other(reason),
            },
            other => OpenError::Damaged {
                path,
                reason: other.reason(),
            },
        })?);
        let writer =
            Writer::start(Arc::clone(&shared)).map_err(|source| OpenError::Unavailable {
                path: dir.to_owned(),
                source,
            })?;
        Ok(Self {
            shared,
            writer: Some(writer),
            _directory: Some(directory),
        })
    }

    /// A store that nothing outlives.
    pub(super) fn in_memory() -> Self {
        let db = redb::Builder::new()
            .set_cache_size(PAGE_CACHE_BYTES)
            .create_with_backend(InMemoryBackend::new())
            .expect("memory can be written");
        let shared = Shared::load(db, None, None).expect("an empty store can be read");
        Self {
            shared: Arc::new(shared),
            writer: None,
            _directory: None,
        }
    }

    /// Hands a mutation over and waits for its answer. Dropping the call does not take it back.
    pub(super) async fn submit<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Mutation,
    ) -> Result<T, StoreError> {
        let answer = self.hand_over(make).await?;
        self.outcome(answer).await
    }

    /// Hands a mutation to the writer, behind all that were handed over before; [`Self::outcome`] waits
    /// for it.
    pub(super) async fn hand_over<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Mutation,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        if let Some(error) = self.shared.failed.get() {
            return Err(error.clone());
        }
        let (reply, answer) = oneshot::channel();
        match &self.writer {
            Some(writer) => writer.push(make(reply)).await,
            None => self.shared.commit_guarded(vec![make(reply)], true),
        }
        Ok(answer)
    }

    pub(super) async fn outcome<T>(
        &self,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        answer.await.unwrap_or_else(|_| Err(self.shared.failure()))
    }

    /// A queue message is done; the file hears of it later.
    pub(super) fn forget(&self, queue: &Arc<str>, sequence: u64) {
        self.note(|lazy| lazy.done.push((Arc::clone(queue), sequence)));
    }

    /// A subscription is done up to here; the file hears of it later.
    pub(super) fn set_position(&self, durable: &str, revision: u64) {
        let mut positions = lock(&self.shared.positions);
        let position = positions.entry(durable.to_owned()).or_default();
        if *position < revision {
            *position = revision;
            drop(positions);
            self.note(|lazy| {
                lazy.positions.insert(durable.to_owned(), revision);
            });
        }
    }

    fn note(&self, change: impl FnOnce(&mut Lazy)) {
        let len = {
            let mut lazy = lock(&self.shared.lazy);
            change(&mut lazy);
            lazy.len()
        };
        match &self.writer {
            Some(writer) if len == 1 || len >= LAZY_CHANGES_MAX => {
                writer.wake(len >= LAZY_CHANGES_MAX);
            }
            None if len >= LAZY_CHANGES_MAX => self.shared.commit_guarded(Vec::new(), false),
            _ => {}
        }
    }

    pub(super) fn position(&self, durable: &str) -> Option<u64> {
        lock(&self.shared.positions).get(durable).copied()
    }

    /// Revision of a subject's last record; 0 when it holds none.
    pub(super) fn head(&self, subject: &str) -> u64 {
        self.shared.heads().get(subject).copied().unwrap_or(0)
    }

    /// Subjects under a prefix, sorted.
    pub(super) fn subjects(&self, prefix: &str) -> Vec<String> {
        self.shared
            .heads()
            .range::<str, _>((
                std::ops::Bound::Included(prefix),
                std::ops::Bound::Unbounded,
            ))
            .map(|(subject, _)| subject)
            .take_while(|subject| subject.starts_with(prefix))
            .filter(|subject| super::is_under(subject, prefix))
            .cloned()
            .collect()
    }

    pub(super) fn queues(&self) -> &Queues {
        &self.shared.queues
    }

    /// The last revision that can be read.
    pub(super) fn revision(&self) -> &Newest {
        &self.shared.revision
    }

    /// The last cursor that can be read.
    pub(super) fn cursor(&self) -> &Newest {
        &self.shared.cursor
    }

    /// Highest cursor whose message was dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Acquire)
    }

    /// Reads in one consistent view. A damaged page is an error here, whatever redb makes of it.
    pub(super) fn read<T>(
        &self,
        reader: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        guarded(|| reader(&self.shared.db.begin_read()?))
    }

    /// The payload of a message that lies in a queue.
    pub(super) fn payload(&self, queue: &str, sequence: u64) -> Result<Option<Bytes>, StoreError> {
        self.read(|view| {
            let table = view.open_table(QUEUED)?;
            let Some(row) = table.get((queue, sequence))? else {
                return Ok(None);
            };
            let payload = unguard(queue, sequence, row.value().2).ok_or_else(|| {
                StoreError::Corrupt(format!("message {sequence} of queue {queue} was changed"))
            })?;
            Ok(Some(Bytes::copy_from_slice(payload)))
        })
    }
}

impl Shared {
    /// Reads what is kept in memory: heads, positions, queues, counters.
    fn load(db: Database, mark: Option<Mark>, marked: Option<u64>) -> Result<Self, StoreError> {
        let mut transaction = db.begin_write()?;
        let loaded = {
            let mut tables = Tables::open(&transaction)?;
            load::Loaded::read(&mut tables, marked)?
        };
        transaction
            .set_durability(redb::Durability::Immediate)
            .map_err(redb::Error::from)?;
        transaction.commit()?;
        let counters = loaded.counters;
        Ok(Self {
            db,
            heads: RwLock::new(loaded.heads),
            positions: Mutex::new(loaded.positions),
            queues: loaded.queues,
            lazy: Mutex::default(),
            revision: Newest::new(counters.revision),
            cursor: Newest::new(counters.cursor),
            dropped: AtomicU64::new(counters.dropped),
            committer: Mutex::new(Committer::new(counters, mark)),
            failed: OnceLock::new(),
        })
    }

    /// Commits a group. A panic inside (redb on a damaged page) ends writing for good, with a reason.
    fn commit_guarded(&self, group: Vec<Mutation>, durable: bool) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.commit(group, durable)));
        if outcome.is_err() {
            let reason =
                "the writer stopped on a damaged page; stop the process and look at the log";
            // Only the first reason is kept: later ones follow from it.
            drop(self.failed.set(StoreError::Corrupt(reason.to_owned())));
        }
    }

    fn failure(&self) -> StoreError {
        self.failed
            .get()
            .cloned()
            .unwrap_or_else(|| StoreError::Unavailable("the store is being closed".to_owned()))
    }

    fn heads(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, u64>> {
        self.heads.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks; a panic of another holder does not matter, every holder leaves the value whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Corrupt(
            "a page of the file makes no sense to its reader".to_owned(),
        ))
    })
}
