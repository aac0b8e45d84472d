//! The command line: every command, flag and example that `--help` shows.

mod trigger;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

pub(crate) use trigger::TriggerCommand;

use crate::{exit, relay::Route};

/// Where the client commands look for gate unless told otherwise.
pub(crate) const GATE_DEFAULT: &str = "http://127.0.0.1:8084";
/// Heading of the flags that every command takes.
const EVERYWHERE: &str = "Options of every command";
/// Most lines of a log that the suite gives at once.
pub(crate) const LOG_LINES_MAX: u32 = 5000;
/// Most executions of a pipeline that gate lists.
const EXECUTIONS_MAX: u32 = 5000;
/// Port of gate in Spinnaker, and here.
pub(crate) const GATE_PORT: u16 = 8084;

/// Gennaker: continuous delivery in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "gennaker",
    bin_name = "gennaker",
    version,
    about = "Runs the continuous-delivery suite Gennaker in one process, and talks to any gate",
    after_help = exit::HELP,
    after_long_help = concat_help(),
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

fn concat_help() -> String {
    format!(
        "Examples:\n  gennaker demo --yes                 see three deliveries in half a minute\n  \
         gennaker                            run the suite; the API is on {GATE_DEFAULT}\n  \
         gennaker pipeline save -f deliver.yaml\n  \
         gennaker pipeline execute shop Deliver -p version=42 --watch\n\n{}",
        exit::HELP
    )
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// Gate to talk to; the one on port 8084 of this machine unless given.
    #[arg(long, global = true, env = "GENNAKER_GATE", value_name = "URL", help_heading = EVERYWHERE)]
    pub(crate) gate: Option<String>,
    /// How data are written to stdout.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, help_heading = EVERYWHERE)]
    pub(crate) output: Format,
    /// No colours, even on a terminal (as the variable `NO_COLOR`).
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) no_color: bool,
}

/// How data are written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// As the API gives them.
    Json,
    /// The same in YAML.
    Yaml,
}

/// How the services write their log to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One readable line for each event.
    Text,
    /// One JSON object for each event.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole suite in this process (what plain `gennaker` does).
    Up(UpArgs),
    /// Watch three deliveries of a small web service, the last one broken.
    Demo(DemoArgs),
    /// Save, show and delete applications.
    #[command(subcommand, visible_alias = "app")]
    Application(ApplicationCommand),
    /// Save, show, delete and execute pipelines.
    #[command(subcommand)]
    Pipeline(PipelineCommand),
    /// Show, watch and steer executions.
    #[command(subcommand)]
    Execution(ExecutionCommand),
    /// Answer a manual judgment.
    Judge(JudgeArgs),
    /// Show and change server groups.
    #[command(subcommand, visible_alias = "sg")]
    ServerGroup(ServerGroupCommand),
    /// Show the stage types that pipelines can use.
    #[command(subcommand)]
    Stage(StageCommand),
    /// Show what came in from outside, and do it again.
    #[command(subcommand)]
    Delivery(DeliveryCommand),
    /// Say why something did or did not start.
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Check that the suite behind a gate works, and say what to do when it does not.
    #[command(after_help = "Example:\n  gennaker doctor --gate http://delivery.internal:8084")]
    Doctor,
    /// Check, show and describe the configuration of `gennaker up`.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write a completion script for a shell.
    #[command(
        after_help = "Example:\n  gennaker completions bash > ~/.local/share/bash-completion/completions/gennaker"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Explain an error code.
    #[command(
        after_help = "Examples:\n  gennaker errors ORCA-0004\n  gennaker errors          (lists all codes)"
    )]
    Errors {
        /// The code, such as ORCA-0004; without it all codes are listed.
        code: Option<String>,
    },
    /// Pass connections on to services by name, as in `compose.yaml`.
    #[command(hide = true)]
    Relay(RelayArgs),
    /// The web service that the demo deploys.
    #[command(hide = true)]
    SampleService(SampleServiceArgs),
    /// The reverse proxy of the local provider.
    #[command(hide = true)]
    Proxy {
        /// What clouddriver hands to it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Where a suite keeps its data and listens.
#[derive(Debug, Clone, Args)]
pub(crate) struct SuiteArgs {
    /// Directory of the data; `$XDG_DATA_HOME/gennaker` or `~/.local/share/gennaker` unless given.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<Utf8PathBuf>,
    /// Keep the data in a temporary directory and remove it at the end, with all started processes.
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) ephemeral: bool,
    /// Port of gate on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    pub(crate) gate_port: Option<u16>,
    /// Configuration file, YAML or JSON; see `gennaker config schema`.
    #[arg(long, value_name = "FILE", env = "GENNAKER_CONFIG")]
    pub(crate) config: Option<Utf8PathBuf>,
    /// How the log is written to stderr.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  gennaker up\n  gennaker up --ephemeral --gate-port 0\n\nThe first line on \
stdout says where gate listens. SIGTERM or Ctrl-C stops it within 10 seconds; a second Ctrl-C at once.\nServer \
groups and the proxy keep running when the suite stops and are taken up again at the next start, except with \
--ephemeral."
)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) suite: SuiteArgs,
    /// Port of health and metrics on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    pub(crate) health_port: Option<u16>,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  gennaker demo\n  gennaker demo --yes --ephemeral -o json\n\nWithout --gate (or \
