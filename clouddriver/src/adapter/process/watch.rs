//! Watching one run: its probes, its output, its end.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use tokio::{process::Child, sync::watch, time::Instant};

use super::{LOOK_AGAIN, Shared, probe::Subject, record::Record, sweep};
use crate::{
    app::ports::{News, Notice},
    domain::{
        health::{Health, HealthCheck, PERIOD_MS_MIN},
        restart::Exit,
    },
};

/// Pause between looks at the output's size.
const OUTPUT_PERIOD: Duration = Duration::from_millis(500);

/// A run and how it is asked.
pub(super) struct Watched {
    pub(super) record: Record,
    /// `None`: it was found running and is no child of this process.
    pub(super) child: Option<Child>,
    pub(super) dir: Utf8PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) health: HealthCheck,
    pub(super) liveness: Option<HealthCheck>,
}

/// One probe with its next moment and its state.
struct Rhythm {
    check: HealthCheck,
    state: Health,
    next: Instant,
}

impl Rhythm {
    fn new(check: HealthCheck, ready: bool) -> Self {
        let state = if ready {
            Health::known(true)
        } else {
            Health::default()
        };
        let next =
            Instant::now() + Duration::from_millis(if ready { 0 } else { check.initial_delay_ms });
        Self { check, state, next }
    }

    /// Until it is ready for the first time it is asked in short intervals, so that nobody waits
    /// for a long period to pass.
    fn plan_next(&mut self) {
        let period = self.check.period_ms.max(PERIOD_MS_MIN);
        self.next = Instant::now() + Duration::from_millis(period);
    }
}

/// Watches until the process has ended and said so to `ended` and to the reconciler.
pub(super) async fn watch(
    shared: Arc<Shared>,
    mut watched: Watched,
    ended: watch::Sender<Option<Exit>>,
) {
    let id = watched.record.id.clone();
    let ready = watched.record.ready;
    let mut readiness = Rhythm::new(watched.health.clone(), ready);
    let mut liveness = watched
        .liveness
        .clone()
        .map(|check| Rhythm::new(check, ready));
    let mut output = tokio::time::interval(OUTPUT_PERIOD);
    let mut because = None;
    let mut child = watched.child.take();
    let exit = loop {
        let live_next = liveness
            .as_ref()
            .map_or(readiness.next + Duration::from_hours(1), |l| l.next);
        tokio::select! {
            exit = wait(&mut child, &watched.record) => break exit,
            _ = output.tick() => {
                shared.logs.look(&id, shared.clock.now());
            }
            () = tokio::time::sleep_until(readiness.next) => {
                ask_readiness(&shared, &mut watched, &mut readiness).await;
            }
            () = tokio::time::sleep_until(live_next), if liveness.is_some() && because.is_none() => {
                if let Some(rhythm) = &mut liveness {
                    because = ask_liveness(&shared, &watched, rhythm).await;
                }
            }
        }
    };
    shared.logs.look(&id, shared.clock.now());
    sweep::kill_all(&shared.dir, &id, watched.record.pid).await;
    shared
        .ports
        .give_back(watched.record.ports.values().copied());
    shared.runs().remove(&id);
    ended.send_replace(Some(exit));
    tell(&shared, &watched, News::Exited { exit, because }).await;
}

async fn tell(shared: &Shared, watched: &Watched, news: News) {
    let id = watched.record.id.clone();
    if shared.notices.send(Notice { id, news }).await.is_err() {
        tracing::debug!(run = %watched.record.id, "nobody listens any more");
    }
}

async fn wait(child: &mut Option<Child>, record: &Record) -> Exit {
    let Some(child) = child else {
        while record.is_alive() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        return Exit::Unknown;
    };
    match child.wait().await {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code { code },
            (None, Some(signal)) => Exit::Signal { signal },
            (None, None) => Exit::Unknown,
        },
        Err(error) => {
            tracing::warn!(run = %record.id, %error, "how it ended is not known");
            Exit::Unknown
        }
    }
}

async fn ask(shared: &Shared, watched: &Watched, check: &HealthCheck) -> Result<(), String> {
    let subject = Subject {
        ports: &watched.record.ports,
        dir: &watched.dir,
        env: &watched.env,
        inherited: &shared.config.inherited_environment,
        output_has: &|text| shared.logs.contains(&watched.record.id, text),
    };
    shared
        .prober
        .probe(
            &check.probe,
            &subject,
            Duration::from_millis(check.timeout_ms),
        )
        .await
}

async fn ask_readiness(shared: &Shared, watched: &mut Watched, rhythm: &mut Rhythm) {
    let result = ask(shared, watched, &rhythm.check).await;
    let said = rhythm.state.message.clone();
    let changed = rhythm
        .state
        .observe(shared.clock.now(), &rhythm.check, result);
    rhythm.plan_next();
    if changed {
        watched.record.ready = rhythm.state.ready;
        if let Err(error) = watched.record.store(&shared.dir) {
            tracing::warn!(run = %watched.record.id, %error, "its readiness cannot be stored");
        }
    }
    if changed || said != rhythm.state.message {
        let news = News::Probed {
            ready: rhythm.state.ready,
            message: rhythm.state.message.clone(),
        };
        tell(shared, watched, news).await;
    }
}

/// Kills the process when its liveness has failed; answers with the reason.
async fn ask_liveness(shared: &Shared, watched: &Watched, rhythm: &mut Rhythm) -> Option<String> {
    let result = ask(shared, watched, &rhythm.check).await;
    rhythm
        .state
        .observe(shared.clock.now(), &rhythm.check, result);
    rhythm.plan_next();
    if !rhythm.state.has_failed(&rhythm.check) {
        return None;
    }
    let because = format!("its liveness failed: {}", rhythm.state.message);
    tracing::info!(run = %watched.record.id, because, "killed");
    sweep::kill_all(&shared.dir, &watched.record.id, watched.record.pid).await;
    Some(because)
}
