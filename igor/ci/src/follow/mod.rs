//! A stage that starts a build and waits for it.
//!
//! What is known is handed to the listener before and after every step, so that a worker that is started
//! again goes on with the same build. A request that was not answered is looked for before it is repeated.

mod ending;
mod handed;
mod pace;
mod progress;
mod stopping;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kork_model::{Context, Status};
use serde_json::{Value, json};

pub use progress::{PROGRESS_KEY, Progress};
pub use stopping::stop;

use crate::{
    Build, BuildRequest, BuildServer, CiError,
    server::{Located, LogPage, LogStart},
};
use pace::Pace;

/// Errors in a row that would need somebody to act, after which it is given up.
const HARD_ERRORS_MAX: u32 = 5;
/// How long somebody has to act when a build may be running.
const PATIENCE_MS: u64 = 300_000;
/// So often an unanswered request is looked for before it is repeated, with longer and longer pauses: a server that
/// is too slow to answer in time may take it later.
const LOOKS_BEFORE_REPEAT: u32 = 3;
/// So often a request that was accepted is looked for before it is given up.
const LOOKS_FOR_ACCEPTED: u32 = 40;
/// The end of the log that is shown while a build runs.
pub const LOG_TAIL_BYTES: usize = 4 * 1024;
/// How old the first look at a build may be: a worker that takes up many builds makes few calls.
const FIRST_LOOK_AGE_MS: u64 = 1_000;
/// What is shown of a trouble or a wait, and is over when the build runs or has ended.
const PASSED: [&str; 2] = ["ciError", "queueReason"];
/// The log is read at most this often.
const LOG_EVERY_MS: u64 = 10_000;

/// What the worker is told besides the end.
pub trait Listener: Send + Sync {
    /// Something to show and to keep while the work goes on.
    fn progress(&self, context: Context) -> impl Future<Output = ()> + Send;
    /// Asked right before a build is asked for: what is known must be kept for good by then, or a worker
    /// that comes after would not look for the build and start another one.
    fn may_start(&self, progress: &Progress) -> impl Future<Output = Permit> + Send;
    /// Whether another execution waits for the same build as well; an error says why that is not known.
    fn is_shared(&self, progress: &Progress) -> impl Future<Output = Result<bool, String>> + Send;
    /// Waits; false when the work was called back.
    fn pause(&self, time: Duration) -> impl Future<Output = bool> + Send;
    /// Milliseconds since some fixed moment.
    fn now_ms(&self) -> u64;
}

/// Whether a build may be asked for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    Given,
    /// Not now, for this reason: it is asked again.
    Withheld(String),
    /// The work was called back.
    CalledBack,
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
    /// It took longer than it may.
    TooLong,
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
        hard_since_ms: 0,
        failures: 0,
    };
    if follower.progress.since_ms == 0 {
        follower.progress.since_ms = ci.now().millis();
    }
    match follower.steps().await {
        Ok(outcome) => outcome,
        Err(End::CalledBack) => follower.called_back().await,
        Err(End::TooLong) => follower.gave_up().await,
        Err(End::Status(status, error)) => follower.ended(status, Some(error)),
    }
}

