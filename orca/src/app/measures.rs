//! What orca counts: commands and how long they take, executions and how they end, late timers.

use kork::service::{Counter, Gauge, Histogram, Metrics};
use kork_model::{Status, Timestamp};
use orca_engine::{Command, Event, State};

/// The metrics of orca. A default one counts for nobody.
pub(crate) struct Measures {
    commands: Counter,
    command_seconds: Histogram,
    finished: Counter,
    late_seconds: Histogram,
    timers: Gauge,
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
