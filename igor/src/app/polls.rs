//! Looks at what nobody tells of: registries and repositories. Each is looked at in its own time; what is
//! new is stored as an event before the cursor moves on, so that a look that is cut off is done again, and
//! what it says again has the same id.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use igor_ci::{CiError, config::Kind as CiKind, poll};
use igor_watch::{
    Cursor, Error, Polled, Schedule, ScheduleError,
    git::{self, SourceType},
    poll_registry, registry,
};
use kork::ports::{Condition, ObjectStoreError};
use kork_model::{Context, InboundEvent, Problem, Timestamp, inbound::EventKind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Igor, accounts::Accounts, fingerprint};

/// How often it is seen what is due.
const TICK: Duration = Duration::from_millis(500);
/// Looks at the same time.
const AT_ONCE: usize = 16;
/// Keys of controllers begin so.
const CONTROLLER: &str = "controller/";
/// Pause before a look whose outcome could not be stored is done again.
const AGAIN_MS: u64 = 2_000;
/// Folder of the cursors.
const FOLDER: &str = "igor/cursors/";

/// What is looked at.
#[derive(Clone)]
enum Thing {
    Images(Arc<registry::Client>, String),
    Git(Arc<git::Client>),
    /// A CI server, by its name.
    Builds(String),
    /// It cannot be looked at; why.
    Wrong(String),
}

struct Watched {
    thing: Thing,
    /// Its configuration: another one is another thing.
    made_of: u64,
    schedule: Schedule,
    is_busy: bool,
}

/// All that is looked at, by key.
pub(crate) struct Polls {
    http: reqwest::Client,
    inner: Mutex<BTreeMap<String, Watched>>,
}

impl Polls {
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Watched>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of a registry that is watched.
    pub(crate) fn registry(&self, image: &str) -> Option<Arc<registry::Client>> {
        self.lock()
            .values()
            .find_map(|watched| match &watched.thing {
                Thing::Images(client, _) if client.holds(image) => Some(Arc::clone(client)),
                _ => None,
            })
    }

    /// The id that a look gives to a push of a repository that is watched: whoever tells of it first, it counts
    /// once.
    pub(crate) fn id_of_push(&self, event: &InboundEvent) -> Option<String> {
        let (repository, commit) = (event.repository.as_deref()?, event.commit.as_deref()?);
        let name = match (&event.branch, &event.tag) {
            (Some(branch), None) => format!("refs/heads/{branch}"),
            (None, Some(tag)) => format!("refs/tags/{tag}"),
            _ => return None,
        };
        // As the senders write it; the old add-on of Bitbucket Server writes nothing.
        let action = event.action.as_deref().unwrap_or_default();
        let is_push = action.starts_with("push")
            || matches!(action, "tag_push" | "repo:push" | "repo:refs_changed" | "");
        let inner = self.lock();
        let place = inner.values().find_map(|watched| match &watched.thing {
            Thing::Git(client) => {
                let (host, path) = client.place().split_once('/')?;
                let is_it = match client.config().source {
                    SourceType::Github => event.sender == "github",
                    SourceType::Gitlab => event.sender == "gitlab",
                    SourceType::Bitbucket => event.sender == "bitbucket",
                    SourceType::Stash => event.sender == "bitbucketServer",
                    // Whatever serves it: its address tells.
                    SourceType::Git => event.url.as_deref().is_some_and(|url| is_at(url, host)),
                };
                // Bitbucket Data Center serves repositories below /scm.
                let path = path.strip_prefix("scm/").unwrap_or(path);
                (is_it && path.eq_ignore_ascii_case(repository)).then(|| client.place().to_owned())
            }
            _ => None,
        })?;
        (event.kind == EventKind::Git && is_push).then(|| format!("git:{place}:{name}:{commit}"))
    }

