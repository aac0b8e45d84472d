//! `gennaker demo`: three deliveries of a small web service before the user's eyes, the last one of
//! a broken release, while a load loop calls production all the time.
//!
//! Everything goes through gate's HTTP API, as any other client would do it.

mod builds;
mod cleanup;
mod deliver;
mod load;
mod pipeline;
mod summary;

use std::{io::IsTerminal, time::Duration};

use kork_model::Status;
use serde_json::{Value, json};

use self::{
    builds::{Builds, started_by_builds},
    deliver::deliver,
    load::Load,
    summary::{Delivery, History, Summary},
};
use crate::{
    args::{DemoArgs, Format, StartedBy, SuiteArgs},
    client::{Client, Failure, run_task},
    command,
    exit::Exit,
    leftovers,
    output::{Out, Progress, Tone, member},
    signals::StopSignals,
    suite::{Options, Suite},
};

/// The application that the demo registers.
const APPLICATION: &str = "demo";
/// Its pipeline.
const PIPELINE: &str = "Deliver";

/// Time in which the load sees what a delivery has changed.
const SEEN: Duration = Duration::from_millis(500);
/// Time to remove what an interrupted demo deployed; what is left then is ended by force.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(5);

/// One release of the sample service and how its delivery has to end.
struct Release {
    version: &'static str,
    broken: bool,
    expected: Status,
    story: &'static str,
}

const RELEASES: [Release; 3] = [
    Release {
        version: "1",
        broken: false,
        expected: Status::Succeeded,
        story: "the first release: test, check, a person's yes, production",
    },
    Release {
        version: "2",
        broken: false,
        expected: Status::Succeeded,
        story: "the next one, red/black: production switches while it is being called",
    },
    Release {
        version: "3",
        broken: true,
        expected: Status::Terminal,
        story: "needs a setting that production lacks: test is fine, production has to refuse it",
    },
];

/// Where the demo tells its story: stdout, or stderr when stdout carries the summary as data.
struct Stage<'a> {
    out: &'a Out,
    on_stderr: bool,
    yes: bool,
}

impl Stage<'_> {
    fn say(&self, text: &str) {
        if self.on_stderr {
            self.out.note(text);
        } else {
            self.out.line(text);
        }
    }

    fn headline(&self, text: &str) {
        let paint = if self.on_stderr {
            self.out.note_paint()
        } else {
            self.out.paint
        };
        self.say(&format!("\n{}", paint.tone(Tone::Strong, text)));
    }

    fn progress(&self) -> Progress<'_> {
        if self.on_stderr {
            self.out.progress_on_stderr()
        } else {
            self.out.progress()
        }
    }
}

/// Runs the demo on a suite of its own, or behind `gate`.
pub(crate) async fn run(args: &DemoArgs, gate: Option<&str>, out: &Out) -> Result<Exit, Failure> {
    if !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::input(
            "the demo asks for judgments, and stdin is not a terminal",
            "let it answer itself: gennaker demo --yes",
        ));
    }
    let stage = Stage {
        out,
        on_stderr: out.format != Format::Table,
        yes: args.yes,
    };
    let Some(gate) = gate else {
        return on_own_suite(args, &stage).await;
    };
    if args.started_by.is_some() {
        return Err(Failure::input(
            "the demo that is started by builds needs a suite of its own, to make its Jenkins known there",
            "leave out --gate and the variable GENNAKER_GATE",
        ));
    }
    if let Some(flag) = own_suite_flag(&args.suite) {
        return Err(Failure::input(
            format!("{flag} is for a suite of the demo's own, but the gate {gate} was named"),
            format!("leave out {flag}, or --gate and the variable GENNAKER_GATE"),
        ));
    }
    let client = Client::new(gate)?;
    let mut signals = StopSignals::listen()?;
    let told = tokio::select! {
        told = tell(&client, &stage, History::BehindGate, None) => told,
        () = signals.next() => Err(Failure::Interrupted),
    };
    // A gate that cannot be reached can remove nothing.
    if !matches!(
        told,
        Ok(_) | Err(Failure::Unreachable { .. } | Failure::Unreadable { .. })
    ) {
        give_up(&client, &stage, &mut signals).await;
    }
    Ok(close(&told?, &stage))
}

async fn on_own_suite(args: &DemoArgs, stage: &Stage<'_>) -> Result<Exit, Failure> {
    let mut signals = StopSignals::listen()?;
    let accounts = args
        .started_by
        .map(|StartedBy::Jenkins| Builds::accounts_file())
        .transpose()?;
    let mut options = Options::for_demo(&args.suite);
    if let Some(file) = &accounts {
        options.set("igor.accountsFile", json!(file.path()));
    }
    let suite = Suite::start_unless(&mut signals, options).await?;
    let gate = format!("http://{}", suite.gate());
    stage.say(&format!(
        "gate listens on {gate}\nthe data are in {}",
        suite.data_dir()
    ));
    let client = match Client::new(&gate) {
        Ok(client) => client,
        Err(failure) => {
            suite.stop().await;
            return Err(failure);
        }
    };
    let history = if args.suite.ephemeral {
        History::Gone
    } else {
        History::In(suite.data_dir().to_string())
    };
    let told = tokio::select! {
        told = tell_on(&client, stage, history, args, accounts) => told,
        () = signals.next() => Err(Failure::Interrupted),
    };
    if told.is_err() {
        give_up(&client, stage, &mut signals).await;
    }
    // A directory may hold the server groups of others: they live on, as after `gennaker up`.
    if leftovers::belong_to_others(&client, APPLICATION).await {
        suite.stop().await;
    } else {
        suite.stop_all().await;
    }
    Ok(close(&told?, stage))
}

