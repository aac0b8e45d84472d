//! Makes the logins of a cluster, once.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Parser;
use kork_cluster::{service, setup::Setup};

/// Makes the logins of a cluster, once: keys for NATS, passwords for Redis and S3, and what the servers
/// are told about them.
///
/// What is secret is made when it is not there and never changed; to renew a secret, remove its file,
/// run the setup again, and restart the server and the service. What the servers are told (nats.conf,
/// users.acl, redis.conf) is made again at each run: after an update of Gennaker, run it and restart NATS.
/// Says which files it wrote, and never what is in them.
#[derive(Parser)]
#[command(name = "gennaker-setup", version, after_help = HELP)]
struct Arguments {
    /// Where everything is written
    #[arg(long, value_name = "DIR")]
    dir: Utf8PathBuf,
    /// Where NATS keeps its streams
    #[arg(long, value_name = "DIR", default_value = "/data")]
    nats_store: String,
    /// In front of streams, subjects and keys: the same as the services' --namespace
    #[arg(long, value_name = "NAME", default_value = "gennaker")]
    namespace: String,
    /// Makes a key for you too, which may look at everything and change nothing; once made, it stays
    #[arg(long)]
    operator: bool,
}

const HELP: &str = "\
Files, for SERVICE gate, orca, clouddriver, igor, front50 and deck-api:
  DIR/nats/nats.conf            nats-server -c
  DIR/redis/redis.conf          redis-server; it names DIR/redis/users.acl
  DIR/s3/root-user              MINIO_ROOT_USER_FILE
  DIR/s3/root-password          MINIO_ROOT_PASSWORD_FILE
  DIR/SERVICE/nats.nkey         --nats-nkey-file
  DIR/SERVICE/redis.password    --redis-password-file, with --redis-user SERVICE
  DIR/SERVICE/s3.credentials    --s3-credentials-file; keys of your own stay
  DIR/worker/nats.nkey          for workers of custom stages; they answer to inboxes _INBOX_worker.>
  DIR/operator/nats.nkey        nats --nkey FILE --inbox-prefix _INBOX_operator micro ls

Example:
  gennaker-setup --dir /secrets
  nats-server -c /secrets/nats/nats.conf &
  orca --nats-nkey-file /secrets/orca/nats.nkey --redis-user orca \\
    --redis-password-file /secrets/orca/redis.password --s3-credentials-file /secrets/orca/s3.credentials";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let setup = Setup {
        dir: arguments.dir,
        namespace: arguments.namespace,
        nats_store: arguments.nats_store,
        operator: arguments.operator,
    };
    match setup.run() {
        Ok(written) => {
            for path in written {
                say(path.as_str());
            }
            ExitCode::SUCCESS
        }
        Err(error) => service::fail("gennaker-setup", &error),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn say(line: &str) {
    println!("{line}");
}
