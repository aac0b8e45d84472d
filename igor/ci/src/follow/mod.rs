//! A stage that starts a build and waits for it.
//!
//! What is known is handed to the listener before and after every step, so that a worker that is started
//! again goes on with the same build. A request that was not answered is looked for before it is repeated.

mod ending;
mod pace;
mod progress;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kork_model::{Context, Status};
use serde_json::{Value, json};

pub use progress::{PROGRESS_KEY, Progress};

use crate::{
    Build, BuildRequest, BuildServer, CiError,
    server::{Located, LogStart},
};
use pace::Pace;

/// Errors in a row that would need somebody to act, after which it is given up.
const HARD_ERRORS_MAX: u32 = 5;
/// So often an unanswered request is looked for before it is repeated.
const LOOKS_BEFORE_REPEAT: u32 = 2;
/// So often a request that was accepted is looked for before it is given up.
const LOOKS_FOR_ACCEPTED: u32 = 40;
/// The end of the log that is shown while a build runs.
pub const LOG_TAIL_BYTES: usize = 4 * 1024;
/// How old the first look at a build may be: a worker that takes up many builds makes few calls.
const FIRST_LOOK_AGE_MS: u64 = 1_000;
/// The log is read at most this often.
const LOG_EVERY_MS: u64 = 10_000;

/// What the worker is told besides the end.
pub trait Listener: Send + Sync {
    /// Something to show and to keep while the work goes on.
    fn progress(&self, context: Context) -> impl Future<Output = ()> + Send;
    /// Waits; false when the work was called back.
    fn pause(&self, time: Duration) -> impl Future<Output = bool> + Send;
    /// Milliseconds since some fixed moment.
    fn now_ms(&self) -> u64;
}

/// How the stage ends.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOutcome {
    pub status: Status,
    /// For the stage's context: `buildInfo`, `propertyFileContents` and every property.
    pub context: Context,
    /// For later stages: the same, and `artifacts`.
    pub outputs: Context,
    pub error: Option<String>,
}

/// Why a step does not go on.
enum End {
    /// The work was called back.
    CalledBack,
    Status(Status, String),
}

/// Starts a build, or goes on with the one that `progress` knows, until it has ended.
///
/// When the listener calls the work back, the queued request or the build is stopped before this returns.
pub async fn run(
    ci: &dyn BuildServer,
    request: &BuildRequest,
    progress: Progress,
    listener: &impl Listener,
) -> BuildOutcome {
    let mut follower = Follower {
        pace: Pace::new(&request.unique_key),
        ci,
        request,
        listener,
        progress,
        hard_errors: 0,
        failures: 0,
    };
    if follower.progress.since_ms == 0 {
        follower.progress.since_ms = ci.now().millis();
    }
    match follower.steps().await {
        Ok(outcome) => outcome,
        Err(End::CalledBack) => follower.called_back().await,
        Err(End::Status(status, error)) => follower.ended(status, Some(error)),
    }
}

struct Follower<'a, L> {
    ci: &'a dyn BuildServer,
    request: &'a BuildRequest,
    listener: &'a L,
    progress: Progress,
    pace: Pace,
    /// Errors in a row that do not pass by themselves.
    hard_errors: u32,
    /// Errors in a row of any kind.
    failures: u32,
}