/// Removes what a demo that came to no end has deployed, unless that takes too long or a second
/// signal comes. The first failure is the one to tell; what could not be removed is said here.
async fn give_up(client: &Client, stage: &Stage<'_>, signals: &mut StopSignals) {
    stage.say("\nremoving what the demo deployed; Ctrl-C again stops at once");
    let second = async {
        signals.forget_echo().await;
        signals.next().await;
    };
    let cleared = tokio::select! {
        cleared = tokio::time::timeout(CLEAR_TIMEOUT, cleanup::clear(client)) => cleared,
        () = second => return,
    };
    match cleared {
        Ok(Ok(_)) => {}
        Ok(Err(failure)) => stage.say(&format!("not everything was removed: {failure}")),
        Err(_) => stage.say("not everything was removed in time"),
    }
}

fn close(summary: &Summary, stage: &Stage<'_>) -> Exit {
    stage.out.data(summary, |paint| summary.text(paint));
    if summary.ok {
        Exit::Success
    } else {
        Exit::ExecutionFailed
    }
}

/// The same on a suite of the demo's own, which may have a Jenkins.
async fn tell_on(
    client: &Client,
    stage: &Stage<'_>,
    history: History,
    args: &DemoArgs,
    accounts: Option<tempfile::NamedTempFile>,
) -> Result<Summary, Failure> {
    let builds = match accounts {
        Some(file) => {
            stage.headline("A Jenkins that builds");
            Some(Builds::begin(&args.jenkins, client, file, stage).await?)
        }
        None => None,
    };
    tell(client, stage, history, builds.as_ref()).await
}

async fn tell(
    client: &Client,
    stage: &Stage<'_>,
    history: History,
    builds: Option<&Builds>,
) -> Result<Summary, Failure> {
    let start = tokio::time::Instant::now();
    stage.headline("An application and its pipeline");
    let account = register(client, stage, builds).await?;
    // What an interrupted demo left in the same data directory would take part in this one.
    cleanup::clear(client).await?;
    let mut load: Option<Load> = None;
    let mut deliveries: Vec<Delivery> = Vec::new();
    for release in &RELEASES {
        stage.headline(&format!("Version {}: {}", release.version, release.story));
        let delivery = deliver(client, stage, release, builds).await?;
        let went_on = delivery.status == Status::Succeeded;
        deliveries.push(delivery);
        if load.is_none() && went_on {
            let address = pipeline::prod_address(client).await?;
            stage.say(&format!(
                "production answers at {address}; from now on it is called all the time"
            ));
            load = Some(Load::start(&address)?);
        }
        if let Some(load) = &load {
            tokio::time::sleep(SEEN).await;
            stage.say(&load.line());
        }
    }
    let serves = match &load {
        Some(load) => load.ask().await,
        None => "nothing".to_owned(),
    };
    let counted = match load {
        Some(load) => load.stop().await,
        None => load::Counted::default(),
    };
    stage.headline("Cleaning up");
    let removed = cleanup::clear(client).await?;
    stage.say(&format!(
        "{removed} server groups of account {account} are removed"
    ));
    let took_ms = start.elapsed().as_millis() as u64;
    Ok(Summary::new(
        client.base(),
        history,
        deliveries,
        (counted, serves),
        took_ms,
    ))
}

/// A flag that makes sense only for a suite that the demo starts itself.
fn own_suite_flag(args: &SuiteArgs) -> Option<&'static str> {
    let given = [
        (args.data_dir.is_some(), "--data-dir"),
        (args.ephemeral, "--ephemeral"),
        (args.gate_port.is_some(), "--gate-port"),
    ];
    given
        .iter()
        .find(|(given, _)| *given)
        .map(|(_, flag)| *flag)
}

/// Saves the application and its pipeline; the name of the account that is deployed to.
async fn register(
    client: &Client,
    stage: &Stage<'_>,
    builds: Option<&Builds>,
) -> Result<String, Failure> {
    let accounts = client.list(&["credentials"], &[("expand", "true")]).await?;
    let local = accounts.as_array().into_iter().flatten().find(|a| {
        ["type", "cloudProvider"]
            .iter()
            .any(|key| member(a, key) == "local")
    });
    let Some(account) = local.map(|a| member(a, "name")) else {
        return Err(Failure::input(
            "the suite has no account of the provider local",
            "configure one, or let the demo start its own suite: leave out --gate",
        ));
    };
    let known = client.find(&["applications", APPLICATION]).await?.is_some();
    let kind = if known {
        "updateApplication"
    } else {
        "createApplication"
    };
    let job = json!({"type": kind, "application": {
        "name": APPLICATION, "email": "demo@example.com", "cloudProviders": "local",
        "description": "a small web service, delivered three times"}});
    run_task(client, APPLICATION, "Register the demo", &[job], |_| {}).await?;
    let mut definition = pipeline::definition(&account);
    if let Some(builds) = builds {
        definition = started_by_builds(definition, &builds.job);
    }
    command::save_pipeline(client, definition).await?;
    stage.say(&format!(
        "application {APPLICATION}, pipeline {PIPELINE}: test, wait, check, a person's yes, production \
         as red/black"
    ));
    Ok(account)
}

/// The elements of a list answer; anything else is an empty list.
fn items(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[], Vec::as_slice)
}
