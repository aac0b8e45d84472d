//! Every login may do what the list of subjects says, and nothing else: each is tried on real servers
//! with the configuration of `gennaker-setup`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use camino::Utf8Path;
use integration_tests::{
    cluster::{Cluster, SERVICES},
    harness::{eventually, workspace_root},
    servers::{NatsServer, RedisServer},
    workspace::sources,
};
use kork_cluster::{nats::flows, setup::Setup};
use regex::Regex;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::raw::Raw;

const LIST: &str = "integration-tests/subjects.txt";
const USERS: [&str; 8] = [
    "gate",
    "orca",
    "clouddriver",
    "igor",
    "front50",
    "deck-api",
    "worker",
    "operator",
];
const STREAMS: [&str; 6] = ["journal", "position", "queue", "custom", "dead", "topic"];

/// A line of the list.
#[derive(Debug)]
struct Line {
    kind: String,
    subject: String,
    from: BTreeSet<String>,
    to: BTreeSet<String>,
}

fn lines() -> Vec<Line> {
    let text = std::fs::read_to_string(workspace_root().join(LIST)).unwrap();
    let line = Regex::new(r"^(\w+) (\S+): (.+) -> (.+)$").unwrap();
    let names = |text: &str| {
        let all = text.split(", ").filter(|name| *name != "nobody");
        all.map(str::to_owned).collect()
    };
    let all = text.lines().filter(|l| !l.starts_with('#'));
    all.map(|text| {
        let found = line.captures(text).unwrap_or_else(|| panic!("{text}"));
        Line {
            kind: found[1].to_owned(),
            subject: found[2].to_owned(),
            from: names(&found[3]),
            to: names(&found[4]),
        }
    })
    .collect()
}

