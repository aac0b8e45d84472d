//! Looks for builds whose notifications were lost.

mod cursor;
mod projects;
#[cfg(test)]
mod tests;

use futures_util::{StreamExt, stream};
use kork_model::InboundEvent;

use cursor::Step;
pub use cursor::{Cursor, JobCursor};
pub(crate) use projects::PAGE;
pub use projects::poll_projects;

use crate::{
    Build, BuildServer, CiError, Jenkins, JobPath,
    jenkins::{BUILD_TREE, JobSummary},
};

/// Jobs that are read at once.
const JOBS_AT_ONCE: usize = 4;
/// `builds` of a job lists only so many.
const BUILDS_MAX: u64 = 100;

/// What a look at all jobs found.
#[derive(Debug, Default)]
pub struct Polled {
    /// Builds that ended since the last look, oldest first. Their ids are those of webhooks.
    pub events: Vec<InboundEvent>,
    /// To be kept, once the events are published, for the next look.
    pub cursor: Cursor,
    /// Builds that were left out, by job: there were more than the controller's threshold.
    pub skipped: Vec<(JobPath, u64)>,
    /// Jobs that could not be read; the next look tries them again.
    pub failed: Vec<(JobPath, CiError)>,
}

/// Looks once at all jobs of a controller.
///
/// The first look of a new cursor reports nothing. A build that still runs is reported when it has ended,
/// whatever ended before it. Fails only when the list of jobs cannot be read.
pub async fn poll_once(jenkins: &Jenkins, cursor: &Cursor) -> Result<Polled, CiError> {
    let started = jenkins.now();
    let jobs = jenkins.jobs().await?;
    let mut polled = Polled::default();
    polled.cursor.polled_ms = started.millis();
    let looks = jobs.into_iter().filter_map(|job| {
        let known = cursor.jobs.get(&job.path);
        let Some(number) = job.last_number else {
            // All builds were deleted, or there were none; numbers go on where they were.
            let known = known.cloned().unwrap_or_default();
            polled.cursor.jobs.insert(job.path, known);
            return None;
        };
        // A job that was made anew counts from 1 again.
        let known = known.filter(|known| known.last <= number);
        match known {
            Some(known) if known.last == number && known.running.is_empty() => {
                polled.cursor.jobs.insert(job.path, known.clone());
                None
            }
            None if cursor.is_new() && !job.last_is_building => {
                polled.cursor.jobs.insert(job.path, JobCursor::at(number));
                None
            }
            known => Some((known.cloned(), job)),
        }
    });
    let looks: Vec<_> = looks.collect();
    let looks = stream::iter(looks).map(async |(known, job)| {
        let builds = builds_since(jenkins, &job, known.as_ref()).await;
        (known, job.path, builds)
    });
    let mut looks = looks.buffered(JOBS_AT_ONCE);
    let mut found = Vec::new();
    while let Some((known, path, builds)) = looks.next().await {
        match builds {
            Ok((builds, unseen)) => {
                let step = step(jenkins, cursor, known, &builds);
                let now = jenkins.now();
                for build in builds.iter().filter(|b| step.reported.contains(&b.number)) {
                    let event = build.event(jenkins.sender(), jenkins.name(), &path, now);
                    found.push(((build.started_ms, build.number), event));
                }
                if step.skipped + unseen > 0 {
                    polled.skipped.push((path.clone(), step.skipped + unseen));
                }
                polled.cursor.jobs.insert(path, step.cursor);
            }
            Err(error) => {
                if let Some(known) = known {
                    polled.cursor.jobs.insert(path.clone(), known);
                }
                polled.failed.push((path, error));
            }
        }
    }
    drop(looks);
    found.sort_by_key(|(order, _)| *order);
    polled.events = found.into_iter().map(|(_, event)| event).collect();
    Ok(polled)
}

/// The builds since the last look and those that were running then; and how many came since that are so old that
/// the job does not list them any more.
async fn builds_since(
    jenkins: &Jenkins,
    job: &JobSummary,
    known: Option<&JobCursor>,
) -> Result<(Vec<Build>, u64), CiError> {
    let none = JobCursor::default();
    let JobCursor { last, running } = known.unwrap_or(&none);
    let first = running.first().map_or(*last, |number| number - 1);
    let newest = job.last_number.unwrap_or(0);
    let count = newest.saturating_sub(first).clamp(1, BUILDS_MAX);
    let mut builds = jenkins
        .newest(&job.path, count as usize, BUILD_TREE)
        .await?;
    let oldest = builds.iter().map(|build| build.number).min().unwrap_or(0);
    let is_full = builds.len() as u64 == BUILDS_MAX;
    for number in running.range(..oldest) {
        match jenkins.read_build(&job.path, *number, BUILD_TREE).await {
            Ok(build) => builds.push(build),
            // It was deleted.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let unseen = oldest.saturating_sub(last + 1);
    let counts = known.is_some() && is_full;
    Ok((builds, if counts { unseen } else { 0 }))
}

fn step(jenkins: &Jenkins, cursor: &Cursor, known: Option<JobCursor>, builds: &[Build]) -> Step {
    let cap = jenkins.controller().item_upper_threshold;
    match known {
        Some(known) => known.step(builds, 0, cap),
        None if cursor.is_new() => JobCursor::default().step(builds, u64::MAX, cap),
        None => JobCursor::default().step(builds, cursor.seen_since_ms(), cap),
    }
}