    /// Follows the accounts: what is new is looked at soon, what is gone no more.
    fn follow(&self, accounts: &Accounts, now: Timestamp, chance: impl Fn() -> f64) {
        let mut inner = self.lock();
        let mut known = BTreeSet::new();
        let mut watch = |key: String, made_of: u64, poll_ms: u64, thing: &dyn Fn() -> Thing| {
            if inner
                .get(&key)
                .is_none_or(|watched| watched.made_of != made_of)
            {
                let watched = Watched {
                    thing: thing(),
                    made_of,
                    schedule: Schedule::new(poll_ms, now, chance()),
                    is_busy: false,
                };
                inner.insert(key.clone(), watched);
            }
            known.insert(key);
        };
        for registry in &accounts.registries {
            let made_of = fingerprint(registry, &[&registry.password]);
            for repository in &registry.repositories {
                let key = format!("registry/{}/{repository}", registry.name);
                watch(
                    key,
                    made_of,
                    registry.poll_ms,
                    &|| match registry::Client::new(self.http.clone(), registry) {
                        Ok(client) => Thing::Images(Arc::new(client), repository.clone()),
                        Err(error) => Thing::Wrong(error.to_string()),
                    },
                );
            }
        }
        for repository in &accounts.repositories {
            let key = format!("git/{}", repository.name);
            watch(
                key,
                fingerprint(repository, &[&repository.password]),
                repository.poll_ms,
                &|| match git::Client::new(self.http.clone(), repository) {
                    Ok(client) => Thing::Git(Arc::new(client)),
                    Err(error) => Thing::Wrong(error.to_string()),
                },
            );
        }
        for controller in accounts.ci_servers() {
            if let Some(poll_ms) = controller.poll_every_ms() {
                let key = format!("{CONTROLLER}{}", controller.name);
                let name = controller.name.clone();
                // Each look asks for the client anew: another password makes no other thing of it.
                let made_of = fingerprint(controller, &[]);
                watch(key, made_of, poll_ms, &|| Thing::Builds(name.clone()));
            }
        }
        inner.retain(|key, _| known.contains(key));
    }

    /// Takes what is due, up to as many as may be looked at.
    fn take_due(&self, now: Timestamp) -> Vec<(String, Thing)> {
        let mut inner = self.lock();
        let busy = inner.values().filter(|watched| watched.is_busy).count();
        let due = inner.iter_mut().filter(|(_, watched)| {
            !watched.is_busy
                && !matches!(watched.thing, Thing::Wrong(_))
                && watched.schedule.is_due(now)
        });
        due.take(AT_ONCE.saturating_sub(busy))
            .map(|(key, watched)| {
                watched.is_busy = true;
                (key.clone(), watched.thing.clone())
            })
            .collect()
    }

    fn looked(&self, key: &str, looked: Result<Polled, Failed>, now: Timestamp, chance: f64) {
        if let Some(watched) = self.lock().get_mut(key) {
            watched.is_busy = false;
            match looked {
                Ok(polled) => watched.schedule.polled(&Ok(polled), now, chance),
                Err(failed) => {
                    let error = ScheduleError {
                        message: failed.message,
                        passing: failed.passing,
                    };
                    watched.schedule.failed(error, failed.pause_ms, now, chance);
                }
            }
        }
    }

    /// As it is shown to people.
    pub(crate) fn shown(&self) -> Vec<Context> {
        let inner = self.lock();
        // Controllers have a line of their own.
        let shown = inner.iter().filter(|(key, _)| !key.starts_with(CONTROLLER));
        let row = |(key, watched): (&String, &Watched)| {
            let (kind, name) = key.split_once('/').unwrap_or((key, ""));
            let schedule = &watched.schedule;
            let error = match &watched.thing {
                Thing::Wrong(why) => Some(why.clone()),
                _ => schedule.last_error.as_ref().map(|e| e.message.clone()),
            };
            Context::from_iter([
                ("name".to_owned(), json!(name)),
                ("type".to_owned(), json!(kind)),
                ("lastPoll".to_owned(), json!(schedule.last_poll)),
                ("nextPoll".to_owned(), json!(schedule.next)),
                ("warnings".to_owned(), json!(schedule.warnings)),
                ("error".to_owned(), json!(error)),
            ])
        };
        shown.map(row).collect()
    }

    /// When the builds of a controller were looked at last, and why that failed.
    pub(crate) fn of_controller(&self, name: &str) -> Option<Schedule> {
        let inner = self.lock();
        let watched = inner.get(&format!("{CONTROLLER}{name}"))?;
        Some(watched.schedule.clone())
    }
}

/// Whether an address is on a host, `host[:port]`.
fn is_at(url: &str, host: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next() == Some(host)
}

