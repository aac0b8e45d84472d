//! `gennaker up`: the whole suite in this process, until it is told to stop.

use std::time::Duration;

use crate::{
    args::{SuiteArgs, UpArgs},
    client::Failure,
    exit::Exit,
    output::{Out, Tone},
    suite::{Options, Suite, stop_signal},
};

impl UpArgs {
    /// `gennaker` without a command.
    pub(super) const fn plain() -> Self {
        let suite = SuiteArgs {
            data_dir: None,
            ephemeral: false,
            gate_port: None,
            config: None,
            log_format: None,
        };
        Self {
            suite,
            health_port: None,
        }
    }
}

pub(super) async fn run(args: &UpArgs, out: &Out) -> Result<Exit, Failure> {
    let options = Options::for_up(&args.suite, args.health_port);
    let suite = tokio::select! {
        suite = Suite::start(options) => suite?,
        () = stop_signal() => return Ok(Exit::Interrupted),
    };
    tell(&suite, out);
    let ended = tokio::select! {
        () = stop_signal() => Ok(Exit::Success),
        failure = suite.failed() => Err(failure),
    };
    out.note("stopping; Ctrl-C again stops at once");
    tokio::select! {
        clean = suite.stop() => {
            out.note(if clean { "stopped" } else { "stopped; some work was cut off and goes on at the next start" });
            ended
        }
        () = second_signal() => Ok(Exit::Interrupted),
    }
}

/// A signal after the first one. The pause keeps a terminal that sends one twice from counting.
async fn second_signal() {
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop_signal().await;
}

fn tell(suite: &Suite, out: &Out) {
    let gate = suite.gate();
    out.line(&format!("gate listens on http://{gate}"));
    let health = suite.health();
    out.line(&format!(
        "health and metrics are at http://{health}/health/ready and /metrics"
    ));
    let kept = if suite.is_ephemeral() {
        " and are removed at the end"
    } else {
        ""
    };
    out.line(&format!("the data are in {}{kept}", suite.data_dir()));
    let other = if gate.port() == crate::args::GATE_PORT {
        String::new()
    } else {
        format!(" --gate http://{gate}")
    };
    let next = [
        format!("gennaker doctor{other}"),
        format!("gennaker application save shop --email you@example.com{other}"),
        format!("gennaker pipeline save -f deliver.yaml{other}"),
    ];
    out.line(&format!("\n{}", out.paint.tone(Tone::Strong, "next")));
    for command in next {
        out.line(&format!("  {command}"));
    }
    out.line(&format!(
        "  http://{gate}/docs shows the API; `gennaker demo` shows three deliveries"
    ));
}
