//! Builds that somebody told of: what they are, and what is in their property files.

use igor_ci::{Build, BuildServer, CiError, PropertiesError, server::Projects};
use kork_model::{Context, InboundEvent, Kind, Problem, inbound::Verified};
use serde_json::Value;

use super::{
    Igor,
    builds::{path, problem},
    hints,
};

/// How long a build is asked for again that is said to have ended and runs: as long as a pipeline that tells of
/// itself may take to end.
const ENDING_WAIT_MS: u64 = 10 * 60_000;

impl Igor {
    /// A build as its controller shows it, whatever its messenger says; none when there is no such build.
    pub(crate) async fn complete_build(
        &self,
        told: InboundEvent,
        property_files: &[String],
    ) -> Result<Option<InboundEvent>, Problem> {
        let (Some(job), Some(number)) = (told.job.clone(), told.build_number) else {
            return Ok(None);
        };
        let master = hints::master(&told).to_owned();
        let server = self.build_server(&master)?;
        if let Some(projects) = server.projects() {
            return self
                .complete_seen((&*server, projects), told, property_files)
                .await;
        }
        let jenkins = self.jenkins(&master)?;
        let path = path(&job)?;
        let build = match BuildServer::build(&*jenkins, &job, number).await {
            Ok(build) => build,
            Err(error) if error.is_not_found() => {
                tracing::warn!(
                    controller = master,
                    job,
                    number,
                    "a build was told of that is not there"
                );
                return Ok(None);
            }
            Err(error) => return Err(problem(&error)),
        };
        if build.finished().is_none() {
            return self.not_yet(&told, &job, number);
        }
        let files = files_of(&*jenkins, &job, &build, property_files).await?;
        let mut event = build.event("jenkins", &master, &path, told.received);
        if !files.is_empty() {
            event
                .trigger
                .insert("propertyFiles".to_owned(), Value::Object(files));
        }
        event.artifacts.extend(told.artifacts);
        Ok(Some(InboundEvent {
            id: told.id,
            parameters: told.parameters,
            delivery: told.delivery,
            verified: Verified::Fetched,
            traceparent: told.traceparent,
            payload: told.payload,
            ..event
        }))
    }

    /// A pipeline of GitLab or a run of GitHub. One whose sender proved itself is as it says; its server is asked for
    /// property files, and for a build of which nothing but the number is known.
    async fn complete_seen(
        &self,
        (server, projects): (&dyn BuildServer, &dyn Projects),
        mut told: InboundEvent,
        property_files: &[String],
    ) -> Result<Option<InboundEvent>, Problem> {
        let is_known = told.result.is_some();
        told.incomplete = false;
        if is_known && property_files.is_empty() {
            return Ok(Some(told));
        }
        let seen = match seen(projects, &told).await {
            Ok(seen) => seen,
            Err(error) if is_known && !error.is_passing() => {
                tracing::warn!(event = told.id, %error, "the property files of a build count as empty");
                None
            }
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(problem(&error)),
        };
        let Some((number, event)) = seen else {
            return Ok(is_known.then_some(told));
        };
        let (job, shown) = (told.job.clone().unwrap_or_default(), told.build_number);
        if !is_known {
            if event.result.is_none() {
                return self.not_yet(&told, &job, shown.unwrap_or_default());
            }
            told = InboundEvent {
                id: told.id,
                received: told.received,
                traceparent: told.traceparent,
                parameters: told.parameters,
                ..event
            };
        }
        let build = match server.build(&job, number).await {
            Ok(build) => build,
            Err(error) if is_known && !error.is_passing() => return Ok(Some(told)),
            Err(error) => return Err(problem(&error)),
        };
        let files = files_of(server, &job, &build, property_files).await?;
        if !files.is_empty() {
            told.trigger
                .insert("propertyFiles".to_owned(), Value::Object(files));
        }
        let info = build.generic(&job, None);
        told.trigger.insert("buildInfo".to_owned(), info);
        told.artifacts.extend(build.as_artifacts());
        Ok(Some(told))
    }

    /// It is asked for again, for a while.
    fn not_yet(
        &self,
        told: &InboundEvent,
        job: &str,
        number: u64,
    ) -> Result<Option<InboundEvent>, Problem> {
        if self.ports.clock.now().ms_since(told.received) > ENDING_WAIT_MS {
            // Whoever looks at all builds of the controller tells of it when it has ended.
            return Ok(None);
        }
        let text = format!("build {number} of {job} has not ended yet");
        Err(Problem::new("IGOR-0010", Kind::Unavailable, text).retry_after(2))
    }
}

/// The number of a build by which its server knows it, and what it is; none when it starts nothing.
async fn seen(
    projects: &dyn Projects,
    told: &InboundEvent,
) -> Result<Option<(u64, InboundEvent)>, CiError> {
    let (Some(job), Some(number)) = (told.job.as_deref(), told.build_number) else {
        return Ok(None);
    };
    let Some((project, number)) = projects.find(job, number, told.url.as_deref()).await? else {
        return Ok(None);
    };
    let (_, event) = projects.seen(&project, number).await?;
    Ok(event.map(|event| (number, event)))
}

/// The contents of property files, by name.
async fn files_of(
    server: &dyn BuildServer,
    job: &str,
    build: &Build,
    wanted: &[String],
) -> Result<Context, Problem> {
    let mut files = Context::new();
    for file in wanted {
        let properties = server.properties(job, build, file).await;
        let properties = properties.or_else(|error| nothing_in(&error, file))?;
        files.insert(file.clone(), Value::Object(properties));
    }
    Ok(files)
}

/// A file that is not there, or cannot be read, holds nothing: a trigger that wants something of it does not
/// match.
fn nothing_in(error: &PropertiesError, file: &str) -> Result<Context, Problem> {
    match error {
        PropertiesError::Server(error) if error.is_passing() => Err(problem(error)),
        error => {
            tracing::warn!(file, %error, "a property file counts as empty");
            Ok(Context::new())
        }
    }
}
