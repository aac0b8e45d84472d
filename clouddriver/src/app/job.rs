//! `runJob`: a process that runs to its end.
//!
//! A job is started at most once. When clouddriver ends while a job runs, the job is ended too, and
//! the order fails: whether the job had finished its work is not known.

use kork_model::{Context, Kind, Problem};
use serde_json::json;
use tokio::sync::watch;

use super::{
    Driver, Failure, Order, Outcome,
    deploy::{readable, withdrawn},
    duration_ms,
    ports::{Launch, RunId},
    spec::spec,
};
use crate::domain::{health::HealthCheck, names::Moniker, request::Create, restart::Exit};

/// Lines of output that are reported.
const LOG_TAIL_LINES: usize = 100;
/// A job without a deadline ends after an hour.
const LONGEST_MS: u64 = 3600 * 1000;

impl Driver {
    pub(crate) async fn run_job(&self, order: &Order<'_>) -> Outcome {
        let request: Create = readable(order.payload)?;
        let application = request.application.as_deref().unwrap_or(order.application);
        let moniker = Moniker::new(
            application,
            request.stack.as_deref(),
            request.free_form_details.as_deref(),
        )
        .map_err(|e| Problem::new("CLOUDDRIVER-0004", Kind::Invalid, e.to_string()))?;
        let spec = spec(&self.config, &request, None)?;
        if !self.begin_job(order.key).await? {
            let text = "clouddriver ended while the job ran; whether it finished is not known";
            return Err(Problem::new("CLOUDDRIVER-0021", Kind::Conflict, text).into());
        }
        let name = format!(
            "{}-job-{}",
            moniker.cluster,
            self.ports.ids.ulid().to_lowercase()
        );
        let id = RunId {
            group: name.clone(),
            ordinal: 0,
            run: 1,
        };
        let placed = self
            .artifacts
            .prepare(&name, spec.artifact.as_ref())
            .await?;
        let (sender, mut ended) = watch::channel(None);
        self.jobs().insert(id.clone(), sender);
        let launch = Launch {
            id: id.clone(),
            command: spec.command,
            env: spec.env,
            dir: placed.dir,
            artifact: placed.file,
            ports: spec.ports,
            health: HealthCheck::default(),
            liveness: None,
        };
        let outcome = match self.processes.start(launch).await {
            Ok(_) => {
                let deadline = order
                    .deadline
                    .unwrap_or_else(|| self.now().plus_ms(LONGEST_MS));
                let exit = tokio::select! {
                    exit = ended.wait_for(Option::is_some) => exit.ok().and_then(|e| *e),
                    () = order.stop.cancelled() => None,
                    () = self.ports.clock.sleep_until(deadline) => None,
                };
                if exit.is_none() {
                    self.processes
                        .stop(&id, duration_ms(spec.stop_grace_ms))
                        .await;
                }
                self.job_outcome(order, &id, exit).await
            }
            Err(problem) => Err(problem.into()),
        };
        self.jobs().remove(&id);
        self.processes.forget(&name).await;
        if let Err(problem) = self.artifacts.remove(&name).await {
            tracing::warn!(%problem, job = name, "files of a job are left");
        }
        outcome
    }

    async fn job_outcome(&self, order: &Order<'_>, id: &RunId, exit: Option<Exit>) -> Outcome {
        let lines = self.processes.tail(id, LOG_TAIL_LINES).await;
        let lines: Vec<String> = lines.into_iter().map(|l| l.line).collect();
        let mut outputs = properties(&lines);
        outputs.insert("jobName".to_owned(), json!(id.group));
        outputs.insert("logTail".to_owned(), json!(lines));
        let problem = match exit {
            Some(exit) if exit.is_success() => {
                outputs.insert("exitCode".to_owned(), json!(0));
                return Ok(outputs);
            }
            Some(exit) => {
                if let Exit::Code { code } = exit {
                    outputs.insert("exitCode".to_owned(), json!(code));
                }
                Problem::new(
                    "CLOUDDRIVER-0021",
                    Kind::Conflict,
                    format!("the job {} {exit}", id.group),
                )
            }
            None if order.stop.is_cancelled() => withdrawn(),
            None => {
                let text = format!("the job {} did not end in time and was stopped", id.group);
                Problem::new("CLOUDDRIVER-0021", Kind::Timeout, text)
            }
        };
        let problem = problem.with_data(json!({"logTail": lines}));
        Err(Box::new(Failure {
            problem,
            context: outputs,
        }))
    }
}

/// Lines of the form `SPINNAKER_PROPERTY_NAME=value` become outputs, their names in lower case, as
/// Spinnaker's jobs give them.
fn properties(lines: &[String]) -> Context {
    let pairs = lines.iter().filter_map(|line| {
        line.trim()
            .strip_prefix("SPINNAKER_PROPERTY_")?
            .split_once('=')
    });
    let named = pairs.filter(|(name, _)| !name.is_empty());
    named
        .map(|(name, value)| (name.to_ascii_lowercase(), json!(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_from_lines_of_output() {
        let lines = [
            "hello",
            "SPINNAKER_PROPERTY_VERSION=1=2",
            "SPINNAKER_PROPERTY_=x",
            "A=b",
        ];
        let found = properties(&lines.map(str::to_owned));
        assert_eq!(found, *json!({"version": "1=2"}).as_object().unwrap());
    }
}