impl<L: Listener> Follower<'_, L> {
    async fn steps(&mut self) -> Result<BuildOutcome, End> {
        // What is not known for sure to be new may have been asked for by a worker that is gone.
        let mut unanswered = self.progress.is_open();
        while self.progress.number.is_none() {
            if self.progress.item.is_none() {
                self.ask(&mut unanswered).await?;
            } else {
                self.wait_in_queue(&mut unanswered).await?;
            }
        }
        let number = self.progress.number.unwrap_or(0);
        if !self.request.wait_for_completion {
            let build = self.whole(number).await?;
            return Ok(self.begun(&build));
        }
        self.watch(number).await?;
        let build = self.whole(number).await?;
        self.conclude(build).await
    }

    /// Asks for a build, once, however often it takes.
    async fn ask(&mut self, unanswered: &mut bool) -> Result<(), End> {
        let mut looks = 0;
        loop {
            let Some(prepared) = self.progress.prepared.clone() else {
                match self.ci.prepare(self.request).await {
                    Ok(prepared) => {
                        self.well();
                        self.progress.prepared = Some(prepared);
                        self.report(Context::new()).await;
                    }
                    Err(error) => self.bear(error).await?,
                }
                continue;
            };
            if self.progress.accepted && looks == LOOKS_FOR_ACCEPTED {
                let said = format!(
                    "the CI server accepted a build of {}, but none is found",
                    self.request.job
                );
                return Err(End::Status(Status::Terminal, said));
            }
            if self.progress.accepted || (*unanswered && looks < LOOKS_BEFORE_REPEAT) {
                match self.ci.look_for(self.request, &prepared).await {
                    Ok(Some(started)) => {
                        self.well();
                        self.progress.started(started);
                        self.report(Context::new()).await;
                        return Ok(());
                    }
                    Ok(None) => {
                        looks += 1;
                        self.pause_for(0).await?;
                    }
                    Err(error) => self.bear(error).await?,
                }
                continue;
            }
            looks = 0;
            match self.ci.start(self.request, &prepared).await {
                Ok(started) => {
                    self.well();
                    self.progress.started(started);
                    self.report(Context::new()).await;
                    if !self.progress.is_open() {
                        return Ok(());
                    }
                }
                Err(error @ CiError::Unanswered { .. }) => {
                    *unanswered = true;
                    self.bear(error).await?;
                }
                Err(error) if error.is_passing() => self.bear(error).await?,
                Err(error) => return Err(End::Status(Status::Terminal, error.to_string())),
            }
        }
    }

    async fn wait_in_queue(&mut self, unanswered: &mut bool) -> Result<(), End> {
        let item = self.progress.item.unwrap_or(0);
        let mut shown = String::new();
        loop {
            match self.ci.locate(&self.request.job, item).await {
                Ok(Located::Build { number }) => {
                    self.well();
                    self.progress.number = Some(number);
                    self.report(Context::new()).await;
                    return Ok(());
                }
                Ok(Located::Cancelled) => {
                    let said = format!("the queued request {item} was cancelled on the CI server");
                    return Err(End::Status(Status::Canceled, said));
                }
                Ok(Located::Lost) => return self.find_lost(item, unanswered).await,
                Ok(Located::Waiting { why }) => {
                    self.well();
                    if why != shown {
                        let context = Context::from_iter([("queueReason".to_owned(), json!(why))]);
                        self.report(context).await;
                        shown = why;
                    }
                    let age_ms = self.age_ms();
                    self.pause_for(age_ms).await?;
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    /// The queue does not know the item any more and no build came from it: another id may have it now.
    async fn find_lost(&mut self, item: u64, unanswered: &mut bool) -> Result<(), End> {
        let prepared = self.progress.prepared.clone().unwrap_or_default();
        let found = if prepared.is_unique {
            self.ci.look_for(self.request, &prepared).await
        } else {
            Ok(None)
        };
        match found {
            Ok(Some(started)) => {
                self.progress.item = None;
                self.progress.started(started);
                *unanswered = true;
                self.report(Context::new()).await;
                self.pause_for(0).await
            }
            Ok(None) => {
                let said = format!(
                    "the queued request {item} is neither in the queue nor among the last builds of {}",
                    self.request.job
                );
                Err(End::Status(Status::Terminal, said))
            }
            Err(error) => self.bear(error).await,
        }
    }

    /// Until the build has ended.
    async fn watch(&mut self, number: u64) -> Result<(), End> {
        let job = self.request.job.clone();
        let mut since_ms = None;
        let mut log_ms = 0;
        let mut log = LogTail::default();
        let mut age_max_ms = FIRST_LOOK_AGE_MS;
        loop {
            match self.ci.watch(&job, number, age_max_ms).await {
                Ok(build) => {
                    self.well();
                    if build.finished().is_some() {
                        return Ok(());
                    }
                    let now_ms = self.listener.now_ms();
                    let first = since_ms.is_none();
                    let since_ms = *since_ms.get_or_insert(now_ms);
                    self.describe(number).await;
                    if first || now_ms.saturating_sub(log_ms) >= LOG_EVERY_MS {
                        log_ms = now_ms;
                        log.read(self.ci, &job, number).await;
                        self.show(&build, &log).await;
                    }
                    let age_ms = now_ms.saturating_sub(since_ms);
                    let pause = self.pace.look(age_ms);
                    // Whoever looks first looks for all builds of the job that are due about now.
                    age_max_ms = pause.as_millis() as u64 / 2;
                    self.pause(pause).await?;
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    async fn show(&mut self, build: &Build, log: &LogTail) {
        self.progress.url = Some(build.url.clone());
        let info = build.generic(&self.request.job, None);
        let context = Context::from_iter([
            ("buildInfo".to_owned(), info),
            ("consoleTail".to_owned(), Value::from(log.text.as_str())),
        ]);
        self.report(context).await;
    }

    /// The back link; without it the build goes on as well.
    async fn describe(&mut self, number: u64) {
        let Some(link) = self
            .request
            .back_link
            .as_ref()
            .filter(|_| !self.progress.described)
        else {
            return;
        };
        self.progress.described = true;
        if let Err(error) = self.ci.describe(&self.request.job, number, link).await {
            tracing::info!(job = %self.request.job, number, %error, "a build has no back link");
        }
    }

    async fn whole(&mut self, number: u64) -> Result<Build, End> {
        loop {
            match self.ci.build(&self.request.job, number).await {
                Ok(build) => {
                    self.well();
                    return Ok(build);
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    async fn report(&self, more: Context) {
        let mut context = self.progress.shown();
        context.extend(more);
        self.listener.progress(context).await;
    }

    /// By the clock of the CI client: the listener's may begin anew with every process.
    fn age_ms(&self) -> u64 {
        let now_ms = self.ci.now().millis();
        now_ms.saturating_sub(self.progress.since_ms)
    }

    const fn well(&mut self) {
        self.hard_errors = 0;
        self.failures = 0;
    }

    /// Pauses after an error, unless it will not pass.
    async fn bear(&mut self, error: CiError) -> Result<(), End> {
        self.failures = self.failures.saturating_add(1);
        if !error.is_passing() {
            self.hard_errors += 1;
        }
        if self.hard_errors >= HARD_ERRORS_MAX {
            return Err(End::Status(Status::Terminal, error.to_string()));
        }
        let shown = json!(format!("{error}, will retry"));
        self.report(Context::from_iter([("ciError".to_owned(), shown)]))
            .await;
        let pause = self.pace.retry(self.failures);
        self.pause(pause).await
    }

    async fn pause_for(&mut self, age_ms: u64) -> Result<(), End> {
        let pause = self.pace.look(age_ms);
        self.pause(pause).await
    }

    async fn pause(&self, time: Duration) -> Result<(), End> {
        if !self.listener.pause(time).await {
            return Err(End::CalledBack);
        }
        if self.age_ms() > self.request.follow_ms_max {
            self.stop().await.ok();
            let said = format!(
                "it did not end within {} ms and was stopped",
                self.request.follow_ms_max
            );
            return Err(End::Status(Status::Terminal, said));
        }
        Ok(())
    }
}

/// The end of a log, read piece by piece.
#[derive(Default)]
struct LogTail {
    text: String,
    next: Option<u64>,
}

impl LogTail {
    /// Reads what is new. A log that cannot be read is not shown.
    async fn read(&mut self, ci: &dyn BuildServer, job: &str, number: u64) {
        let start = self
            .next
            .map_or(LogStart::Tail(LOG_TAIL_BYTES as u64), LogStart::At);
        match ci.log(job, number, start).await {
            Ok(page) => {
                self.text.push_str(&page.text);
                self.next = Some(page.next);
                let over = self.text.len().saturating_sub(LOG_TAIL_BYTES);
                let cut = (over..=self.text.len()).find(|at| self.text.is_char_boundary(*at));
                self.text.drain(..cut.unwrap_or(0));
            }
            Err(error) => tracing::debug!(job, number, %error, "the log of a build cannot be read"),
        }
    }
}
