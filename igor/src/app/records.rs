//! What is kept of the orders for builds: how far each is, so that no build is started twice; its result, so
//! that an order that comes again gets the first one; and which builds are shared.

use std::time::Duration;

use bytes::Bytes;
use igor_ci::follow::{PROGRESS_KEY, Progress};
use kork::ports::{Condition, ObjectStoreError, Ports};
use kork_model::{Context, Kind, Problem, WorkOrder, WorkResult};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Igor;

/// Folder of what is kept.
const FOLDER: &str = "igor/builds/";
/// Folder of the marks of builds that several executions wait for.
const SHARED: &str = "igor/shared/";
/// Folder of what servers posted of builds.
pub(super) const REPORTS: &str = "igor/reports/";
/// Times that a lost race for what is kept is run again.
pub(super) const RACES_MAX: usize = 8;
/// How long a record is kept that nobody writes. No build is followed for so long, and an order that comes
/// again after it was given up long ago.
const KEPT_MS: u64 = 7 * 24 * 3_600_000;
/// How often old records are looked for.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// What is kept of an order.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Record {
    pub(crate) progress: Progress,
    /// It was called back: whoever starts or follows its build stops it.
    pub(crate) withdrawn: bool,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<WorkResult>,
}

/// How far the build of an order is, in memory and in the object store.
pub(crate) struct Kept {
    key: String,
    /// CI server and job, for the marks of shared builds.
    place: (String, String),
    record: Record,
    etag: Option<String>,
    /// The store has not taken the newest of it.
    is_unsaved: bool,
    /// Others were told that the build is shared.
    is_marked: bool,
    stop: CancellationToken,
}

impl Kept {
    pub(crate) fn progress(&self) -> Progress {
        self.record.progress.clone()
    }

    /// What came of the order when it was done before.
    pub(crate) fn result(&self) -> Option<WorkResult> {
        self.record.result.clone()
    }

    /// Keeps what is new. A store that does not answer is asked again with the next step.
    pub(crate) async fn save(&mut self, ports: &Ports, context: &Context) {
        if !context.contains_key(PROGRESS_KEY) {
            return;
        }
        self.renew(Progress::of(context));
        let saved = async {
            if self.is_unsaved {
                self.try_save(ports).await?;
            }
            self.mark(ports).await
        };
        if let Err(error) = saved.await {
            tracing::warn!(%error, "it is kept later how far a build is");
        }
    }

    /// Keeps what is known for good, and looks whether the order was called back: then its token is cancelled.
    pub(crate) async fn hold(
        &mut self,
        ports: &Ports,
        progress: &Progress,
    ) -> Result<(), ObjectStoreError> {
        self.renew(progress.clone());
        if self.is_unsaved {
            return self.try_save(ports).await;
        }
        self.look(ports).await
    }

    /// Keeps the result. The one that counts: the first, and none when the order was called back.
    pub(crate) async fn finish(
        &mut self,
        ports: &Ports,
        result: WorkResult,
    ) -> Result<Option<WorkResult>, Problem> {
        self.record.result.get_or_insert(result);
        self.try_save(ports).await.map_err(|e| away(&e))?;
        Ok(self.result().filter(|_| !self.record.withdrawn))
    }

    /// Whether another order waits for the same build.
    pub(crate) async fn is_shared(
        &self,
        ports: &Ports,
        progress: &Progress,
    ) -> Result<bool, ObjectStoreError> {
        let (master, job) = &self.place;
        is_shared(ports, master, job, progress).await
    }

    fn renew(&mut self, progress: Progress) {
        self.is_unsaved |= progress != self.record.progress;
        self.record.progress = progress;
    }

    /// Somebody else may have written: whoever called the order back, or another igor that follows the same
    /// build. What those said is kept; only the first is a reason to stop.
    async fn try_save(&mut self, ports: &Ports) -> Result<(), ObjectStoreError> {
        for _ in 0..RACES_MAX {
            match put(ports, &self.key, &self.record, self.etag.as_deref()).await {
                Ok(etag) => {
                    self.etag = Some(etag);
                    self.is_unsaved = false;
                    return Ok(());
                }
                Err(ObjectStoreError::ConditionFailed { .. }) => self.look(ports).await?,
                Err(error) => return Err(error),
            }
        }
        Err(ObjectStoreError::ConditionFailed {
            key: self.key.clone(),
        })
    }

    /// Takes over what others wrote.
    async fn look(&mut self, ports: &Ports) -> Result<(), ObjectStoreError> {
        let found = read(ports, &self.key).await?;
        self.etag = found.as_ref().map(|(_, etag)| etag.clone());
        if let Some((theirs, _)) = found {
            self.record.withdrawn |= theirs.withdrawn;
            if theirs.result.is_some() {
                self.record.result = theirs.result;
            }
        }
        if self.record.withdrawn {
            self.stop.cancel();
        }
        Ok(())
    }

    /// Tells whoever waits for the same build that it is not theirs alone: the controller only told us.
    async fn mark(&mut self, ports: &Ports) -> Result<(), ObjectStoreError> {
        if self.is_marked || !self.record.progress.shared {
            return Ok(());
        }
        let (master, job) = &self.place;
        for key in marks(master, job, &self.record.progress) {
            ports
                .objects
                .put(&key, Bytes::from_static(b"{}"), Condition::Always)
                .await?;
            self.is_marked = true;
        }
        Ok(())
    }
}