/// Starts to look.
pub(crate) fn spawn(igor: &Arc<Igor>) {
    let igor = Arc::clone(igor);
    igor.shutdown.clone().spawn_until_requested(async move {
        loop {
            let now = igor.ports.clock.now();
            igor.polls
                .follow(&igor.accounts.now(), now, || igor.chance());
            for (key, thing) in igor.polls.take_due(now) {
                let igor = Arc::clone(&igor);
                igor.shutdown.clone().spawn_until_requested(async move {
                    igor.look(&key, &thing).await;
                });
            }
            tokio::time::sleep(TICK).await;
        }
    });
}

impl Igor {
    /// A number between 0 and 1 that is another one each time.
    pub(crate) fn chance(&self) -> f64 {
        let mut hasher = DefaultHasher::new();
        self.ports.ids.uuid().hash(&mut hasher);
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }

    async fn look(&self, key: &str, thing: &Thing) {
        let looked = match thing {
            Thing::Images(client, repository) => {
                self.look_with(key, async |cursor: Option<Cursor>, now| {
                    let polled = poll_registry(client, repository, cursor.as_ref(), now).await?;
                    Ok(Look::of(polled))
                })
                .await
            }
            Thing::Git(client) => {
                self.look_with(key, async |cursor: Option<Cursor>, now| {
                    let polled = git::poll_git(client, cursor.as_ref(), now).await?;
                    Ok(Look::of(polled))
                })
                .await
            }
            Thing::Builds(name) => {
                self.look_with(key, async |cursor: Option<poll::Cursor>, _| {
                    self.look_at_builds(name, &cursor.unwrap_or_default()).await
                })
                .await
            }
            Thing::Wrong(_) => return,
        };
        if let Err(failed) = &looked {
            tracing::warn!(watched = key, error = failed.message, "a look failed");
        }
        let now = self.ports.clock.now();
        self.polls.looked(key, looked, now, self.chance());
    }

    async fn look_at_builds(
        &self,
        name: &str,
        cursor: &poll::Cursor,
    ) -> Result<Look<poll::Cursor>, Failed> {
        let accounts = self.accounts.now();
        let known = accounts.controller(name);
        let projects = known.filter(|controller| controller.kind != CiKind::Jenkins);
        let mut found = if let Some(controller) = projects {
            let server = self
                .build_server(name)
                .map_err(|problem| Failed::of(&problem))?;
            let (projects, most) = (&controller.projects, controller.item_upper_threshold);
            poll::poll_projects(&*server, projects, most, cursor).await?
        } else {
            let jenkins = self.jenkins(name).map_err(|problem| Failed::of(&problem))?;
            poll::poll_once(&jenkins, cursor).await?
        };
        for event in &mut found.events {
            // Triggers may want a property file.
            event.incomplete = true;
        }
        Ok(of_builds(found))
    }

