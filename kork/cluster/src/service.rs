//! The main program of a service: flags and file -> telemetry -> health -> servers -> the service, until
//! it is told to stop.

use std::{net::SocketAddr, process::ExitCode, task::Poll, time::Duration};

use camino::Utf8PathBuf;
use clap::{Arg, ArgAction, ArgMatches, Command};
use kork::{
    embedded::{SeededIds, SystemClock},
    ports::{Ids, Ports, RpcHandler},
    service::{
        Chassis, Part,
        config::{self, Layers},
        management, telemetry,
    },
};
use kork_model::Problem;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Telemetry,
    config::Common,
    healthy,
    otlp::{self, Exporter},
    watch::{self, Servers},
};

/// Time for a soft stop: work that is not done by then is handed back.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// Pauses between tries to reach the servers at the start.
const CONNECT_FIRST: Duration = Duration::from_millis(100);
const CONNECT_LONGEST: Duration = Duration::from_secs(5);

/// What is fixed about a service.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name, which is the name of its section too.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// Port of health and metrics when nobody says.
    pub health_port: u16,
    /// It has an HTTP port of its own: `--port`.
    pub has_port: bool,
}

/// The configuration of a service: what all are told, and its own section.
pub trait Settings: DeserializeOwned + Serialize + JsonSchema + Default {
    /// Sections of the other services, in snake case: what is set for them is passed over.
    const OTHERS: &'static [&'static str];

    fn common(&self) -> &Common;
}

/// Defines `Settings` of a service: the common keys, its own section, and those of the other services,
/// which it passes over.
#[macro_export]
macro_rules! settings {
    ($own:ident: $config:ty; $($other:ident),*) => {
        #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        struct Settings {
            #[serde(flatten)]
            common: $crate::Common,
            $own: $config,
            $($other: $crate::OtherSection,)*
        }

        impl $crate::service::Settings for Settings {
            const OTHERS: &'static [&'static str] = &[$(stringify!($other)),*];

            fn common(&self) -> &$crate::Common {
                &self.common
            }
        }
    };
}

/// Flags with a value, with their help. Each is a key of the configuration in camel case.
const FLAGS: [(&str, &str, &str); 19] = [
    ("nats", "URL", "NATS: nats://host:4222, several with commas"),
    ("nats-credentials-file", "FILE", "JWT and seed for NATS"),
    ("nats-nkey-file", "FILE", "seed of an nkey for NATS"),
    ("nats-user", "NAME", "user for NATS"),
    ("nats-password-file", "FILE", "password of that user"),
    (
        "nats-ca-file",
        "FILE",
        "authorities to trust besides the system's",
    ),
    (
        "nats-replicas",
        "N",
        "copies of each stream: 1, or 3 in a cluster",
    ),
    (
        "redis",
        "URL",
        "Redis: redis://host:6379, rediss:// with TLS",
    ),
    ("redis-user", "NAME", "user for Redis"),
    ("redis-password-file", "FILE", "password of that user"),
    ("s3-endpoint", "URL", "S3; none: AWS"),
    ("s3-bucket", "NAME", "bucket, made when it is not there"),
    ("s3-region", "NAME", "region of the bucket"),
    (
        "s3-path-style",
        "BOOL",
        "http://host/bucket/key (true) or http://bucket.host/key",
    ),
    (
        "s3-prefix",
        "FOLDER",
        "folder in the bucket, with a slash at the end",
    ),
    (
        "s3-credentials-file",
        "FILE",
        "keys for S3 instead of the usual AWS chain",
    ),
    (
        "namespace",
        "NAME",
        "in front of streams, subjects and keys",
    ),
    ("health-host", "ADDRESS", "where health and metrics listen"),
    (
        "health-port",
        "PORT",
        "port of health and metrics; 0: a free one",
    ),
];

