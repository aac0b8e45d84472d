//! The server without HTTP: jobs, queue, builds and a clock that moves only when told to.

mod build;
mod job;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

pub use build::Build;
pub use job::{Checkout, Force, Job, Kind, Parameter, ParameterKind, Script, Tests};
pub use queue::{Item, ItemState};

/// How long an item that left the queue is remembered.
pub const LEFT_ITEM_MS: u64 = 300_000;
/// The clock of a new server.
pub const START_MS: u64 = 1_788_240_000_000;

/// A phase of a build, as the Notification plugin names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Queued,
    Started,
    Completed,
    Finalized,
}

/// Something to be told to the receivers of notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub path: Vec<String>,
    pub number: u64,
    pub phase: Phase,
    pub at_ms: u64,
}

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no such job")]
    NotFound,
    #[error("the job is disabled")]
    Disabled,
    #[error("a queue decision handler vetoed it")]
    Vetoed,
    #[error("the job has parameters and the request has no form for them")]
    NeedsForm,
    #[error("the job has no parameters")]
    NoParameters,
    #[error("the value of a choice is not one of its choices")]
    BadChoice,
}

/// An accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub item: u64,
    /// An equal item was waiting already.
    pub folded: bool,
}

/// What cancelling an item came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    Done,
    Unknown,
    /// It has left the queue, and is still remembered.
    Left,
    NotPossible,
}

/// Everything that a Jenkins controller remembers.
#[derive(Debug, Clone)]
pub struct State {
    pub now_ms: u64,
    pub jobs: BTreeMap<Vec<String>, Job>,
    pub items: BTreeMap<u64, Item>,
    pub builds: BTreeMap<Vec<String>, BTreeMap<u64, Build>>,
    /// How many builds run at once at most.
    pub executors: usize,
    /// Items that cannot be cancelled: cancelling is answered with 422.
    pub uncancellable: bool,
    pub notices: VecDeque<Notice>,
    next_item: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now_ms: START_MS,
            jobs: BTreeMap::new(),
            items: BTreeMap::new(),
            builds: BTreeMap::new(),
            executors: usize::MAX,
            uncancellable: false,
            notices: VecDeque::new(),
            next_item: 5_000,
        }
    }
}

impl State {
    /// Adds a job or a folder; missing folders above it are made.
    pub fn add_job(&mut self, path: &[String], job: Job) {
        for end in 1..path.len() {
            let above = self.jobs.entry(path[..end].to_vec());
            above.or_insert_with(|| Job::folder(Kind::Folder));
        }
        self.jobs.insert(path.to_vec(), job);
    }

    /// The job, unless it is hidden or below something hidden.
    pub fn job(&self, path: &[String]) -> Option<&Job> {
        let seen = (1..=path.len()).all(|end| {
            let above = self.jobs.get(&path[..end]);
            above.is_some_and(|job| !job.hidden)
        });
        seen.then(|| self.jobs.get(path)).flatten()
    }

    /// A build of a visible job.
    pub fn build(&self, path: &[String], number: u64) -> Option<&Build> {
        self.job(path)?;
        self.builds.get(path)?.get(&number)
    }

    /// A build, to be changed.
    pub fn build_mut(&mut self, path: &[String], number: u64) -> Option<&mut Build> {
        self.job(path)?;
        self.builds.get_mut(path)?.get_mut(&number)
    }

    /// Asks for a build. `given` is `None` for `/build`, the fields for `/buildWithParameters`.
    pub fn trigger(
        &mut self,
        path: &[String],
        given: Option<&BTreeMap<String, String>>,
        delay_ms: Option<u64>,
    ) -> Result<Accepted, Refusal> {
        let job = self.job(path).filter(|job| !job.kind.is_folder());
        let job = job.ok_or(Refusal::NotFound)?;
        if job.disabled {
            return Err(Refusal::Disabled);
        }
        let parameters = match given {
            None if !job.parameters.is_empty() => return Err(Refusal::NeedsForm),
            Some(_) if job.parameters.is_empty() => return Err(Refusal::NoParameters),
            None => BTreeMap::new(),
            Some(given) => declared(job, given)?,
        };
        if job.vetoed {
            return Err(Refusal::Vetoed);
        }
        let until_ms = self.now_ms + delay_ms.unwrap_or(job.quiet_ms);
        let equal = self
            .items
            .values()
            .find(|item| item.is_queued() && item.path == path && item.parameters == parameters);
        if let Some(item) = equal {
            return Ok(Accepted {
                item: item.id,
                folded: true,
            });
        }
        self.next_item += 1;
        let id = self.next_item;
        let item = Item {
            id,
            path: path.to_vec(),
            parameters,
            since_ms: self.now_ms,
            state: ItemState::Waiting { until_ms },
        };
        self.items.insert(id, item);
        self.settle();
        Ok(Accepted {
            item: id,
            folded: false,
        })
    }

