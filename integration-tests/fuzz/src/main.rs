//! `fuzz`: looks for inputs that a parser does not take well, and tries one again.

mod watched;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::Parser;
use fuzz::{
    Target,
    campaign::{Campaign, Find, search},
    corpus, run, target,
};
use watched::{Watched, state};

/// Stack of the thread that parses: as large as those of the services.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Looks for inputs that a parser does not take well.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// A target, or the beginning of the names of several; all when absent.
    #[arg(default_value = "")]
    target: String,
    /// For all targets together.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Of the chance; another one each time when absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs this input once, and says what became of it.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Puts what was found into the corpus of the repository.
    #[arg(long)]
    store: bool,
    /// Names the targets.
    #[arg(long)]
    list: bool,
    /// Runs the target here, and not in a process of its own that may die.
    #[arg(long, hide = true)]
    here: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match work(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("fuzz: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Whether everything was taken well.
fn work(arguments: &Arguments) -> io::Result<bool> {
    let targets = target::named(&arguments.target);
    if targets.is_empty() {
        let what = format!(
            "no target begins with {:?}; --list names them",
            arguments.target
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    if arguments.list {
        for target in targets {
            say(target.name);
        }
        return Ok(true);
    }
    let seed = arguments.seed.unwrap_or_else(any_seed);
    let time = Duration::from_secs(arguments.seconds) / targets.len() as u32;
    let mut good = true;
    for target in targets {
        good &= match &arguments.input {
            Some(path) => replay(target, path)?,
            None if arguments.here => {
                let store = arguments.store;
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                let thread = thread.spawn(move || hunt(target, seed, time, store))?;
                thread
                    .join()
                    .map_err(|_| io::Error::other("the fuzzer itself panicked"))??
            }
            None => apart(target, seed, time, arguments.store)?,
        };
    }
    Ok(good)
}

fn any_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    // Small enough to be typed again.
    RandomState::new().build_hasher().finish() % 1_000_000
}

/// Runs one input of a file.
fn replay(target: Target, path: &std::path::Path) -> io::Result<bool> {
    let input = fuzz::Input::of_file(&std::fs::read(path)?, target.has_head());
    let (outcome, took) = run(&target, &input);
    match outcome {
        Ok(shape) => {
            say(&format!("{}: fine, {took:?}: {shape}", target.name));
            Ok(true)
        }
        Err(fault) => {
            say(&format!("{}: {fault}", target.name));
            Ok(false)
        }
    }
}

/// Fuzzes one target in a process of its own: a stack that overflows takes only that one along.
fn apart(target: Target, seed: u64, time: Duration, store: bool) -> io::Result<bool> {
    let mut child = Command::new(std::env::current_exe()?);
    child.arg(target.name).arg("--here");
    child.args([
        "--seed",
        &seed.to_string(),
        "--seconds",
        &time.as_secs().max(1).to_string(),
    ]);
    if store {
        child.arg("--store");
    }
    let status = child.status()?;
    if status.code().is_some() {
        return Ok(status.success());
    }
    let input = watched::last(&target)?;
    let path = corpus::write(&state(&target)?, "died-", &input, target.has_head())?;
    say(&format!("{}: the process died, {status}", target.name));
    say(&again(target, &path));
    Ok(false)
}

/// Fuzzes one target here.
fn hunt(target: Target, seed: u64, time: Duration, store: bool) -> io::Result<bool> {
    let folder = state(&target)?;
    let mut watched = Watched::new(&target)?;
    let before = corpus::read(&folder.join("found"), target.has_head());
    let before = before.into_iter().map(|(_, input)| input).collect();
    say(&format!(
        "{}: seed {seed}, {} s",
        target.name,
        time.as_secs()
    ));
    let (mut campaign, finds) = Campaign::new(target, seed, before);
    let mut tell = |find: Find| {
        let path = corpus::write(&folder, "fault-", &find.input, target.has_head());
        say(&format!("{}: {}", target.name, find.fault));
        match path {
            Ok(path) => say(&again(target, &path)),
            Err(error) => say(&format!("  the input cannot be written: {error}")),
        }
    };
    finds.into_iter().for_each(&mut tell);
    let began = std::time::Instant::now();
    search(
        &mut campaign,
        time,
        |input| watched.begins(input),
        |campaign, find| {
            find.into_iter().for_each(&mut tell);
            progress(target, campaign, began.elapsed());
        },
    );
    progress(target, &campaign, began.elapsed());
    say("");
    let slow = corpus::write(&folder, "slowest-", campaign.slowest(), target.has_head())?;
    say(&format!("  slowest: {}", slow.display()));
    for input in campaign.found() {
        corpus::write(&folder.join("found"), "", input, target.has_head())?;
    }
    if store {
        say(&format!(
            "  {} stored",
            corpus::store(&target, campaign.found())?
        ));
    }
    Ok(campaign.progress().faults == 0)
}

/// One line that is written over itself.
fn progress(target: Target, campaign: &Campaign, elapsed: Duration) {
    let at = campaign.progress();
    let each_second = at.runs as f64 / elapsed.as_secs_f64().max(0.001);
    let line = format!(
        "\r{}: {:>4} s {:>9} runs {each_second:>7.0}/s {:>5} inputs {:>5} features {} faults, longest {:.0} ms ",
        target.name,
        elapsed.as_secs(),
        at.runs,
        at.known,
        at.features,
        at.faults,
        at.longest.as_secs_f64() * 1_000.0,
    );
    // A terminal that is gone is no reason to stop.
    io::stderr().write_all(line.as_bytes()).ok();
}

/// How a person tries an input again.
fn again(target: Target, path: &std::path::Path) -> String {
    format!(
        "  again: make fuzz TARGET={} INPUT={}",
        target.name,
        path.display()
    )
}

fn say(line: &str) {
    // As above.
    writeln!(io::stderr(), "{line}").ok();
}