/// Runs a service to its end: what `main` returns.
pub fn main<S, F, Fut, E>(service: Service, run: F) -> ExitCode
where
    S: Settings,
    F: FnOnce(S, Ports, Chassis) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let matches = command(service).get_matches();
    let file = matches.get_one::<String>("config").map(Utf8PathBuf::from);
    let mut layers = Layers::of_process(file, flags(service, &matches));
    let is_of_another = |name: &str| {
        let of = |other: &&str| {
            let section = format!("{}{}_", config::PREFIX, other.to_ascii_uppercase());
            name.starts_with(&section)
        };
        S::OTHERS.iter().any(of)
    };
    layers.environment.retain(|(name, _)| !is_of_another(name));
    let loaded = match config::load::<S>(layers) {
        Ok(loaded) => loaded.config,
        Err(problems) => return refuse(service, &config::problem(&problems)),
    };
    if matches.get_flag("healthy") {
        return is_healthy(service, loaded.common());
    }
    let log = &loaded.common().log;
    let asked = std::env::var("GENNAKER_LOG").unwrap_or_default();
    let filters = [asked.as_str(), &log.filter, "info"];
    let filter = filters
        .into_iter()
        .find(|f| !f.is_empty())
        .unwrap_or("info");
    let guard = match telemetry::init(log.format, filter) {
        Ok(guard) => guard,
        Err(error) => return fail(service.name, &error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(service.name, &error),
    };
    let outcome = runtime.block_on(Box::pin(live(service, loaded, run)));
    drop(guard);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => ended(service, &reason),
    }
}

fn command(service: Service) -> Command {
    let port_help = if service.has_port {
        "port of HTTP; 0 takes a free one"
    } else {
        "accepted, so that one command line fits all six; this service has no HTTP port"
    };
    let fixed = [
        ("config", "FILE", "YAML or JSON, shared by all six"),
        ("port", "PORT", port_help),
    ];
    let all = fixed.into_iter().chain(FLAGS);
    let args =
        all.map(|(name, value, help)| Arg::new(name).long(name).value_name(value).help(help));
    let healthy = Arg::new("healthy")
        .long("healthy")
        .action(ArgAction::SetTrue)
        .help("asks the service that runs with the same settings whether it is ready, and ends");
    Command::new(service.name)
        .about(service.about)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(
            "Every flag is a key of the file in camel case (s3Endpoint) and a variable \
             (GENNAKER_S3_ENDPOINT). Keys for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.\n\n\
             Example: --nats nats://127.0.0.1:4222 --redis redis://127.0.0.1:6379 \
             --s3-endpoint http://127.0.0.1:9000 --s3-bucket gennaker",
        )
        .args(args)
        .arg(healthy)
}

/// The health check of a container.
fn is_healthy(service: Service, common: &Common) -> ExitCode {
    match management_address(service, common).and_then(healthy::ask) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => ended(service, &reason),
    }
}

/// Where health and metrics listen.
fn management_address(service: Service, common: &Common) -> Result<SocketAddr, String> {
    let host = Some(common.health_host.as_str()).filter(|host| !host.is_empty());
    let host = host.unwrap_or("127.0.0.1");
    let address = format!(
        "{host}:{}",
        common.health_port.unwrap_or(service.health_port)
    );
    address
        .parse()
        .map_err(|e| format!("health and metrics cannot listen on {address}: {e}"))
}

/// The flags as a layer of the configuration.
fn flags(service: Service, matches: &ArgMatches) -> Value {
    let mut layer = Map::new();
    for (name, ..) in FLAGS {
        if let Some(text) = matches.get_one::<String>(name) {
            layer.insert(camel(name), typed(text));
        }
    }
    if let (true, Some(port)) = (service.has_port, matches.get_one::<String>("port")) {
        layer.insert(camel(service.name), json!({"port": typed(port)}));
    }
    Value::Object(layer)
}

/// Numbers and yes or no are meant as such; what is wrong about them the configuration says.
fn typed(text: &str) -> Value {
    let plain = text.parse::<u64>().map(Value::from).ok();
    plain
        .or_else(|| text.parse::<bool>().map(Value::from).ok())
        .unwrap_or_else(|| Value::from(text))
}

fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|c| c.to_ascii_uppercase());
        text + &head.into_iter().chain(letters).collect::<String>()
    })
}

async fn live<S, F, Fut, E>(service: Service, settings: S, run: F) -> Result<(), String>
where
    S: Settings,
    F: FnOnce(S, Ports, Chassis) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let chassis = Chassis::default();
    let common = settings.common().clone();
    chassis.metrics.add_process();
    let _exporter = traces(service, &common.telemetry, &chassis)?;
    let address = management_address(service, &common)?;
    let part = chassis.health.part("cluster");
    let health = management::start(address, &chassis)
        .map_err(|e| format!("health and metrics cannot listen on {address}: {e}"))?;
    say(&format!(
        "{} has health and metrics on http://{health}",
        service.name
    ));
    let work = async {
        let (ports, servers) = Box::pin(connected(service.name, &common, &part)).await;
        let ports = ports.measured(&chassis.metrics);
        watch::spawn(servers, &chassis);
        let _found = ports
            .rpc
            .serve(
                service.name,
                "health",
                std::sync::Arc::new(Asked(chassis.clone())),
            )
            .await
            .map_err(|e| kork::problem::chain(&e))?;
        let ended = begun(run(settings, ports, chassis.clone()), &part).await;
        ended.map_err(|e| kork::problem::chain(&e))
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = stop_signal(&chassis) => Ok(()),
    };
    let clean = chassis.shutdown.finish(STOP_GRACE).await;
    if !clean {
        tracing::warn!("some work was cut off; it goes on elsewhere");
    }
    outcome
}