    /// Cancels an item that is still queued.
    pub fn cancel_item(&mut self, id: u64) -> Cancelled {
        let now_ms = self.now_ms;
        match self.items.get_mut(&id) {
            Some(item) if item.is_queued() && self.uncancellable => {
                debug_assert!(item.id == id);
                Cancelled::NotPossible
            }
            Some(item) if item.is_queued() => {
                item.state = ItemState::Left {
                    left_ms: now_ms,
                    number: None,
                };
                Cancelled::Done
            }
            Some(_) => Cancelled::Left,
            None => Cancelled::Unknown,
        }
    }

    /// Stops a build; false when there is none.
    pub fn stop(&mut self, path: &[String], number: u64, how: Force) -> bool {
        let now_ms = self.now_ms;
        let Some(build) = self.build_mut(path, number) else {
            return false;
        };
        let ran = build.is_building();
        if build.stop(how, now_ms) && ran {
            self.note(path, number, Phase::Completed);
            self.settle();
        }
        true
    }

    /// Moves the clock, through everything that happens on the way.
    pub fn advance(&mut self, ms: u64) {
        let until = self.now_ms.saturating_add(ms);
        while let Some(next) = self.next_ms().filter(|next| *next <= until) {
            self.now_ms = next.max(self.now_ms);
            self.settle();
        }
        self.now_ms = until;
        self.settle();
    }

    /// The next moment at which something happens by itself.
    fn next_ms(&self) -> Option<u64> {
        let quiet = self.items.values().filter_map(|item| match item.state {
            ItemState::Waiting { until_ms } => Some(until_ms),
            ItemState::Blocked | ItemState::Buildable | ItemState::Left { .. } => None,
        });
        let builds = self.builds.values().flat_map(BTreeMap::values);
        quiet.chain(builds.filter_map(Build::next_ms)).min()
    }

    /// Everything that is due now: ends of builds, starts of items, what is to be forgotten.
    fn settle(&mut self) {
        let now_ms = self.now_ms;
        let mut noted = Vec::new();
        for build in self.builds.values_mut().flat_map(BTreeMap::values_mut) {
            if build.next_ms().is_some_and(|due| due <= now_ms) && build.end_ms.is_none() {
                build.end_ms = Some(build.start_ms + build.script.duration_ms);
                noted.push((build.path.clone(), build.number, Phase::Completed));
            }
            if build.next_ms().is_some_and(|due| due <= now_ms) {
                build.finalized = true;
                noted.push((build.path.clone(), build.number, Phase::Finalized));
            }
        }
        for (path, number, phase) in noted {
            self.note(&path, number, phase);
        }
        let queued: Vec<u64> = self
            .items
            .values()
            .filter(|i| i.is_queued())
            .map(|i| i.id)
            .collect();
        for id in queued {
            self.step_item(id);
        }
        self.items.retain(|_, item| match item.state {
            ItemState::Left { left_ms, .. } => now_ms < left_ms + LEFT_ITEM_MS,
            ItemState::Waiting { .. } | ItemState::Blocked | ItemState::Buildable => true,
        });
    }

    fn running(&self) -> usize {
        let builds = self.builds.values().flat_map(BTreeMap::values);
        builds.filter(|b| b.is_building()).count()
    }

    fn step_item(&mut self, id: u64) {
        let (now_ms, free) = (self.now_ms, self.running() < self.executors);
        let Some(item) = self.items.get_mut(&id) else {
            return;
        };
        if matches!(item.state, ItemState::Waiting { until_ms } if until_ms > now_ms) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&item.path) else {
            return;
        };
        let builds = self.builds.entry(item.path.clone()).or_default();
        if !job.concurrent && builds.values().any(Build::is_building) {
            item.state = ItemState::Blocked;
            return;
        }
        if !free {
            item.state = ItemState::Buildable;
            return;
        }
        let number = job.next_number;
        job.next_number += 1;
        item.state = ItemState::Left {
            left_ms: now_ms,
            number: Some(number),
        };
        let build = Build {
            number,
            queue_id: id,
            path: item.path.clone(),
            kind: job.kind,
            parameters: item.parameters.clone(),
            script: job.script.clone(),
            queued_ms: item.since_ms,
            start_ms: now_ms,
            end_ms: None,
            finalized: false,
            aborted: false,
            description: None,
        };
        let path = build.path.clone();
        builds.insert(number, build);
        self.note(&path, number, Phase::Queued);
        self.note(&path, number, Phase::Started);
    }

    fn note(&mut self, path: &[String], number: u64, phase: Phase) {
        self.notices.push_back(Notice {
            path: path.to_vec(),
            number,
            phase,
            at_ms: self.now_ms,
        });
    }
}

/// The declared parameters with given values or defaults; unknown names are dropped without a word.
fn declared(
    job: &Job,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut values = BTreeMap::new();
    for parameter in &job.parameters {
        let value = given.get(&parameter.name).unwrap_or(&parameter.default);
        if !parameter.choices.is_empty() && !parameter.choices.contains(value) {
            return Err(Refusal::BadChoice);
        }
        values.insert(parameter.name.clone(), parameter.kind.kept(value));
    }
    Ok(values)
}
