//! How a followed build ends: its status, what it hands on, and how it is stopped.

use std::time::Duration;

use kork_model::{Context, Status};
use serde_json::{Value, json};

use super::{BuildOutcome, End, Follower, Listener};
use crate::{Build, BuildResult, CiError, PropertiesError, PropertyFileError};

/// So often a property file is asked for.
const PROPERTY_TRIES: u32 = 5;
/// How long between two of them.
const PROPERTY_PAUSE: Duration = Duration::from_secs(2);
/// So often a build that nobody waits for any more is told to stop.
/// The pauses between them grow to half a minute: a server that restarts is waited for.
const STOP_TRIES: u32 = 10;

/// The status of a stage by the result of its build.
pub(super) const fn status(result: BuildResult, mark_unstable_as_successful: bool) -> Status {
    match result {
        BuildResult::Success => Status::Succeeded,
        BuildResult::Unstable if mark_unstable_as_successful => Status::Succeeded,
        BuildResult::Unstable | BuildResult::Failure | BuildResult::NotBuilt => Status::Terminal,
        BuildResult::Aborted => Status::Canceled,
    }
}

impl<L: Listener> Follower<'_, L> {
    /// The build runs, and nobody waits for its end.
    pub(super) fn begun(&self, build: &Build) -> BuildOutcome {
        let mut outcome = self.ended(Status::Succeeded, None);
        let info = build.generic(&self.request.job, None);
        outcome.context.insert("buildInfo".to_owned(), info.clone());
        outcome.outputs.insert("buildInfo".to_owned(), info);
        outcome
    }

    pub(super) async fn conclude(&mut self, mut build: Build) -> Result<BuildOutcome, End> {
        let result = build.finished().unwrap_or(BuildResult::Failure);
        let status = status(result, self.request.mark_unstable_as_successful);
        let mut error = match status {
            Status::Succeeded => None,
            _ => Some(format!(
                "build {} of {} ended with {}",
                build.number,
                self.request.job,
                result.name()
            )),
        };
        let mut values = Context::new();
        let mut ended = status;
        match self.properties(&mut build).await? {
            Ok(found) => values = found,
            // Of a failed build the file is only asked for because it may be there.
            Err(failed) if status == Status::Succeeded => {
                ended = Status::Terminal;
                error = Some(failed.to_string());
            }
            Err(_) => {}
        }
        let mut outcome = self.ended(ended, error);
        let info = build.generic(&self.request.job, None);
        let artifacts = info.get("artifacts").cloned().unwrap_or_else(|| json!([]));
        for context in [&mut outcome.context, &mut outcome.outputs] {
            // What the suite writes itself must not be replaced by a file of a build.
            context.extend(values.clone());
            context.insert("buildInfo".to_owned(), info.clone());
            context.insert(
                "propertyFileContents".to_owned(),
                Value::Object(values.clone()),
            );
        }
        outcome.context.extend(self.progress.shown());
        outcome.outputs.insert("artifacts".to_owned(), artifacts);
        Ok(outcome)
    }

    /// The values of the property file; empty when none is asked for.
    async fn properties(&self, build: &mut Build) -> Result<Result<Context, PropertiesError>, End> {
        let Some(file) = self
            .request
            .property_file
            .as_deref()
            .filter(|f| !f.is_empty())
        else {
            return Ok(Ok(Context::new()));
        };
        let mut tries = 1;
        loop {
            let failed = match self.ci.properties(&self.request.job, build, file).await {
                Ok(values) => return Ok(Ok(values)),
                Err(failed) => failed,
            };
            let may_pass = match &failed {
                // Artifacts may be listed a little later than the result.
                PropertiesError::File(PropertyFileError::Missing { .. }) => true,
                PropertiesError::File(_) => false,
                PropertiesError::Server(error) => error.is_passing() || error.is_not_found(),
            };
            if !may_pass || tries == PROPERTY_TRIES {
                return Ok(Err(failed));
            }
            tries += 1;
            self.pause(PROPERTY_PAUSE).await?;
            if let Ok(again) = self.ci.build(&self.request.job, build.number).await {
                *build = again;
            }
        }
    }

    /// Nobody waits any more: nothing of the request may go on.
    pub(super) async fn called_back(&mut self) -> BuildOutcome {
        let mut failed = None;
        for attempt in 0..STOP_TRIES {
            if attempt > 0 {
                let clock = self.ci.clock();
                let pause = self.pace.retry(attempt).as_millis() as u64;
                clock.sleep_until(clock.now().plus_ms(pause)).await;
            }
            if let Err(error) = self.find_open().await {
                failed = Some(error);
                continue;
            }
            match self.stop().await {
                Ok(()) => return self.ended(Status::Canceled, None),
                Err(error) => failed = Some(error),
            }
        }
        let error = failed.map(|error| format!("the build could not be stopped: {error}"));
        self.ended(Status::Canceled, error)
    }

    /// A request without an answer may have left something to stop.
    async fn find_open(&mut self) -> Result<(), CiError> {
        if !self.progress.is_open() {
            return Ok(());
        }
        let Some(prepared) = self.progress.prepared.clone() else {
            return Ok(());
        };
        // A build that cannot be told from those of others is not ours to stop.
        if !prepared.is_unique {
            return Ok(());
        }
        if let Some(started) = self.ci.look_for(self.request, &prepared).await? {
            self.progress.started(started);
        }
        Ok(())
    }

    /// Stops what is known, but not a build that another execution waits for as well.
    pub(super) async fn stop(&self) -> Result<(), CiError> {
        if self.progress.shared {
            return Ok(());
        }
        self.ci
            .stop(&self.request.job, self.progress.item, self.progress.number)
            .await
    }

    pub(super) fn ended(&self, status: Status, error: Option<String>) -> BuildOutcome {
        BuildOutcome {
            status,
            context: self.progress.shown(),
            outputs: Context::new(),
            error,
        }
    }
}