/// Runs a service. Its servers count as ready once it has said which of its own parts are missing: in
/// between nothing would be missing.
async fn begun<F: Future>(service: F, servers: &Part) -> F::Output {
    let mut running = Box::pin(service);
    match futures_util::poll!(&mut running) {
        Poll::Ready(ended) => ended,
        Poll::Pending => {
            servers.ready();
            running.await
        }
    }
}

/// Exports traces until it is dropped, if that is configured.
fn traces(
    service: Service,
    config: &Telemetry,
    chassis: &Chassis,
) -> Result<Option<Exporter>, String> {
    let ids = SeededIds::system(std::sync::Arc::new(SystemClock));
    otlp::start(service.name, &ids.ulid(), config, &chassis.metrics)
}

/// Tries until all servers are there, and says what is missing.
async fn connected(service: &str, common: &Common, part: &Part) -> (Ports, Servers) {
    let mut pause = CONNECT_FIRST;
    loop {
        match Box::pin(crate::connect_and_look(&common.cluster, Some(service))).await {
            Ok(connected) => {
                part.missing("the service begins");
                return connected;
            }
            Err(error) => {
                tracing::warn!(%error, "waits for the servers");
                part.missing(error.to_string());
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CONNECT_LONGEST);
    }
}

/// Requests a stop at a signal, and ends when the service had its time to stop by itself.
async fn stop_signal(chassis: &Chassis) {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        tracing::warn!("signals cannot be listened to; the process ends without cleaning up");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stops");
    chassis.shutdown.request();
    tokio::time::sleep(STOP_GRACE).await;
}

/// Answers how the service is.
struct Asked(Chassis);

#[async_trait::async_trait]
impl RpcHandler for Asked {
    async fn handle(&self, _: bytes::Bytes) -> Result<bytes::Bytes, Problem> {
        let report = serde_json::to_vec(&self.0.health.report()).unwrap_or_default();
        Ok(report.into())
    }
}

fn refuse(service: Service, problem: &Problem) -> ExitCode {
    let mut text = problem.detail.clone();
    for field in &problem.errors {
        let more = format!("\n  {}: {}", field.pointer, field.detail);
        text.push_str(&more);
    }
    ended(service, &text);
    ExitCode::from(2)
}

fn ended(service: Service, reason: &str) -> ExitCode {
    complain(&format!("{}: {reason}", service.name));
    ExitCode::FAILURE
}

/// Says why a program ends, with all causes, and answers with its exit status.
pub fn fail(what: &str, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    complain(&format!("{what}: {}", kork::problem::chain(error)));
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "the first line says where it listens")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the log may not be there yet")]
fn complain(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service {
        name: "gate",
        about: "the API",
        health_port: 7002,
        has_port: true,
    };

    #[test]
    fn nothing_is_ready_before_the_service_has_named_its_parts() {
        let health = kork::service::Health::default();
        let servers = health.part("cluster");
        let of_service = health.clone();
        let service = async move {
            let _store = of_service.part("store");
            std::future::pending::<()>().await;
        };
        let mut running = Box::pin(begun(service, &servers));
        assert!(!health.is_ready());
        assert!(futures_util::FutureExt::now_or_never(&mut running).is_none());
        let report = health.report();
        assert_eq!(
            (report.status, report.parts["cluster"].as_str()),
            ("DOWN", "UP")
        );
    }

    #[test]
    fn flags_become_keys() {
        let given = "gate --nats nats://a --s3-path-style false --port 8084 --health-port 0";
        let matches = command(SERVICE).get_matches_from(given.split(' '));
        let expected = json!({
            "nats": "nats://a", "s3PathStyle": false, "healthPort": 0, "gate": {"port": 8084},
        });
        assert_eq!(flags(SERVICE, &matches), expected);
        let known = config::schema::<Common>();
        for (name, ..) in FLAGS {
            assert!(known["properties"].get(camel(name)).is_some(), "{name}");
        }
    }
}
