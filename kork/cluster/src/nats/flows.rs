//! Who says what to whom on the bus. Here it is decided, and nowhere else: [`super::permissions`] makes
//! of it what the servers enforce, and `integration-tests/subjects.txt` is its list.

use std::collections::BTreeSet;

/// The services of a suite; each has a user of its name.
pub const SERVICES: [&str; 6] = [GATE, ORCA, CLOUDDRIVER, IGOR, FRONT50, DECK_API];
/// Carries out stages of type `custom.<name>`.
pub const WORKER: &str = "worker";
/// Looks at what is there (`nats micro ls`, `nats stream ls`) and changes nothing.
pub const OPERATOR: &str = "operator";

const GATE: &str = "gate";
const ORCA: &str = "orca";
const CLOUDDRIVER: &str = "clouddriver";
const IGOR: &str = "igor";
const FRONT50: &str = "front50";
const DECK_API: &str = "deck-api";

/// Of which port a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A log: both sides write, read and purge.
    Journal,
    /// A queue: one side puts on it, the other takes from it.
    Queue,
    /// Of the topic: one side publishes, the other follows.
    Topic,
    /// An endpoint, with the service in front: one side calls, the other serves.
    Rpc,
}

/// Subjects with the same publishers and consumers. Names are those of the ports; `*` is any word, `>`
/// any words.
#[derive(Debug)]
pub struct Flow {
    pub kind: Kind,
    pub subjects: &'static [&'static str],
    pub from: &'static [&'static str],
    /// Of endpoints nobody: the service in front serves them.
    pub to: &'static [&'static str],
}

const fn flow(
    kind: Kind,
    subjects: &'static [&'static str],
    from: &'static [&'static str],
    to: &'static [&'static str],
) -> Flow {
    Flow {
        kind,
        subjects,
        from,
        to,
    }
}

/// Everything that is said.
pub static FLOWS: [Flow; 25] = [
    flow(
        Kind::Journal,
        &[
            "correlation.*",
            "execution.*",
            "inbox.*",
            "pipeline.*",
            "work.*.*",
        ],
        &[ORCA],
        &[ORCA],
    ),
    flow(Kind::Queue, &["orca.commands"], &[ORCA], &[ORCA]),
    flow(
        Kind::Queue,
        &["orca.reports"],
        &[CLOUDDRIVER, FRONT50, IGOR, ORCA, WORKER],
        &[ORCA],
    ),
    flow(Kind::Queue, &["task.clouddriver"], &[ORCA], &[CLOUDDRIVER]),
    flow(Kind::Queue, &["task.custom.*"], &[ORCA], &[WORKER]),
    flow(Kind::Queue, &["task.front50"], &[ORCA], &[FRONT50]),
    flow(Kind::Queue, &["task.igor"], &[ORCA], &[IGOR]),
    flow(Kind::Queue, &["task.orca"], &[ORCA], &[ORCA]),
    flow(Kind::Topic, &["events.igor.*"], &[IGOR], &[GATE]),
    // The rest is the name of an account, which may have dots.
    flow(
        Kind::Topic,
        &["events.clouddriver.>"],
        &[CLOUDDRIVER],
        &[GATE],
    ),
    flow(Kind::Topic, &["events.execution.*"], &[ORCA], &[GATE]),
    flow(
        Kind::Topic,
        &["events.front50.*"],
        &[FRONT50],
        &[FRONT50, GATE],
    ),
    flow(
        Kind::Topic,
        &["events.front50.pipeline", "events.front50.pipelineTemplate"],
        &[FRONT50],
        &[FRONT50, GATE, ORCA],
    ),
    flow(
        Kind::Rpc,
        &[
            "clouddriver.artifacts.accounts",
            "clouddriver.artifacts.fetch",
            "clouddriver.clusters.get",
            "clouddriver.clusters.list",
            "clouddriver.credentials.get",
            "clouddriver.credentials.list",
            "clouddriver.instances.console",
            "clouddriver.instances.get",
            "clouddriver.loadBalancers.list",
            "clouddriver.operations.plan",
            "clouddriver.serverGroups.get",
            "clouddriver.serverGroups.list",
            "clouddriver.serverGroups.logs",
        ],
        &[GATE],
        &[],
    ),
    flow(
        Kind::Rpc,
        &[
            "front50.applications.get",
            "front50.applications.history",
            "front50.applications.list",
            "front50.notifications.delete",
            "front50.notifications.get",
            "front50.notifications.save",
            "front50.objects.list",
            "front50.pipelines.bulkSave",
            "front50.pipelines.byName",
            "front50.pipelines.delete",
            "front50.pipelines.history",
            "front50.pipelines.reorder",
            "front50.pipelines.save",
            "front50.projects.get",
            "front50.projects.list",
            "front50.templates.delete",
            "front50.templates.save",
        ],
        &[GATE],
        &[],
    ),
    flow(
        Kind::Rpc,
        &[
            "front50.objects.get",
            "front50.pipelines.get",
            "front50.pipelines.list",
        ],
        &[GATE, ORCA],
        &[],
    ),
    // Done by orders only.
    flow(
        Kind::Rpc,
        &[
            "front50.applications.delete",
            "front50.applications.upsert",
            "front50.projects.delete",
            "front50.projects.upsert",
        ],
        &[],
        &[],
    ),
    flow(
        Kind::Rpc,
        &[
            "orca.executions.cancel",
            "orca.executions.delete",
            "orca.executions.evaluate",
            "orca.executions.evaluateVariables",
            "orca.executions.get",
            "orca.executions.list",
            "orca.executions.patchStage",
            "orca.executions.pause",
            "orca.executions.restart",
            "orca.executions.resume",
            "orca.executions.start",
            "orca.executions.startStored",
            "orca.stages.list",
            "orca.tasks.start",
            "orca.cron.check",
            "orca.triggers.explain",
            "orca.triggers.history",
        ],
        &[GATE],
        &[],
    ),
    flow(Kind::Rpc, &["front50.pipelines.triggers"], &[ORCA], &[]),
    flow(Kind::Rpc, &["orca.events.receive"], &[IGOR], &[]),
    // Asked by gates of the version before.
    flow(Kind::Rpc, &["orca.webhooks.receive"], &[], &[]),
    flow(
        Kind::Rpc,
        &[
            "igor.buildServices.list",
            "igor.builds.get",
            "igor.deliveries.get",
            "igor.deliveries.list",
            "igor.deliveries.receive",
            "igor.deliveries.replay",
            "igor.jobs.get",
            "igor.jobs.list",
            "igor.sources.list",
        ],
        &[GATE],
        &[],
    ),
    flow(Kind::Rpc, &["igor.events.complete"], &[ORCA], &[]),
    // Instances of orca look after each other.
    flow(Kind::Rpc, &["orca.alive.*"], &[ORCA], &[]),
    flow(
        Kind::Rpc,
        &[
            "clouddriver.health",
            "deck-api.health",
            "front50.health",
            "gate.health",
            "igor.health",
            "orca.health",
        ],
        &[GATE, OPERATOR],
        &[],
    ),
];