GENNAKER_GATE) the demo starts a suite of its own and stops it at the end. With it, the suite behind that gate \
must run on this machine, because the demo deploys this very program."
)]
pub(crate) struct DemoArgs {
    /// What starts the deliveries: a build, instead of the demo itself.
    #[arg(value_enum)]
    pub(crate) started_by: Option<StartedBy>,
    #[command(flatten)]
    pub(crate) suite: SuiteArgs,
    #[command(flatten)]
    pub(crate) jenkins: JenkinsArgs,
    /// Answer the manual judgments with yes.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What starts the deliveries of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartedBy {
    /// Builds of a Jenkins controller: one of the demo's own, or the one of --jenkins.
    Jenkins,
}

/// The Jenkins of `gennaker demo jenkins`; without these it has one of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct JenkinsArgs {
    /// A real controller, such as <https://ci.example.com>.
    #[arg(long, value_name = "URL", requires = "started_by")]
    pub(crate) jenkins: Option<String>,
    /// The user there.
    #[arg(long, value_name = "NAME", requires = "jenkins")]
    pub(crate) jenkins_user: Option<String>,
    /// File with the API token of that user.
    #[arg(long, value_name = "FILE", requires = "jenkins")]
    pub(crate) jenkins_token_file: Option<Utf8PathBuf>,
    /// A job with the parameters VERSION and BROKEN that archives build.properties with both.
    #[arg(long, value_name = "JOB", requires = "jenkins")]
    pub(crate) job: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApplicationCommand {
    /// Create an application, or change an existing one.
    #[command(
        after_help = "Examples:\n  gennaker application save shop --email team@example.com\n  gennaker application save -f shop.yaml\n  echo '{\"name\": \"shop\", \"email\": \"a@b.c\"}' | gennaker application save -f -"
    )]
    Save {
        /// Its name.
        #[arg(required_unless_present = "file")]
        name: Option<String>,
        /// Whom to write to about it.
        #[arg(long)]
        email: Option<String>,
        /// What it is.
        #[arg(long)]
        description: Option<String>,
        /// File with the application, JSON or YAML; `-` is stdin.
        #[arg(short, long)]
        file: Option<Utf8PathBuf>,
    },
    /// Show one application.
    #[command(after_help = "Example:\n  gennaker application get shop -o yaml")]
    Get { name: String },
    /// List the applications.
    #[command(after_help = "Example:\n  gennaker application list -o json")]
    List,
    /// Delete an application with its pipelines. Its server groups keep running.
    #[command(after_help = "Example:\n  gennaker application delete shop")]
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PipelineCommand {
    /// Create pipelines, or change existing ones of the same name.
    #[command(
        after_help = "Examples:\n  gennaker pipeline save -f deliver.yaml\n  gennaker pipeline get shop Deliver | gennaker pipeline save -f -\n\nThe file holds one pipeline or a list of them; each needs `application` and `name`:\n\n  application: shop\n  name: Deliver\n  parameterConfig:\n  - {name: version, required: true}\n  stages:\n  - {refId: \"1\", type: wait, name: Wait, waitTime: 5}\n  - {refId: \"2\", requisiteStageRefIds: [\"1\"], type: manualJudgment, name: Promote?}\n\n`gennaker stage list` shows the types of stages."
    )]
    Save {
        /// File with one pipeline or a list of them, JSON or YAML; `-` is stdin.
        #[arg(short, long)]
        file: Utf8PathBuf,
    },
    /// Show one pipeline.
    #[command(after_help = "Example:\n  gennaker pipeline get shop Deliver -o yaml > deliver.yaml")]
    Get {
        application: String,
        /// Its name or id.
        pipeline: String,
    },
    /// List the pipelines of an application.
    #[command(after_help = "Example:\n  gennaker pipeline list shop")]
    List { application: String },
    /// Delete a pipeline.
    #[command(after_help = "Example:\n  gennaker pipeline delete shop Deliver")]
    Delete {
        application: String,
        pipeline: String,
    },
    /// Start a pipeline.
    #[command(
        after_help = "Examples:\n  gennaker pipeline execute shop Deliver -p version=42 --watch\n  gennaker pipeline execute shop Deliver -p version=42 --dry-run -o json"
    )]
    Execute {
        application: String,
        /// Its name or id.
        pipeline: String,
        /// A parameter; may be given several times.
        #[arg(short, long = "parameter", value_name = "KEY=VALUE", value_parser = key_value)]
        parameters: Vec<(String, String)>,
        /// Follow the execution until it ends; the exit status is 1 when it fails.
        #[arg(short, long)]
        watch: bool,
        /// Show the pipeline as it would run, and start nothing.
        #[arg(long, conflicts_with = "watch")]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExecutionCommand {
    /// List the executions of an application, newest first.
    #[command(
        after_help = "Examples:\n  gennaker execution list shop\n  gennaker execution list shop --status RUNNING --pipeline Deliver"
    )]
    List {
        application: String,
        /// Only those of this pipeline.
        #[arg(long)]
        pipeline: Option<String>,
        /// Only those in this status; may be given several times.
        #[arg(long)]
        status: Vec<String>,
        /// At most this many of each pipeline.
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=i64::from(EXECUTIONS_MAX)))]
        limit: u32,
    },
    /// Show one execution with its stages.
    #[command(after_help = "Example:\n  gennaker execution get 01J9ZK3M2N4P5Q6R7S8T9V0W1X")]
    Get { id: String },
    /// Follow an execution until it ends.
    #[command(
        after_help = "Example:\n  gennaker execution watch 01J9ZK3M2N4P5Q6R7S8T9V0W1X\n\nOn a terminal a live tree of the stages; piped, one line for each change."
    )]
    Watch { id: String },
    /// Cancel an execution.
    #[command(
        after_help = "Example:\n  gennaker execution cancel 01J9ZK3M2N4P5Q6R7S8T9V0W1X --reason \"wrong version\""
    )]
    Cancel {
        id: String,
        /// Why; shown with the execution.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Hold an execution: running stages end, no further stage starts.
    #[command(after_help = "Example:\n  gennaker execution pause 01J9ZK3M2N4P5Q6R7S8T9V0W1X")]
    Pause { id: String },
    /// Let a held execution go on.
    #[command(after_help = "Example:\n  gennaker execution resume 01J9ZK3M2N4P5Q6R7S8T9V0W1X")]
    Resume { id: String },
    /// Run a stage and all that follows it again.
    #[command(
        after_help = "Example:\n  gennaker execution restart 01J9ZK3M2N4P5Q6R7S8T9V0W1X --stage \"Deploy to prod\""
    )]
    Restart {
        id: String,
        /// Name, refId or id of the stage; the first one that failed unless given.
        #[arg(long)]
        stage: Option<String>,
    },
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  gennaker judge 01J9ZK3M2N4P5Q6R7S8T9V0W1X continue\n  gennaker judge 01J9ZK3M2N4P5Q6R7S8T9V0W1X stop --stage \"Promote?\" --input \"error rate is up\""
)]
pub(crate) struct JudgeArgs {
    /// Id of the execution.
    pub(crate) execution: String,
    /// What to do.
    pub(crate) judgment: Judgment,
    /// Name, refId or id of the stage; needed when several wait.
    #[arg(long)]
    pub(crate) stage: Option<String>,
    /// One of the stage's inputs, or a remark.
    #[arg(long)]
    pub(crate) input: Option<String>,
}