    /// Reads the cursor, looks, stores what is new, and moves the cursor on; in this order.
    async fn look_with<C: Serialize + DeserializeOwned + PartialEq + Clone>(
        &self,
        key: &str,
        look: impl AsyncFnOnce(Option<C>, Timestamp) -> Result<Look<C>, Failed>,
    ) -> Result<Polled, Failed> {
        let object = format!("{FOLDER}{key}.json");
        let found = self.ports.objects.get(&object).await?;
        let cursor: Option<C> = found
            .as_ref()
            .and_then(|object| serde_json::from_slice(&object.body).ok());
        let mut looked = look(cursor.clone(), self.ports.clock.now()).await?;
        self.name_looked(&mut looked.events).await;
        self.store(&looked.events)
            .await
            .map_err(|problem| Failed::of(&problem))?;
        if cursor.as_ref() != Some(&looked.cursor) {
            let body = serde_json::to_vec(&looked.cursor).unwrap_or_default();
            let condition = match found {
                Some(object) => Condition::IfMatch(object.info.etag),
                None => Condition::IfAbsent,
            };
            let put = self
                .ports
                .objects
                .put(&object, Bytes::from(body), condition);
            match put.await {
                // Another igor has looked at the same time, and told the same.
                Ok(_) | Err(ObjectStoreError::ConditionFailed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(looked.polled)
    }
}

/// What a look found.
struct Look<C> {
    events: Vec<InboundEvent>,
    cursor: C,
    polled: Polled,
}

impl Look<Cursor> {
    fn of(polled: Polled) -> Self {
        Self {
            events: polled.events.clone(),
            cursor: polled.cursor.clone(),
            polled,
        }
    }
}

fn of_builds(found: poll::Polled) -> Look<poll::Cursor> {
    for (job, count) in found.skipped {
        tracing::warn!(%job, count, "older builds were not told of: there were too many at once");
    }
    for (job, error) in found.failed {
        tracing::warn!(%job, %error, "the builds of a job cannot be read");
    }
    Look {
        events: found.events,
        cursor: found.cursor,
        polled: Polled {
            events: Vec::new(),
            cursor: Cursor::default(),
            warnings: Vec::new(),
            not_before: None,
        },
    }
}

/// Why a look failed.
struct Failed {
    message: String,
    passing: bool,
    pause_ms: u64,
}

impl Failed {
    fn of(problem: &Problem) -> Self {
        Self {
            passing: problem.kind.is_passing(),
            message: problem.message(),
            pause_ms: AGAIN_MS,
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            passing: error.is_passing(),
            pause_ms: error.retry_after_ms().unwrap_or(0),
            message: kork::problem::chain(&error),
        }
    }
}

impl From<CiError> for Failed {
    fn from(error: CiError) -> Self {
        Self {
            passing: error.is_passing(),
            pause_ms: 0,
            message: kork::problem::chain(&error),
        }
    }
}

impl From<ObjectStoreError> for Failed {
    fn from(error: ObjectStoreError) -> Self {
        Self {
            passing: true,
            pause_ms: AGAIN_MS,
            message: kork::problem::chain(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each sender has its own word for a push, and its own way to write the name of a repository.
    #[test]
    fn pushes_of_watched_repositories_are_known_whoever_sends_them() {
        let accounts = json!({"repositories": [
            {"name": "a", "source": "github", "url": "https://github.com/acme/a.git"},
            {"name": "b", "source": "gitlab", "url": "https://gitlab.example/x/y/b.git"},
            {"name": "c", "source": "bitbucket", "url": "https://bitbucket.org/acme/c.git"},
            {"name": "d", "source": "stash", "url": "https://bb.example/scm/PAY/d.git"},
            {"name": "e", "source": "git", "url": "https://gitea.example:3000/acme/e.git"},
        ]});
        let accounts: Accounts = serde_json::from_value(accounts).unwrap();
        let polls = Polls::new(igor_watch::client().unwrap());
        polls.follow(&accounts, Timestamp(0), || 0.5);
        let id = |sender: &str, action: &str, repository: &str, tag: bool| {
            let name = Some("v1".to_owned());
            polls.id_of_push(&InboundEvent {
                kind: EventKind::Git,
                sender: sender.to_owned(),
                action: Some(action.to_owned()),
                repository: Some(repository.to_owned()),
                branch: name.clone().filter(|_| !tag),
                tag: name.filter(|_| tag),
                commit: Some("f00".to_owned()),
                url: Some("https://gitea.example:3000/acme/e/compare/a".to_owned()),
                ..InboundEvent::default()
            })
        };
        let told = "github push:push Acme/a heads github.com/acme/a
            gitlab tag_push x/y/b tags gitlab.example/x/y/b
            bitbucket repo:push acme/c heads bitbucket.org/acme/c
            bitbucketServer repo:refs_changed PAY/d tags bb.example/scm/PAY/d
            gitea push acme/e heads gitea.example:3000/acme/e
            forgejo push acme/e tags gitea.example:3000/acme/e";
        for line in told.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [sender, action, repository, refs, place] = words[..] else {
                panic!("five words: {line}")
            };
            let expected = Some(format!("git:{place}:refs/{refs}/v1:f00"));
            let found = id(sender, action, repository, refs == "tags");
            assert_eq!(found, expected, "{line}");
        }
        assert!(id("bitbucketServer", "", "PAY/d", false).is_some());
        assert_eq!(id("github", "pull_request:opened", "acme/a", false), None);
        assert_eq!(id("gitlab", "push", "acme/a", false), None);
        assert_eq!(id("github", "push:push", "acme/other", false), None);
    }
}