struct Follower<'a, L> {
    ci: &'a dyn BuildServer,
    request: &'a BuildRequest,
    listener: &'a L,
    progress: Progress,
    pace: Pace,
    /// Errors in a row that do not pass by themselves, and when the first was.
    hard_errors: u32,
    hard_since_ms: u64,
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
        let log = self.watch(number).await?;
        let build = self.whole(self.progress.number.unwrap_or(number)).await?;
        self.conclude(build, log).await
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
                    Ok(None) if self.progress.accepted => {
                        looks += 1;
                        self.pause_for(0).await?;
                    }
                    Ok(None) => {
                        looks += 1;
                        let pause = self.pace.retry(looks);
                        self.pause(pause).await?;
                    }
                    Err(error) => self.bear(error).await?,
                }
                continue;
            }
            looks = 0;
            match self.listener.may_start(&self.progress).await {
                Permit::Given => {}
                Permit::CalledBack => return Err(End::CalledBack),
                Permit::Withheld(why) => {
                    self.later(&format!("no build is asked for yet: {why}"))
                        .await?;
                    continue;
                }
            }
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

    /// Until the build has ended; the end of its log.
    async fn watch(&mut self, mut number: u64) -> Result<String, End> {
        let job = self.request.job.clone();
        let mut since_ms = None;
        let mut log_ms = 0;
        let mut age_max_ms = FIRST_LOOK_AGE_MS;
        loop {
            match self.ci.watch(&job, number, age_max_ms).await {
                Ok(build) => {
                    self.well();
                    let is_renumbered = build.number != number;
                    if is_renumbered {
                        number = build.number;
                        self.progress.number = Some(number);
                    }
                    if build.finished().is_some() {
                        return Ok(self.log_tail(number).await);
                    }
                    let now_ms = self.listener.now_ms();
                    let first = since_ms.is_none();
                    let since_ms = *since_ms.get_or_insert(now_ms);
                    if first || is_renumbered || now_ms.saturating_sub(log_ms) >= LOG_EVERY_MS {
                        log_ms = now_ms;
                        self.show(build).await;
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

    async fn show(&mut self, mut build: Build) {
        self.keep_url(&mut build);
        self.progress.url = Some(build.url.clone());
        let info = build.generic(&self.request.job, None);
        let log = self.log_tail(build.number).await;
        let mut context = Context::from_iter(PASSED.map(|name| (name.to_owned(), Value::Null)));
        context.insert("buildInfo".to_owned(), info);
        context.insert("consoleTail".to_owned(), log.into());
        self.report(context).await;
    }

    /// The end of the log, however much was written since the last look. A log that cannot be read is not shown.
    async fn log_tail(&self, number: u64) -> String {
        let start = LogStart::Tail(LOG_TAIL_BYTES as u64);
        match self.ci.log(&self.request.job, number, start).await {
            Ok(page) => tail(&page),
            Err(error) => {
                let job = &self.request.job;
                tracing::debug!(job, number, %error, "the log of a build cannot be read");
                String::new()
            }
        }
    }

    async fn whole(&mut self, number: u64) -> Result<Build, End> {
        loop {
            match self.ci.build(&self.request.job, number).await {
                Ok(mut build) => {
                    self.well();
                    self.keep_url(&mut build);
                    return Ok(build);
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    /// A server that posts may have said where a build is only when it was started.
    fn keep_url(&self, build: &mut Build) {
        if build.url.is_empty() {
            build.url = self.progress.url.clone().unwrap_or_default();
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
        let now_ms = self.ci.now().millis();
        if !error.is_passing() {
            if self.hard_errors == 0 {
                self.hard_since_ms = now_ms;
            }
            self.hard_errors += 1;
        }
        let is_patient = self.progress.may_have_build()
            && error.may_be_mended()
            && now_ms.saturating_sub(self.hard_since_ms) < PATIENCE_MS;
        if self.hard_errors >= HARD_ERRORS_MAX && !is_patient {
            return Err(End::Status(Status::Terminal, error.to_string()));
        }
        self.later(&error.to_string()).await
    }

    /// Shows what does not work now, and pauses.
    async fn later(&mut self, why: &str) -> Result<(), End> {
        self.failures = self.failures.saturating_add(1);
        let shown = json!(format!("{why}, will retry"));
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
            return Err(End::TooLong);
        }
        Ok(())
    }
}

/// The end of a log, in whole characters.
fn tail(page: &LogPage) -> String {
    let over = page.text.len().saturating_sub(LOG_TAIL_BYTES);
    let cut = (over..=page.text.len()).find(|at| page.text.is_char_boundary(*at));
    let text = &page.text[cut.unwrap_or(0)..];
    // The page may begin within a character.
    text.trim_start_matches(char::REPLACEMENT_CHARACTER)
        .to_owned()
}