/// The answer to a manual judgment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Judgment {
    Continue,
    Stop,
}

/// Which server group a command means.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerGroupArgs {
    /// Its name, such as shop-prod-v003.
    pub(crate) name: String,
    /// Its application; the name up to the first dash unless given.
    #[arg(long)]
    pub(crate) application: Option<String>,
    /// Show the plan, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerGroupCommand {
    /// List the server groups of an application.
    #[command(after_help = "Example:\n  gennaker server-group list shop")]
    List { application: String },
    /// Change the number of instances.
    #[command(
        after_help = "Examples:\n  gennaker server-group resize shop-prod-v003 --capacity 4\n  gennaker server-group resize shop-prod-v003 --capacity 4 --dry-run"
    )]
    Resize {
        #[command(flatten)]
        target: ServerGroupArgs,
        /// How many instances there shall be.
        #[arg(long)]
        capacity: u32,
    },
    /// Give it traffic.
    #[command(after_help = "Example:\n  gennaker server-group enable shop-prod-v002")]
    Enable(ServerGroupArgs),
    /// Take it out of the traffic; its instances keep running.
    #[command(after_help = "Example:\n  gennaker server-group disable shop-prod-v003")]
    Disable(ServerGroupArgs),
    /// Stop its instances and remove it.
    #[command(after_help = "Example:\n  gennaker server-group destroy shop-prod-v001")]
    Destroy(ServerGroupArgs),
    /// Show what its instances wrote.
    #[command(after_help = "Example:\n  gennaker server-group logs shop-prod-v003 --follow")]
    Logs {
        /// Its name, such as shop-prod-v003.
        name: String,
        /// Its application; the name up to the first dash unless given.
        #[arg(long)]
        application: Option<String>,
        /// Go on until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
        /// Show at most this many of the last lines.
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(LOG_LINES_MAX)))]
        lines: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StageCommand {
    /// List the stage types with what they do.
    #[command(after_help = "Example:\n  gennaker stage list")]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveryCommand {
    /// List the newest deliveries with what was made of them.
    #[command(
        after_help = "Examples:\n  gennaker delivery list\n  gennaker delivery list --source github --limit 50"
    )]
    List {
        /// Only of this source.
        #[arg(long)]
        source: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show a delivery with its body and its events.
    #[command(after_help = "Example:\n  gennaker delivery get 01K8XJ5V7D9GQ2M4N6P8R0S1T3")]
    Get {
        /// The id of `gennaker delivery list`.
        id: String,
    },
    /// Do a delivery again: what it started starts again.
    #[command(after_help = "Example:\n  gennaker delivery replay 01K8XJ5V7D9GQ2M4N6P8R0S1T3")]
    Replay {
        /// The id of `gennaker delivery list`.
        id: String,
    },
    /// List what is listened to and looked at: controllers, registries, repositories, senders.
    #[command(after_help = "Example:\n  gennaker delivery sources")]
    Sources,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong with the configuration.
    #[command(after_help = "Example:\n  gennaker config check --config gennaker.yaml")]
    Check {
        /// The file; only defaults and environment unless given.
        #[arg(long, env = "GENNAKER_CONFIG")]
        config: Option<Utf8PathBuf>,
    },
    /// Show the configuration that is in force: defaults, file, environment.
    #[command(after_help = "Example:\n  gennaker config dump > gennaker.yaml")]
    Dump {
        /// The file; only defaults and environment unless given.
        #[arg(long, env = "GENNAKER_CONFIG")]
        config: Option<Utf8PathBuf>,
    },
    /// Show the JSON schema of the configuration.
    #[command(after_help = "Example:\n  gennaker config schema > gennaker.schema.json")]
    Schema,
}

/// Shells that completions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RelayArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    /// `PORT[-PORT]=HOST[:PORT]`
    #[arg(required = true)]
    pub(crate) routes: Vec<Route>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SampleServiceArgs {
    /// The version that `/` tells.
    #[arg(long, default_value = "1")]
    pub(crate) version_name: String,
    /// A release that cannot work without --prices: its health check fails.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub(crate) broken: String,
    /// Where the service finds its prices; only a broken release needs it.
    #[arg(long)]
    pub(crate) prices: Option<String>,
    /// Append a line to this file at each start.
    #[arg(long)]
    pub(crate) starts_file: Option<Utf8PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a parameter is written KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_with_an_example() {
        fn missing(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.is_hide_set() {
                return;
            }
            let mut children = command.get_subcommands().peekable();
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            if children.peek().is_none() && !help.contains("Example") {
                found.push(path.clone());
            }
            for child in children {
                missing(child, &path, found);
            }
        }
        let mut found = Vec::new();
        missing(&Cli::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_parameter_keeps_equal_signs_in_its_value() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("=x").is_err() && key_value("x").is_err());
    }
}
