//! A double of a Jenkins controller: its Remote API over HTTP, on a clock that moves only when told to.
//!
//! - [`state`]: jobs, queue and builds, without HTTP.
//! - [`tree`]: the `tree` parameter.
//! - [`Jenkins`]: the running server, with an API for tests.
//!
//! Besides the Remote API it answers `POST /double/advance?ms=` (moves the clock), `POST /double/faults`
//! (a list of [`Rule`]), `POST /double/restart?ms=` (sessions are lost, 503 for so long) and
//! `GET /double/stats` ([`Stats`]).

mod http;
mod notify;
mod shown;
pub mod state;
pub mod tree;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize, atomic::Ordering},
};

use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
};

pub use http::{Fault, Rule, Stats, User};
pub use notify::Endpoint;
pub use shown::{encoded, job_url};
pub use state::{
    Build, Checkout, Force, Job, Kind, Parameter, ParameterKind, Phase, Script, State, Tests,
};

/// How a double starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// 0 for a free one.
    pub port: u16,
    pub users: Vec<User>,
    /// POST needs a crumb, unless the user came with an API token.
    pub csrf: bool,
    pub notify: Vec<Endpoint>,
    /// Every call takes so long, in real milliseconds.
    pub latency_ms: u64,
}

impl Default for Options {
    /// A free port, CSRF protection, and the user `igor` with password `secret` and API token `11aa22bb`.
    fn default() -> Self {
        Self {
            port: 0,
            users: vec![User {
                name: "igor".to_owned(),
                password: "secret".to_owned(),
                token: "11aa22bb".to_owned(),
                read_only: false,
            }],
            csrf: true,
            notify: Vec::new(),
            latency_ms: 0,
        }
    }
}

/// A running double. It stops when it is dropped.
pub struct Jenkins {
    shared: Arc<http::Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Jenkins {
    /// Listens on the loopback address.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener = TcpListener::bind(address).await?;
        let shared = Arc::new(http::Shared {
            base: format!("http://{}/", listener.local_addr()?),
            inner: Mutex::new(http::Inner::new(&options)),
            under_way: AtomicUsize::new(0),
            simultaneous_max: AtomicUsize::new(0),
            away: watch::Sender::new(false),
            happened: Notify::new(),
        });
        let server = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let Err(error) = http::serve(listener, shared).await;
                tracing::error!(%error, "the double does not listen any more");
            }
        });
        let notifier = tokio::spawn(notify::run(Arc::clone(&shared), options.notify));
        Ok(Self {
            shared,
            tasks: vec![server, notifier],
        })
    }

    /// `http://127.0.0.1:port/`.
    pub fn url(&self) -> &str {
        &self.shared.base
    }

    /// Adds a job; folders of the path (`a/b/feature%2Fx`) are made as needed.
    pub fn add_job(&self, path: &str, job: Job) {
        self.with(|state| state.add_job(&names(path), job));
    }

    /// Moves the clock.
    pub fn advance(&self, ms: u64) {
        self.with(|state| state.advance(ms));
    }

    /// Looks at or changes the state, without HTTP.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = act(&mut self.lock().state);
        self.shared.happened.notify_one();
        result
    }

    /// All builds of a job, oldest first.
    pub fn builds(&self, path: &str) -> Vec<Build> {
        let builds = self.lock().state.builds.get(&names(path)).cloned();
        builds
            .into_iter()
            .flat_map(std::collections::BTreeMap::into_values)
            .collect()
    }

    /// The faults from now on.
    pub fn set_faults(&self, rules: Vec<Rule>) {
        self.lock().rules = rules;
    }

    /// Restarts: sessions and crumbs are lost, and every call is answered with 503 for `down_ms` of the
    /// double's clock.
    pub fn restart(&self, down_ms: u64) {
        let mut inner = self.lock();
        inner.sessions.restart();
        inner.ready_ms = inner.state.now_ms + down_ms;
    }

    /// Nobody listens from now on, or somebody does again: connections are refused meanwhile.
    pub fn set_away(&self, is_away: bool) {
        self.shared.away.send_replace(is_away);
    }

    /// Changes the password and the API token of a user.
    pub fn set_secrets(&self, user: &str, password: &str, token: &str) {
        let mut inner = self.lock();
        if let Some(user) = inner.users.iter_mut().find(|u| u.name == user) {
            password.clone_into(&mut user.password);
            token.clone_into(&mut user.token);
        }
    }

    /// What was seen so far.
    pub fn stats(&self) -> Stats {
        let simultaneous_max = self.shared.simultaneous_max.load(Ordering::SeqCst);
        Stats {
            simultaneous_max,
            ..self.lock().stats
        }
    }

    /// `METHOD /path?query` of the calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    fn lock(&self) -> MutexGuard<'_, http::Inner> {
        self.shared
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Jenkins {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn names(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}