/// Prefixes under which the topic is followed.
pub static FOLLOWED: [(&str, &str); 4] = [
    (FRONT50, "events.front50."),
    (GATE, "events."),
    (ORCA, "events.front50.pipeline"),
    (ORCA, "events.front50.pipelineTemplate"),
];

impl Flow {
    /// Who consumes a subject: of an endpoint, the service in front.
    fn consumers(&self, subject: &'static str) -> Vec<&'static str> {
        match self.kind {
            Kind::Rpc => subject.split('.').take(1).collect(),
            Kind::Journal | Kind::Queue | Kind::Topic => self.to.to_vec(),
        }
    }
}

/// Subjects of a kind that a user publishes, or calls.
pub(super) fn said(kind: Kind, user: &str) -> impl Iterator<Item = &'static str> {
    let flows = FLOWS.iter().filter(move |f| f.kind == kind);
    let own = flows.filter(move |f| f.from.contains(&user));
    own.flat_map(|f| f.subjects).copied()
}

/// Subjects of a kind that a user consumes, or serves, with those who say them.
pub(super) fn heard(
    kind: Kind,
    user: &str,
) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let flows = FLOWS.iter().filter(move |f| f.kind == kind);
    let all = flows.flat_map(|f| f.subjects.iter().map(move |subject| (f, *subject)));
    all.filter(move |(f, subject)| f.consumers(subject).contains(&user))
        .map(|(f, subject)| (subject, f.from))
}

/// The list, a line each: port, subject, who publishes, who consumes.
pub fn list() -> String {
    let all = FLOWS.iter().flat_map(|flow| {
        let line = |subject: &'static str| {
            let kind = format!("{:?}", flow.kind).to_lowercase();
            let (from, to) = (names(flow.from), names(&flow.consumers(subject)));
            format!("{kind} {subject}: {from} -> {to}\n")
        };
        flow.subjects.iter().map(move |subject| line(subject))
    });
    let lines: BTreeSet<String> = all.collect();
    let head = "# Who publishes -> who consumes each subject of the bus; `*` is any word, `>` any words. An endpoint\n\
                # (rpc) is called -> served. Decided in kork/cluster/src/nats/flows.rs.\n";
    std::iter::once(head.to_owned()).chain(lines).collect()
}

fn names(users: &[&str]) -> String {
    match users {
        [] => "nobody".to_owned(),
        users => users.join(", "),
    }
}
