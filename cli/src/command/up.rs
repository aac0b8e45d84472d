//! `gennaker up`: the whole suite in this process, until it is told to stop.

use crate::{
    args::{SuiteArgs, UpArgs},
    client::Failure,
    exit::Exit,
    output::{Out, Tone},
    signals::StopSignals,
    suite::{Options, Suite},
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
    // From here on no signal is lost, however soon behind the first line it comes.
    let mut signals = StopSignals::listen()?;
    let suite = Suite::start_unless(&mut signals, options).await?;
    tell(&suite, out);
    let ended = tokio::select! {
        () = signals.next() => Ok(Exit::Success),
        failure = suite.failed() => Err(failure),
    };
    out.note("stopping; Ctrl-C again stops at once");
    let second = async {
        signals.forget_echo().await;
        signals.next().await;
    };
    tokio::select! {
        clean = suite.stop() => {
            out.note(if clean { "stopped" } else { "stopped; some work was cut off and goes on at the next start" });
            ended
        }
        () = second => Ok(Exit::Interrupted),
    }
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