impl Igor {
    /// What is known of an order. One that was called back has a cancelled token.
    pub(crate) async fn kept(
        &self,
        order: &WorkOrder,
        place: (String, String),
        stop: CancellationToken,
    ) -> Result<Kept, Problem> {
        let mut kept = Kept {
            key: key(order),
            place,
            record: Record::default(),
            etag: None,
            is_unsaved: false,
            is_marked: false,
            stop,
        };
        let found = read(&self.ports, &kept.key).await;
        if let Some((record, etag)) = found.map_err(|e| away(&e))? {
            if record.withdrawn {
                kept.stop.cancel();
            }
            (kept.record, kept.etag) = (record, Some(etag));
        }
        Ok(kept)
    }

    /// From now on nothing of the order is started; what is known of it.
    pub(crate) async fn mark_withdrawn(&self, order: &WorkOrder) -> Result<Record, Problem> {
        let key = key(order);
        for _ in 0..RACES_MAX {
            let found = read(&self.ports, &key).await.map_err(|e| away(&e))?;
            let (mut record, etag) = match found {
                Some((record, etag)) => (record, Some(etag)),
                None => (Record::default(), None),
            };
            if record.withdrawn || record.result.is_some() {
                return Ok(record);
            }
            record.withdrawn = true;
            match put(&self.ports, &key, &record, etag.as_deref()).await {
                Ok(_) => return Ok(record),
                Err(ObjectStoreError::ConditionFailed { .. }) => {}
                Err(error) => return Err(away(&error)),
            }
        }
        let text = "the build goes on too fast to be called back; it is tried again";
        Err(Problem::new("IGOR-0010", Kind::Unavailable, text))
    }
}

/// Removes what nobody asks for any more, now and then.
pub(crate) async fn forget(ports: Ports) {
    loop {
        if let Err(error) = forget_old(&ports).await {
            tracing::warn!(%error, "old records of builds stay");
        }
        tokio::time::sleep(FORGET_EVERY).await;
    }
}

async fn forget_old(ports: &Ports) -> Result<(), ObjectStoreError> {
    let now = ports.clock.now();
    for folder in [FOLDER, SHARED, REPORTS] {
        for object in ports.objects.list(folder).await? {
            if now.ms_since(object.modified) > KEPT_MS {
                ports.objects.erase(&object.key).await?;
            }
        }
    }
    Ok(())
}

/// Whether an order of this key was begun and has no result yet. It is kept before its build is asked for.
pub(super) async fn waits(ports: &Ports, key: &str) -> Result<bool, ObjectStoreError> {
    let found = read(ports, &place(key)).await?;
    Ok(found.is_some_and(|(record, _)| record.result.is_none()))
}

/// Whether another order waits for the same build.
pub(crate) async fn is_shared(
    ports: &Ports,
    master: &str,
    job: &str,
    progress: &Progress,
) -> Result<bool, ObjectStoreError> {
    for key in marks(master, job, progress) {
        if ports.objects.get(&key).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn read(ports: &Ports, key: &str) -> Result<Option<(Record, String)>, ObjectStoreError> {
    let found = ports.objects.get(key).await?;
    Ok(found.map(|object| {
        let record = serde_json::from_slice(&object.body).unwrap_or_default();
        (record, object.info.etag)
    }))
}

async fn put(
    ports: &Ports,
    key: &str,
    record: &Record,
    etag: Option<&str>,
) -> Result<String, ObjectStoreError> {
    let body = Bytes::from(serde_json::to_vec(record).unwrap_or_default());
    let condition = match etag {
        Some(etag) => Condition::IfMatch(etag.to_owned()),
        None => Condition::IfAbsent,
    };
    let stored = ports.objects.put(key, body, condition).await?;
    Ok(stored.etag)
}

fn key(order: &WorkOrder) -> String {
    place(&order.key.0)
}

fn place(key: &str) -> String {
    format!("{FOLDER}{}.json", plain(key))
}

/// The marks of a build, by what is known of it: its item in the queue, its number.
fn marks(master: &str, job: &str, progress: &Progress) -> Vec<String> {
    let master = plain(master);
    let item = progress
        .item
        .map(|item| format!("{SHARED}{master}/item/{item}.json"));
    let number = progress.number;
    let build = number.map(|n| format!("{SHARED}{master}/build/{}/{n}.json", plain(job)));
    item.into_iter().chain(build).collect()
}

/// A name as a part of a key.
pub(super) fn plain(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '_',
    };
    name.chars().map(plain).collect()
}

pub(crate) fn away(error: &ObjectStoreError) -> Problem {
    let text = "it cannot be read or written just now how far a build is";
    Problem::new("KORK-0008", Kind::Unavailable, text).because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kork::embedded::{Embedded, SeededIds, TokioClock};
    use kork_model::Timestamp;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wrote_for_a_week_is_forgotten() {
        let clock = TokioClock::shared(Timestamp(1));
        let ids = Arc::new(SeededIds::new(5, clock.clone()));
        let ports = Embedded::in_memory(clock, ids).ports();
        let write = async |key: &str| {
            let body = Bytes::from_static(b"{}");
            let put = ports.objects.put(key, body, Condition::Always);
            put.await.unwrap();
        };
        let (old, new) = ("igor/builds/old.json", "igor/builds/new.json");
        write(old).await;
        write("igor/shared/ci/item/1.json").await;
        write("igor/reports/builder/old.json").await;
        write("igor/deliveries/other.json").await;
        tokio::time::advance(Duration::from_hours(24)).await;
        write(new).await;
        tokio::time::advance(Duration::from_millis(KEPT_MS)).await;
        forget_old(&ports).await.unwrap();
        let left = ports.objects.list("igor/").await.unwrap();
        let left: Vec<&str> = left.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(left, [new, "igor/deliveries/other.json"]);
    }
}
