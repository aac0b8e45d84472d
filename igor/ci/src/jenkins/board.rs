//! Grouped looks at running builds: one call per job, however many builds of it are followed.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use tokio::sync::Mutex;

use super::{Jenkins, shapes::STATE_TREE};
use crate::{Build, CiError, JobPath};

/// `builds` of a job lists only so many.
const NEWEST_MAX: u64 = 100;
/// Builds that may start between two looks without one more call.
const MARGIN: u64 = 5;
/// A build that nobody asked for during this time is not looked at any more.
const FORGOTTEN_MS: u64 = 120_000;

/// What is followed, by job.
#[derive(Default)]
pub(super) struct Board {
    jobs: std::sync::Mutex<BTreeMap<JobPath, Arc<Mutex<Look>>>>,
}

/// The last look at the builds of one job. Its lock is held during a look, so that there is only one.
#[derive(Default)]
struct Look {
    at_ms: u64,
    newest: u64,
    seen: BTreeMap<u64, Build>,
    failed: Option<Arc<CiError>>,
    /// When each build was last asked for.
    wanted: BTreeMap<u64, u64>,
}

impl Jenkins {
    /// The state of a build, at most `age_ms` old.
    pub(super) async fn look(
        &self,
        job: &JobPath,
        number: u64,
        age_ms: u64,
    ) -> Result<Build, CiError> {
        let now_ms = self.calls.now().millis();
        let look = self.board.of(job, now_ms);
        let mut look = look.lock().await;
        let now_ms = self.calls.now().millis();
        look.wanted.insert(number, now_ms);
        let is_fresh = look.at_ms > 0 && now_ms.saturating_sub(look.at_ms) < age_ms;
        if is_fresh {
            if let Some(error) = &look.failed {
                return Err(CiError::Same(Arc::clone(error)));
            }
            if let Some(build) = look.seen.get(&number) {
                return Ok(build.clone());
            }
            // The last look did not reach back to it; only a newer build makes another look useful.
            if number <= look.newest {
                drop(look);
                return self.state_of(job, number).await;
            }
        }
        look.wanted
            .retain(|_, asked| now_ms.saturating_sub(*asked) < FORGOTTEN_MS);
        let read = self.read_group(job, &look).await;
        look.at_ms = self.calls.now().millis();
        match read {
            Ok(builds) => {
                look.failed = None;
                look.newest = builds.keys().next_back().copied().unwrap_or(0);
                look.seen = builds;
            }
            Err(error) => {
                let error = Arc::new(error);
                look.failed = Some(Arc::clone(&error));
                return Err(CiError::Same(error));
            }
        }
        if let Some(build) = look.seen.get(&number) {
            return Ok(build.clone());
        }
        drop(look);
        self.state_of(job, number).await
    }

    /// The newest builds, as many as it takes to see the oldest one that is followed.
    async fn read_group(
        &self,
        job: &JobPath,
        look: &Look,
    ) -> Result<BTreeMap<u64, Build>, CiError> {
        let oldest = look.wanted.keys().next().copied().unwrap_or(0);
        let newest = look
            .newest
            .max(look.wanted.keys().next_back().copied().unwrap_or(0));
        let mut count = (newest.saturating_sub(oldest) + 1 + MARGIN).min(NEWEST_MAX);
        loop {
            let builds = self.newest(job, count as usize, STATE_TREE).await?;
            let complete =
                builds.len() < count as usize || builds.iter().any(|b| b.number <= oldest);
            if complete || count == NEWEST_MAX {
                return Ok(builds.into_iter().map(|b| (b.number, b)).collect());
            }
            count = NEWEST_MAX;
        }
    }

    /// One build by itself: it is older than what the list of a job shows.
    async fn state_of(&self, job: &JobPath, number: u64) -> Result<Build, CiError> {
        self.read_build(job, number, STATE_TREE).await
    }
}

impl Look {
    fn is_needed(&self, now_ms: u64) -> bool {
        self.wanted
            .values()
            .any(|asked| now_ms.saturating_sub(*asked) < FORGOTTEN_MS)
    }
}

impl Board {
    /// The look at a job; those that nobody needs any more are dropped on the way.
    fn of(&self, job: &JobPath, now_ms: u64) -> Arc<Mutex<Look>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, look| {
            Arc::strong_count(look) > 1 || look.try_lock().is_ok_and(|l| l.is_needed(now_ms))
        });
        Arc::clone(jobs.entry(job.clone()).or_default())
    }
}
