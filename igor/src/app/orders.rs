//! Orders for builds: what is asked, and how one is called back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use igor_ci::{BuildRequest, follow};
use kork_model::{Context, Kind, Problem, WorkKey, WorkOrder};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Igor,
    builds::problem,
    current::Current,
    records::{Record, away, is_shared},
};

/// What orca keeps of a stage; of one that is larger it drops all that the build handed on.
const STAGE_BYTES_MAX: usize = 256 * 1024;
/// What is shown of a build while it goes on, its parameters left out.
const SHOWN_BYTES_MAX: usize = 24 * 1024;

/// The orders whose builds are followed here, each with what calls it back at once, and what ends a pause of it.
/// Whoever follows one elsewhere finds both in the object store: before it starts anything, and with its next look.
#[derive(Default)]
pub(crate) struct Followed(Mutex<BTreeMap<String, Ways>>);

/// How a follower is reached.
struct Ways {
    stop: CancellationToken,
    news: Arc<Notify>,
}

/// An order is followed until this is dropped.
pub(crate) struct Following<'a> {
    all: &'a Followed,
    key: &'a WorkKey,
    news: Arc<Notify>,
}

impl Following<'_> {
    /// Waits until there is something to look at.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

impl Followed {
    pub(crate) fn begin<'a>(&'a self, key: &'a WorkKey, stop: CancellationToken) -> Following<'a> {
        let news = Arc::new(Notify::new());
        let ways = Ways {
            stop,
            news: Arc::clone(&news),
        };
        self.lock().insert(key.0.clone(), ways);
        Following {
            all: self,
            key,
            news,
        }
    }

    fn call_back(&self, key: &WorkKey) {
        if let Some(ways) = self.lock().get(&key.0) {
            ways.stop.cancel();
        }
    }

    /// There is news of the build of an order: whoever follows it here looks now.
    pub(crate) fn wake(&self, key: &str) {
        if let Some(ways) = self.lock().get(key) {
            ways.news.notify_one();
        }
    }

    /// As [`Self::wake`], those whose key it is.
    pub(crate) fn wake_where(&self, is_it: impl Fn(&str) -> bool) {
        let all = self.lock();
        for (_, ways) in all.iter().filter(|(key, _)| is_it(key)) {
            ways.news.notify_one();
        }
    }

    /// Nothing is followed here.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Ways>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.key.0);
    }
}

impl Igor {
    /// Stops the build of an order, wherever it is followed; one that is not started yet will not go on.
    /// Done when it returns without an error.
    pub(crate) async fn withdraw(self: &Arc<Self>, order: &WorkOrder) -> Result<(), Problem> {
        let record = self.mark_withdrawn(order).await?;
        if record.withdrawn {
            self.followed.call_back(&order.key);
        }
        if record.result.is_some() || !record.progress.may_have_build() {
            return Ok(());
        }
        let Ok((master, request)) = request_of(order) else {
            return Ok(());
        };
        let server = match Current::new(self, &master, &request.unique_key) {
            Ok(server) => server,
            // It may be in the file that cannot be read now.
            Err(problem) if self.accounts.wrong().is_some() => return Err(problem),
            Err(problem) => {
                tracing::error!(key = %order.key, %problem, "a build of a server that is gone stays");
                return Ok(());
            }
        };
        let Record { mut progress, .. } = record;
        let is_shared = is_shared(&self.ports, &master, &request.job, &progress).await;
        progress.shared |= is_shared.map_err(|e| away(&e))?;
        match follow::stop(&server, &request, &mut progress).await {
            Err(error) if error.is_passing() => Err(problem(&error)),
            Err(error) => {
                tracing::error!(key = %order.key, %error, job = request.job, "a build cannot be stopped");
                Ok(())
            }
            Ok(()) => Ok(()),
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
    request.result_bytes_max = room(context);
    request.wait_for_completion = waits.is_none_or(Value::is_null) || is_true(waits);
    Ok((master, request))
}

/// What is left of a stage for what a build hands on. While it goes on, its parameters are shown once more.
fn room(context: &Context) -> usize {
    let bytes = |value: Option<&Value>| value.map_or(0, |v| v.to_string().len());
    let held = serde_json::to_vec(context).map_or(0, |text| text.len());
    STAGE_BYTES_MAX.saturating_sub(SHOWN_BYTES_MAX + held + bytes(context.get("parameters")))
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
