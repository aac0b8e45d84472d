//! How a followed build ends: its status, and what it hands on.

use std::time::Duration;

use kork_model::{Context, Status};
use serde_json::Value;

use super::{
    BuildOutcome, End, Follower, Listener, PASSED,
    handed::{Handed, Left, hand_on},
    stop,
};
use crate::{Build, BuildResult, PropertiesError, PropertyFileError};

/// So often a property file is asked for.
const PROPERTY_TRIES: u32 = 10;
/// How long between two of them.
const PROPERTY_PAUSE: Duration = Duration::from_secs(2);

/// The status of a stage by the result of its build.
pub(super) const fn status(result: BuildResult, mark_unstable_as_successful: bool) -> Status {
    match result {
        BuildResult::Success => Status::Succeeded,
        BuildResult::Unstable if mark_unstable_as_successful => Status::Succeeded,
        BuildResult::Unstable | BuildResult::Failure | BuildResult::NotBuilt => Status::Terminal,
        BuildResult::Aborted => Status::Canceled,
    }
}

/// A build without its properties is no success. Of a failed build the file is only asked for because it may
/// be there.
fn fail(ended: &mut BuildOutcome, error: String) {
    if ended.status == Status::Succeeded {
        ended.status = Status::Terminal;
        ended.error = Some(error);
    }
}

impl<L: Listener> Follower<'_, L> {
    /// The build runs, and nobody waits for its end.
    pub(super) fn begun(&self, build: &Build) -> BuildOutcome {
        self.handed(build, Context::new(), self.ended(Status::Succeeded, None))
    }

    pub(super) async fn conclude(
        &mut self,
        mut build: Build,
        log: String,
    ) -> Result<BuildOutcome, End> {
        let result = build.finished().unwrap_or(BuildResult::Failure);
        let status = status(result, self.request.mark_unstable_as_successful);
        let said = format!(
            "build {} of {} ended with {}",
            build.number,
            self.request.job,
            result.name()
        );
        let mut ended = self.ended(status, (status != Status::Succeeded).then_some(said));
        ended.context.insert("consoleTail".to_owned(), log.into());
        let values = match self.properties(&mut build).await? {
            Ok(values) => values,
            Err(failed) => {
                fail(&mut ended, failed.to_string());
                Context::new()
            }
        };
        Ok(self.handed(&build, values, ended))
    }

    /// An outcome with what the build left, as much of it as a stage may hold.
    fn handed(&self, build: &Build, values: Context, mut ended: BuildOutcome) -> BuildOutcome {
        let (shown, max) = (ended.context.clone(), self.request.result_bytes_max);
        let left = |values| Left {
            shown: shown.clone(),
            values,
            info: build.generic(&self.request.job, None),
        };
        let handed = hand_on(left(values), max).or_else(|error| {
            fail(&mut ended, error);
            hand_on(left(Context::new()), max)
        });
        if let Ok(Handed { context, outputs }) = handed {
            (ended.context, ended.outputs) = (context, outputs);
        }
        ended
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
        let error = self.stop().await.err();
        self.ended(Status::Canceled, error)
    }

    /// It takes too long.
    pub(super) async fn gave_up(&mut self) -> BuildOutcome {
        let stopped = match self.stop().await {
            Ok(()) => "was stopped".to_owned(),
            Err(error) => error,
        };
        let limit_ms = self.request.follow_ms_max;
        let said = format!("it did not end within {limit_ms} ms; {stopped}");
        self.ended(Status::Terminal, Some(said))
    }

    async fn stop(&mut self) -> Result<(), String> {
        let is_shared = self.listener.is_shared(&self.progress).await?;
        self.progress.shared |= is_shared;
        stop(self.ci, self.request, &mut self.progress)
            .await
            .map_err(|error| format!("the build could not be stopped: {error}"))
    }

    pub(super) fn ended(&self, status: Status, error: Option<String>) -> BuildOutcome {
        let mut context = self.progress.shown();
        context.extend(PASSED.map(|name| (name.to_owned(), Value::Null)));
        BuildOutcome {
            status,
            context,
            outputs: Context::new(),
            error,
        }
    }
}
