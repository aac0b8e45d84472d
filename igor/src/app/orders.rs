//! Orders for builds: what is asked, and how far each is, so that no build is started twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use igor_ci::{
    BuildRequest,
    follow::{PROGRESS_KEY, Progress},
};
use kork::ports::{Condition, ObjectStoreError, Ports};
use kork_model::{Context, Kind, Problem, WorkOrder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Igor, builds::problem};

/// Folder of what is kept.
const FOLDER: &str = "igor/builds/";
/// Times that a lost race for what is kept is run again.
const RACES_MAX: usize = 8;

/// What is kept of an order while its build goes on.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    master: String,
    job: String,
    progress: Progress,
    /// It was called back: whoever starts or follows its build stops it.
    withdrawn: bool,
}

/// How far the build of an order is, in memory and in the object store.
pub(crate) struct Kept {
    key: String,
    record: Record,
    etag: Option<String>,
    /// The store has not taken the newest of it.
    is_unsaved: bool,
    stop: CancellationToken,
}

impl Kept {
    pub(crate) fn progress(&self) -> Progress {
        self.record.progress.clone()
    }

    /// Keeps what is new. A store that does not answer is asked again with the next step.
    pub(crate) async fn save(&mut self, ports: &Ports, context: &Context) {
        let progress = Progress::of(context);
        if context.contains_key(PROGRESS_KEY)
            && (self.is_unsaved || progress != self.record.progress)
        {
            self.record.progress = progress;
            self.is_unsaved = true;
            if let Err(error) = self.try_save(ports).await {
                tracing::warn!(%error, "it is kept later how far a build is");
            }
        }
    }

    /// Somebody else may have written: whoever called the order back, or another igor that follows the same
    /// build. Only the first is a reason to stop it.
    async fn try_save(&mut self, ports: &Ports) -> Result<(), ObjectStoreError> {
        for _ in 0..RACES_MAX {
            match put(ports, &self.key, &self.record, self.etag.as_deref()).await {
                Ok(etag) => {
                    self.etag = Some(etag);
                    self.is_unsaved = false;
                    return Ok(());
                }
                Err(ObjectStoreError::ConditionFailed { .. }) => {}
                Err(error) => return Err(error),
            }
            let found = read(ports, &self.key).await?;
            if found.as_ref().is_some_and(|(record, _)| record.withdrawn) {
                self.stop.cancel();
                return Ok(());
            }
            self.etag = found.map(|(_, etag)| etag);
        }
        Err(ObjectStoreError::ConditionFailed {
            key: self.key.clone(),
        })
    }
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

impl Igor {
    /// What is known of an order. One that was called back stops at its first step.
    pub(crate) async fn kept(
        &self,
        order: &WorkOrder,
        stop: CancellationToken,
    ) -> Result<Kept, Problem> {
        let key = key(order);
        let (record, etag) = match read(&self.ports, &key).await.map_err(|e| away(&e))? {
            Some((record, etag)) => (record, Some(etag)),
            None => (Record::of(order), None),
        };
        if record.withdrawn {
            stop.cancel();
        }
        Ok(Kept {
            key,
            record,
            etag,
            is_unsaved: false,
            stop,
        })
    }

    /// Stops the build of an order, wherever it is followed; one that is not started yet will not go on.
    pub(crate) async fn withdraw(&self, order: &WorkOrder) -> Result<(), Problem> {
        let key = key(order);
        for _ in 0..RACES_MAX {
            let found = read(&self.ports, &key).await.map_err(|e| away(&e))?;
            let (mut record, etag) = match found {
                Some((record, etag)) => (record, Some(etag)),
                None => (Record::of(order), None),
            };
            record.withdrawn = true;
            match put(&self.ports, &key, &record, etag.as_deref()).await {
                Ok(_) => return self.stop_build(&record).await,
                Err(ObjectStoreError::ConditionFailed { .. }) => {}
                Err(error) => return Err(away(&error)),
            }
        }
        let text = "the build goes on too fast to be called back; it is tried again";
        Err(Problem::new("IGOR-0010", Kind::Unavailable, text))
    }

    async fn stop_build(&self, record: &Record) -> Result<(), Problem> {
        let Progress { item, number, .. } = record.progress;
        if item.is_none() && number.is_none() {
            return Ok(());
        }
        // Nobody can stop a build of a server that is not known any more.
        let Ok(server) = self.build_server(&record.master) else {
            return Ok(());
        };
        let stopped = server.stop(&record.job, item, number).await;
        match stopped {
            Err(error) if error.is_passing() => Err(problem(&error)),
            Err(error) => {
                tracing::warn!(%error, job = record.job, "a build cannot be stopped");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The order is done.
    pub(crate) async fn forget(&self, order: &WorkOrder) {
        if let Err(error) = self.ports.objects.erase(&key(order)).await {
            tracing::warn!(%error, key = %order.key, "the record of a build stays");
        }
    }
}

impl Record {
    fn of(order: &WorkOrder) -> Self {
        let text = |name: &str| order.payload.get(name).and_then(Value::as_str);
        Self {
            master: text("master").unwrap_or_default().to_owned(),
            job: text("job").unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }
}

/// The CI server and the build that a stage wants.
pub(crate) fn request_of(order: &WorkOrder) -> Result<(String, BuildRequest), Problem> {
    let context = &order.payload;
    let text = |name: &str| context.get(name).and_then(Value::as_str).map(str::to_owned);
    let missing = |name: &str| {
        let detail = format!("the stage does not say which {name}");
        Problem::new("IGOR-0002", Kind::Invalid, detail)
    };
    let master = text("master").ok_or_else(|| missing("master"))?;
    let job = text("job").ok_or_else(|| missing("job"))?;
    let mut request = BuildRequest::new(&job, &order.key.0);
    let parameters = context.get("parameters").and_then(Value::as_object);
    request.parameters = parameters.map(texts).unwrap_or_default();
    request.branch = text("branch").or_else(|| text("ref"));
    request.property_file = text("propertyFile").filter(|file| !file.trim().is_empty());
    request.mark_unstable_as_successful = is_true(context.get("markUnstableAsSuccessful"));
    let waits = context.get("waitForCompletion");
    request.wait_for_completion = waits.is_none_or(Value::is_null) || is_true(waits);
    Ok((master, request))
}

/// Jenkins knows texts only.
fn texts(parameters: &Context) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    parameters
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn key(order: &WorkOrder) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '_',
    };
    let name: String = order.key.0.chars().map(plain).collect();
    format!("{FOLDER}{name}.json")
}

fn away(error: &ObjectStoreError) -> Problem {
    let text = "it cannot be read or written just now how far a build is";
    Problem::new("KORK-0008", Kind::Unavailable, text).because(error)
}