#[test]
fn the_list_is_what_the_code_says() {
    let path = workspace_root().join(LIST);
    let listed = std::fs::read_to_string(&path).unwrap_or_default();
    let made = flows::list();
    if std::env::var_os("UPDATE_LISTS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert_eq!(made, listed, "UPDATE_LISTS=1 writes {path} again");
}

/// Which packages name the type of a request: its service answers, the others ask.
#[test]
fn the_list_of_endpoints_is_what_the_services_use() {
    let sources = sources();
    let call = Regex::new(r#"call!\(\s*"([^"]+)",\s*"([^"]+)",\s*(\w+)\s*\{"#).unwrap();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for api in sources
        .iter()
        .filter(|s| s.path.starts_with("kork/model/src/api"))
    {
        for found in call.captures_iter(&api.code()) {
            let (service, request) = (&found[1], Regex::new(&format!(r"\b{}\b", &found[3])));
            let request = request.unwrap();
            let names = |name: &&str| {
                let dir = format!("{name}/src");
                let own = sources
                    .iter()
                    .filter(|s| s.path.starts_with(&dir) && !s.is_test());
                own.into_iter().any(|s| request.is_match(&s.code()))
            };
            let users: BTreeSet<&str> = SERVICES.into_iter().filter(names).collect();
            assert!(users.contains(service), "nobody answers {}", &found[0]);
            let callers = users.into_iter().filter(|user| *user != service);
            used.insert(
                format!("{service}.{}", &found[2]),
                callers.map(str::to_owned).collect(),
            );
        }
    }
    let listed = lines().into_iter().filter(|l| l.kind == "rpc");
    let own = |l: &Line| l.subject.ends_with(".health") || l.subject.contains("alive");
    let listed: BTreeMap<_, _> = listed
        .filter(|l| !own(l))
        .map(|l| (l.subject, l.from))
        .collect();
    assert!(used.len() > 40, "{used:#?}");
    assert_eq!(listed, used);
}

/// NATS with the logins of a cluster.
struct Guarded {
    nats: NatsServer,
    dir: TempDir,
}

impl Guarded {
    async fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let setup = Setup {
            operator: true,
            nats_store: path.join("streams").into_string(),
            ..Setup::new(path)
        };
        setup.run().unwrap();
        let nats = NatsServer::start_with(&path.join("nats/nats.conf")).await?;
        Some(Self { nats, dir })
    }

    fn seeds(&self, user: &str) -> Vec<String> {
        let path = self.dir.path().join(user).join("nats.nkey");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// A connection in the account of the suite, or in that of the logs.
    async fn login(&self, user: &str, logs: bool) -> Raw {
        let seed = &self.seeds(user)[usize::from(logs)];
        Raw::login(&self.nats.address(), user, seed).await.unwrap()
    }
}

/// What a line means on the wire: subjects to publish to, and subjects to subscribe to, for those who
/// publish and for those who consume.
struct Wire {
    says: String,
    hears: Vec<String>,
    /// Requests to JetStream of those who consume.
    takes: Vec<String>,
}

impl Wire {
    fn of(line: &Line) -> Self {
        let name = line.subject.replace('*', "one").replace('>', "one.two");
        let plain = |says: String, hears: String| Self {
            says,
            hears: vec![hears],
            takes: Vec::new(),
        };
        match line.kind.as_str() {
            "journal" => plain(
                format!("gennaker.journal.{name}"),
                format!("gennaker.told.journal.{name}"),
            ),
            "topic" => plain(
                format!("gennaker.topic.{name}.0f"),
                format!("gennaker.told.topic.{name}.0f"),
            ),
            "rpc" => plain(
                format!("gennaker.rpc.{name}"),
                format!("gennaker.rpc.{name}"),
            ),
            "queue" => {
                let (stream, name) = match name.strip_prefix("task.custom.") {
                    Some(name) => ("custom", name),
                    None => ("queue", name.as_str()),
                };
                let consumer = format!("gennaker_{stream}.{}", name.replace('.', "%2e"));
                Self {
                    says: format!("gennaker.{stream}.{name}.0f"),
                    hears: Vec::new(),
                    takes: vec![
                        format!("$JS.API.CONSUMER.MSG.NEXT.{consumer}"),
                        format!("$JS.ACK.{consumer}.1.1.1.1.0"),
                        format!("gennaker.dead.{}.0f", line.subject.replace('*', "one")),
                    ],
                }
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_do_what_the_list_says_and_no_more() {
    let Some(guarded) = Guarded::start().await else {
        return;
    };
    let lines = lines();
    for user in USERS {
        let mut suite = guarded.login(user, false).await;
        let mut logs = match guarded.seeds(user).len() {
            2 => Some(guarded.login(user, true).await),
            _ => None,
        };
        assert_eq!(logs.is_some(), user == "orca");
        for line in &lines {
            let is_log = line.kind == "journal";
            is_as_listed(&mut suite, user, line, !is_log).await;
            if let Some(logs) = &mut logs {
                is_as_listed(logs, user, line, is_log).await;
            }
        }
    }
    // Those who run a cluster see them too.
    assert!(guarded.nats.refusals().len() > 100);
}

/// Tries one line of the list with one login; in another account than its own nothing is allowed.
async fn is_as_listed(raw: &mut Raw, user: &str, line: &Line, is_here: bool) {
    let wire = Wire::of(line);
    let says = is_here && line.from.contains(user);
    let hears = is_here && line.to.contains(user);
    let label = format!("{user} (its account: {is_here}): {line:?}");
    assert_eq!(raw.may_publish(&wire.says).await, says, "{label}");
    for subject in &wire.hears {
        assert_eq!(raw.may_subscribe(subject).await, hears, "{label}");
    }
    for subject in &wire.takes {
        let may = raw.may_publish(subject).await;
        assert_eq!(may, hears, "{subject} {label}");
    }
    // What is stored is read through the server, never heard as it passes.
    if line.kind != "rpc" {
        assert!(!raw.may_subscribe(&wire.says).await, "{label}");
    }
}

/// What nobody may do, whatever the list says.
fn forbidden() -> (Vec<String>, Vec<String>) {
    let mut publish: Vec<String> = [
        "$JS.API.INFO",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.SUITE.CONNZ",
        "gennaker.journal.execution.1",
        "gennaker.told.topic.events.execution.shop.0f",
        "gennaker.rpc.front50.unknown",
        "gennaker.queue.task.unknown.0f",
        "other.queue.orca.reports.0f",
        "$JS.API.STREAM.CREATE.gennaker_other",
        "$JS.API.STREAM.CREATE.other_queue",
        "_INBOX.1",
    ]
    .map(str::to_owned)
    .to_vec();
    for stream in STREAMS {
        for request in [
            "STREAM.DELETE.@",
            "STREAM.UPDATE.@",
            "STREAM.PURGE.@",
            "STREAM.MSG.GET.@",
            "STREAM.MSG.DELETE.@",
            "STREAM.SNAPSHOT.@",
            "STREAM.RESTORE.@",
            "CONSUMER.CREATE.@",
            "CONSUMER.CREATE.@.any",
            "CONSUMER.CREATE.@.any.gennaker.>",
            "CONSUMER.DURABLE.CREATE.@.any",
            "CONSUMER.DELETE.@.task%2eclouddriver",
            "CONSUMER.PAUSE.@.task%2eclouddriver",
            "STREAM.PEER.REMOVE.@",
        ] {
            let stream = format!("gennaker_{stream}");
            publish.push(format!("$JS.API.{}", request.replace('@', &stream)));
        }
    }
    let subscribe = [
        "$SYS.>",
        ">",
        "*",
        "_INBOX.>",
        "_INBOX_*.>",
        "$JS.>",
        "gennaker.>",
    ];
    (publish, subscribe.map(str::to_owned).to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_may_do_is_refused() {
    let Some(guarded) = Guarded::start().await else {
        return;
    };
    let (publish, subscribe) = forbidden();
    for user in USERS {
        let mut raw = guarded.login(user, false).await;
        let looks = |subject: &str| user == "operator" && subject == "$JS.API.INFO";
        for subject in publish.iter().filter(|s| !looks(s)) {
            assert!(!raw.may_publish(subject).await, "{user}: {subject}");
        }
        for subject in &subscribe {
            assert!(!raw.may_subscribe(subject).await, "{user}: {subject}");
        }
        for other in USERS {
            let inbox = format!("_INBOX_{other}.any");
            assert_eq!(raw.may_subscribe(&inbox).await, user == other, "{inbox}");
        }
    }
    let mut logs = guarded.login("orca", true).await;
    assert!(
        logs.may_publish("$JS.API.STREAM.PURGE.gennaker_journal")
            .await
    );
    let purge = |s: &&String| !s.ends_with("PURGE.gennaker_journal") && !s.contains(".execution.");
    for subject in publish.iter().filter(purge) {
        assert!(!logs.may_publish(subject).await, "{subject}");
    }
}

/// The server sends answers wherever the question says, also to where the asker may not publish. So
/// the logs are in another account: no answer reaches them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_the_server_ends_in_a_log() {
    let Some(guarded) = Guarded::start().await else {
        return;
    };
    let stream = |name: &str| {
        json!({"name": format!("gennaker_{name}"), "subjects": [format!("gennaker.{name}.>")],
               "storage": "file", "allow_direct": true})
        .to_string()
    };
    let mut orca = guarded.login("orca", true).await;
    let made = orca
        .ask("$JS.API.STREAM.CREATE.gennaker_journal", &stream("journal"))
        .await;
    assert!(made["error"].is_null(), "{made}");
    let mut front50 = guarded.login("front50", false).await;
    for name in ["topic", "queue"] {
        let subject = format!("$JS.API.STREAM.CREATE.gennaker_{name}");
        let made = front50.ask(&subject, &stream(name)).await;
        assert!(made["error"].is_null(), "{made}");
    }
    let event = "gennaker.topic.events.front50.project.0f";
    let stored = front50.ask(event, "{\"forged\":true}").await;
    assert_eq!(stored["seq"], 1, "{stored}");
    let get = json!({"seq": 1, "next_by_subj": event, "batch": 1}).to_string();
    let targets = [
        "gennaker.journal.execution.1",
        // May not be published to either; it shows that the attack is one.
        "gennaker.queue.task.orca.0f",
    ];
    for target in targets {
        let direct = "$JS.API.DIRECT.GET.gennaker_topic";
        front50.publish_for(direct, target, &get).await;
        front50.publish_for(event, target, "{}").await;
    }
    eventually(
        "the queue has the answers",
        Duration::from_secs(10),
        async || {
            let info = front50.ask("$JS.API.STREAM.INFO.gennaker_queue", "").await;
            let messages = info["state"]["messages"].as_u64().unwrap_or(0);
            (messages >= 2).then_some(()).ok_or(info.to_string())
        },
    )
    .await;
    let info = orca.ask("$JS.API.STREAM.INFO.gennaker_journal", "").await;
    assert_eq!(info["state"]["messages"], 0, "{info}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_nobody_knows_is_refused_and_said() {
    let Some(mut cluster) = Cluster::start(1).await else {
        return;
    };
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let refused = Raw::login(&cluster.nats.address(), "igor", &seed).await;
    assert!(refused.is_err_and(|reason| reason.contains("Authorization Violation")));
    cluster.kill("igor-1");
    let file = cluster.login("igor", "nats.nkey");
    std::fs::write(&file, &seed).unwrap();
    cluster.start_again("igor-1");
    let said = format!(
        "NATS at {} cannot be used: it refuses the login of igor/{} with what is in {file}",
        cluster.nats.url(),
        env!("CARGO_PKG_VERSION"),
    );
    let patience = Duration::from_secs(20);
    // Once for each try: it goes on to try, and goes on to say so.
    eventually("the reason is said again and again", patience, async || {
        let log = cluster.log("igor-1");
        (log.matches(&said).count() >= 2).then_some(()).ok_or(log)
    })
    .await;
    assert!(!cluster.log("igor-1").contains(&seed));
}

/// Who cannot read a message puts it where only people look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_messages_may_make_dead_letters_of_them() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let config = cluster.as_user("orca");
    let orca = kork_cluster::connect_as(&config, Some("orca")).await;
    let orca = orca.unwrap();
    let queues = [
        "orca.commands",
        "orca.reports",
        "task.clouddriver",
        "task.front50",
        "task.orca",
    ];
    for queue in queues {
        let body = format!("no message for {queue}");
        let sent = orca.queue.enqueue(queue, "1", body.into(), None).await;
        sent.unwrap();
    }
    let seed = std::fs::read_to_string(cluster.login("operator", "nats.nkey")).unwrap();
    let operator = Raw::login(&cluster.nats.address(), "operator", seed.trim()).await;
    let mut operator = operator.unwrap();
    let patience = Duration::from_secs(20);
    let ask = r#"{"subjects_filter":"gennaker.dead.>"}"#;
    let info = eventually("every queue has a dead letter", patience, async || {
        let info = operator.ask("$JS.API.STREAM.INFO.gennaker_dead", ask).await;
        let is_all = info["state"]["messages"] == queues.len();
        is_all.then(|| info.clone()).ok_or(info.to_string())
    })
    .await;
    let subjects = info["state"]["subjects"].as_object().unwrap();
    let found: Vec<&str> = subjects
        .keys()
        .filter_map(|s| s.strip_prefix("gennaker.dead.")?.rsplit_once('.'))
        .map(|(queue, _)| queue)
        .collect();
    assert_eq!(found, queues);
    assert_eq!(cluster.nats.refusals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_takes_what_the_cache_says_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap();
    Setup::new(path).run().unwrap();
    let Some(redis) = RedisServer::start_with(&path.join("redis/redis.conf")).await else {
        return;
    };
    let password = std::fs::read_to_string(path.join("orca/redis.password")).unwrap();
    let login = format!("AUTH orca {password}");
    let cases = [
        ("PING", "-NOAUTH"),
        ("AUTH default x", "-WRONGPASS"),
        ("AUTH orca x", "-WRONGPASS"),
        (login.as_str(), "+OK"),
        ("SET gennaker:v:a 1", "+OK"),
        ("PSETEX gennaker:v:b 60000 1", "+OK"),
        ("GET gennaker:v:a", "$1"),
        ("DEL gennaker:v:a", ":1"),
        ("ZADD gennaker:i:a 1 x", ":1"),
        ("ZREVRANGE gennaker:i:a 0 1 WITHSCORES", "*2"),
        ("ZCARD gennaker:i:a", ":1"),
        ("ZREM gennaker:i:a x", ":1"),
        ("SCAN 0 MATCH gennaker:*", "*2"),
        ("UNLINK gennaker:v:b", ":1"),
        ("INFO server", "$"),
        ("SET other:a 1", "-NOPERM"),
        ("GET other:a", "-NOPERM"),
        ("FLUSHALL", "-NOPERM"),
        ("KEYS *", "-NOPERM"),
        ("CONFIG GET *", "-NOPERM"),
        ("ACL LIST", "-NOPERM"),
        ("EVAL x 0", "-NOPERM"),
    ];
    let mut stream = TcpStream::connect(redis.address()).await.unwrap();
    let mut answer = [0; 4096];
    for (command, expected) in cases {
        let whole = format!("{command}\r\n");
        stream.write_all(whole.as_bytes()).await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        let shown = command.replace(&password, "...");
        assert!(answer.starts_with(expected), "{shown}: {answer}");
    }
}
