//! What orca counts: commands and how long they take, executions and how they end, late timers.

use kork::service::{Counter, Gauge, Histogram, Metrics};
use kork_model::{Stage, Status, Task, Timestamp};
use orca_engine::{Command, Event, State};

/// The metrics of orca. A default one counts for nobody.
pub(crate) struct Measures {
    commands: Counter,
    command_seconds: Histogram,
    finished: Counter,
    late_seconds: Histogram,
    timers: Gauge,
    open: Gauge,
    to_archive: Gauge,
    inbound: Gauge,
    fired: Counter,
    stage_seconds: Histogram,
    task_seconds: Histogram,
}

impl Measures {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            commands: metrics.counter(
                "gennaker_orca_commands",
                "commands on executions, by command and outcome (done, nothing, refused)",
            ),
            command_seconds: metrics.histogram(
                "gennaker_orca_command_seconds",
                "from taking a command to its events being durable",
            ),
            finished: metrics.counter(
                "gennaker_orca_executions_finished",
                "executions that ended, by application and status",
            ),
            late_seconds: metrics.histogram(
                "gennaker_orca_timer_late_seconds",
                "how long after its moment a timer fired",
            ),
            open: metrics.gauge(
                "gennaker_orca_executions_open",
                "executions without an end that this instance wrote to",
            ),
            to_archive: metrics.gauge(
                "gennaker_orca_executions_to_archive",
                "executions that ended and wait to be moved into the object store",
            ),
            inbound: metrics.gauge(
                "gennaker_orca_events_open",
                "events from outside that are stored and whose pipelines are not all started",
            ),
            fired: metrics.counter(
                "gennaker_orca_triggers_fired",
                "pipelines that an event, a schedule or the end of another one started, by origin",
            ),
            stage_seconds: metrics.histogram(
                "gennaker_orca_stage_duration_seconds",
                "from the start of a stage to its end, by type and status",
            ),
            task_seconds: metrics.histogram(
                "gennaker_orca_task_duration_seconds",
                "from the start of a task to its end, by task and status",
            ),
            timers: metrics.gauge("gennaker_orca_timers", "executions that wait for a moment"),
        }
    }

    pub(crate) fn command(&self, command: &Command, outcome: &str, ms: u64) {
        let name = name(command);
        self.commands
            .inc(&[("command", name), ("outcome", outcome)]);
        self.command_seconds
            .observe(&[("command", name)], ms as f64 / 1000.0);
    }

    pub(crate) fn events(&self, state: &State, events: &[Event]) {
        for event in events {
            match event {
                Event::StageFinished { stage, .. } => self.stage(state.execution.stage(stage)),
                Event::TaskFinished { stage, task, .. } => {
                    let stage = state.execution.stage(stage);
                    self.task(stage.and_then(|stage| stage.tasks.get(*task)));
                }
                _ => {}
            }
        }
        let ends = events
            .iter()
            .filter(|e| matches!(e, Event::Finished { .. }));
        for _ in ends {
            let status: Status = state.execution.status;
            self.finished.inc(&[
                ("application", &state.execution.application),
                ("status", status.name()),
            ]);
        }
    }

    fn stage(&self, stage: Option<&Stage>) {
        let Some((stage, start, end)) = stage.and_then(|s| Some((s, s.start_time?, s.end_time?)))
        else {
            return;
        };
        let labels = [
            ("type", stage.kind.as_str()),
            ("status", stage.status.name()),
        ];
        let took_s = end.ms_since(start) as f64 / 1000.0;
        self.stage_seconds.observe(&labels, took_s);
    }

    fn task(&self, task: Option<&Task>) {
        let Some((task, start, end)) = task.and_then(|t| Some((t, t.start_time?, t.end_time?)))
        else {
            return;
        };
        let labels = [("task", task.name.as_str()), ("status", task.status.name())];
        let took_s = end.ms_since(start) as f64 / 1000.0;
        self.task_seconds.observe(&labels, took_s);
    }

    pub(crate) fn open(&self, executions: usize) {
        self.open.set(&[], executions as i64);
    }

    pub(crate) fn to_archive(&self, executions: usize) {
        self.to_archive.set(&[], executions as i64);
    }

    pub(crate) fn inbound(&self, events: usize) {
        self.inbound.set(&[], events as i64);
    }

    pub(crate) fn triggered(&self, origin: &str) {
        self.fired.inc(&[("origin", origin)]);
    }

    pub(crate) fn fired(&self, due: Timestamp, now: Timestamp) {
        self.late_seconds
            .observe(&[], now.ms_since(due) as f64 / 1000.0);
    }

    pub(crate) fn waiting(&self, timers: usize) {
        self.timers.set(&[], timers as i64);
    }
}

const fn name(command: &Command) -> &'static str {
    match command {
        Command::Create { .. } => "create",
        Command::CreateRefused { .. } => "createRefused",
        Command::Admit { .. } => "admit",
        Command::Supersede { .. } => "supersede",
        Command::Tick => "tick",
        Command::Report { .. } => "report",
        Command::ChildFinished { .. } => "childFinished",
        Command::Cancel { .. } => "cancel",
        Command::Pause { .. } => "pause",
        Command::Resume { .. } => "resume",
        Command::Patch { .. } => "patch",
        Command::Restart { .. } => "restart",
    }
}
