//! What each command does, one module per noun.

mod application;
mod config;
mod delivery;
mod doctor;
mod errors;
mod execution;
mod file;
mod judge;
mod pipeline;
mod server_group;
mod stage;
mod trigger;
mod up;

use clap::CommandFactory;
use clap_complete::{Shell as Target, generate};
use serde_json::Value;

pub(crate) use errors::next_step;
pub(crate) use judge::judge_stage;
pub(crate) use pipeline::save as save_pipeline;

use crate::{
    args::{Cli, Command, GATE_DEFAULT, Shell, UpArgs},
    client::{Client, Failure},
    demo,
    exit::Exit,
    output::Out,
    relay, sample_service,
};

/// Carries a command out.
pub(crate) async fn run(cli: Cli, out: &Out) -> Result<Exit, Failure> {
    let client = || Client::new(cli.globals.gate.as_deref().unwrap_or(GATE_DEFAULT));
    let Some(command) = cli.command else {
        return up::run(&UpArgs::plain(), out).await;
    };
    match command {
        Command::Up(args) => up::run(&args, out).await,
        Command::Demo(args) => demo::run(&args, cli.globals.gate.as_deref(), out).await,
        Command::Application(command) => application::run(&client()?, &command, out).await,
        Command::Pipeline(command) => pipeline::run(&client()?, &command, out).await,
        Command::Execution(command) => execution::run(&client()?, &command, out).await,
        Command::Judge(args) => judge::run(&client()?, &args, out).await,
        Command::ServerGroup(command) => server_group::run(&client()?, &command, out).await,
        Command::Stage(command) => stage::run(&client()?, &command, out).await,
        Command::Delivery(command) => delivery::run(&client()?, &command, out).await,
        Command::Trigger(command) => trigger::run(&client()?, &command, out).await,
        Command::Doctor => doctor::run(&client()?, out).await,
        Command::Config(command) => config::run(&command, out),
        Command::Completions { shell } => {
            completions(shell, out);
            Ok(Exit::Success)
        }
        Command::Errors { code } => errors::run(code.as_deref(), out),
        Command::Relay(args) => relay::run(&args, out).await,
        Command::SampleService(args) => sample_service::run(&args, out).await,
        // `main` runs the proxy before there is a runtime.
        Command::Proxy { .. } => Ok(Exit::Success),
    }
}

fn completions(shell: Shell, out: &Out) {
    let target = match shell {
        Shell::Bash => Target::Bash,
        Shell::Zsh => Target::Zsh,
        Shell::Fish => Target::Fish,
    };
    let mut script = Vec::new();
    generate(target, &mut Cli::command(), "gennaker", &mut script);
    out.raw(&String::from_utf8_lossy(&script));
}

/// The elements of a list answer; anything else is an empty list.
fn items(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[], Vec::as_slice)
}

/// An empty list may mean that there is no such application: then gate's own words say so.
async fn must_be_known(client: &Client, application: &str, found: &Value) -> Result<(), Failure> {
    if items(found).is_empty() {
        client
            .object(&["applications", application], &[("expand", "false")])
            .await?;
    }
    Ok(())
}

/// Width of a table: the terminal's, or none when stdout is not one.
fn columns(out: &Out) -> Option<usize> {
    out.is_terminal.then(crate::output::width)
}
