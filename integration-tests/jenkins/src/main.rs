//! The double as a process, with a few jobs for demonstrations. Its clock follows the machine's.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use jenkins_double::{Checkout, Endpoint, Jenkins, Job, Kind, Options, Parameter, Script, Tests};
use url::Url;

/// How often the clock is moved.
const TICK: Duration = Duration::from_millis(100);

/// A double of a Jenkins controller with a few jobs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on the loopback address.
    #[arg(long, default_value_t = 8089)]
    port: u16,
    /// Where notifications of builds are posted to; may be given several times.
    #[arg(long)]
    notify: Vec<Url>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        port: arguments.port,
        notify: arguments.notify.into_iter().map(Endpoint::new).collect(),
        ..Options::default()
    };
    let jenkins = match Jenkins::start(options).await {
        Ok(jenkins) => jenkins,
        Err(error) => {
            tracing::error!(%error, "the port cannot be listened on");
            return ExitCode::FAILURE;
        }
    };
    add_jobs(&jenkins);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => jenkins.advance(TICK.as_millis() as u64),
            _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
        }
    }
}

fn add_jobs(jenkins: &Jenkins) {
    let script = |result: &str| Script {
        duration_ms: 20_000,
        result: result.to_owned(),
        console: "one more step of forty\n".repeat(40),
        artifacts: [(
            "out/build.properties".to_owned(),
            b"VERSION=1.4.2\nIMAGE=acme/ledger:1.4.2\n".to_vec(),
        )]
        .into(),
        checkouts: vec![Checkout {
            remote: "https://git.acme.example/payments/ledger.git".to_owned(),
            branch: "origin/main".to_owned(),
            commit: "3f0c9d7a5b1e4826c0d9f8e7a6b5c4d3e2f1a0b9".to_owned(),
        }],
        tests: Some(Tests {
            total: 412,
            failed: 0,
            skipped: 3,
        }),
        ..Script::default()
    };
    let parameters = [
        Parameter::choice("ENV", &["staging", "production"]),
        Parameter::text("SPINNAKER_EXECUTION_ID", ""),
    ];
    jenkins.add_job("payments/ledger", Job::folder(Kind::Multibranch));
    for branch in ["main", "feature%2Frounding", "PR-12"] {
        let job = Job::pipeline().with_script(script("SUCCESS"));
        jenkins.add_job(&format!("payments/ledger/{branch}"), job);
    }
    let job = Job::pipeline()
        .with_parameters(&parameters)
        .with_script(script("SUCCESS"));
    jenkins.add_job("payments/deploy", job);
    jenkins.add_job(
        "smoke-test",
        Job::pipeline().with_script(script("UNSTABLE")),
    );
    jenkins.add_job("broken", Job::pipeline().with_script(script("FAILURE")));
}
