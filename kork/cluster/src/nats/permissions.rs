//! What the servers let each user do, made of [`super::flows`]. Decision 0008 says what NATS cannot tell
//! apart.

use std::collections::BTreeSet;

use super::{
    flows::{self, FOLLOWED, Kind, OPERATOR, SERVICES, WORKER},
    names,
    queue::Place,
};

/// What one user may do in one account; what is not named here is refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: BTreeSet<String>,
    pub subscribe: BTreeSet<String>,
}

/// Where the answers of a user arrive. Nobody else may listen there.
pub fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// What a user may do in the account of the suite.
pub fn in_suite(namespace: &str, user: &str) -> Permissions {
    let mut made = Making::new(namespace, user);
    match user {
        OPERATOR => made.looks(),
        WORKER => {}
        _ => {
            made.opens(&["custom", "dead", "queue", "topic"]);
            // Whoever measures all streams hears that these are not here, instead of nothing.
            for stream in ["journal", "position"] {
                made.api(&format!("STREAM.INFO.{namespace}_{stream}"));
            }
        }
    }
    made.queues();
    made.topic();
    made.endpoints();
    made.permissions
}

/// What a user may do in the account of the logs; `None` when it has no part in them.
pub fn in_logs(namespace: &str, user: &str) -> Option<Permissions> {
    let mut made = Making::new(namespace, user);
    let mut logs = flows::said(Kind::Journal, user).peekable();
    logs.peek()?;
    made.opens(&["journal", "position"]);
    for log in logs {
        let subject = made.subject("journal", log);
        made.api(&format!("DIRECT.GET.{namespace}_journal.{subject}"));
        made.publish(subject);
        let told = made.subject("told.journal", log);
        made.subscribe(told);
        let followed = made.subject("told.journal", log.split('.').next().unwrap_or(log));
        made.subscribe(format!("{followed}.>"));
    }
    for what in ["DIRECT.GET", "STREAM.PURGE"] {
        made.api(&format!("{what}.{namespace}_journal"));
    }
    Some(made.permissions)
}

/// True for a service that needs the logs, and for whoever is none of the suite's.
pub(crate) fn opens_logs(service: Option<&str>) -> bool {
    let known = |user: &&str| SERVICES.contains(user) || [WORKER, OPERATOR].contains(user);
    service
        .filter(known)
        .is_none_or(|user| flows::said(Kind::Journal, user).next().is_some())
}

struct Making<'a> {
    namespace: &'a str,
    user: &'a str,
    permissions: Permissions,
}

impl<'a> Making<'a> {
    fn new(namespace: &'a str, user: &'a str) -> Self {
        let mut made = Self {
            namespace,
            user,
            permissions: Permissions::default(),
        };
        // Publishing there too: it hears itself when the server is well.
        made.publish(format!("{}.>", inbox(user)));
        made.subscribe(format!("{}.>", inbox(user)));
        made
    }

    fn publish(&mut self, subject: String) {
        self.permissions.publish.insert(subject);
    }

    fn subscribe(&mut self, subject: String) {
        self.permissions.subscribe.insert(subject);
    }

    fn api(&mut self, request: &str) {
        self.publish(format!("$JS.API.{request}"));
    }

    fn subject(&self, kind: &str, name: &str) -> String {
        format!("{}.{kind}.{}", self.namespace, names::pattern(name))
    }

    /// Streams are made by whoever comes first, and never changed or deleted.
    fn opens(&mut self, streams: &[&str]) {
        for stream in streams {
            for what in ["INFO", "CREATE"] {
                self.api(&format!("STREAM.{what}.{}_{stream}", self.namespace));
            }
        }
    }

    fn looks(&mut self) {
        self.publish("$SRV.>".to_owned());
        for request in [
            "INFO",
            "STREAM.NAMES",
            "STREAM.LIST",
            "STREAM.INFO.*",
            "CONSUMER.NAMES.*",
            "CONSUMER.LIST.*",
            "CONSUMER.INFO.*.*",
        ] {
            self.api(request);
        }
    }

    fn queues(&mut self) {
        for queue in flows::said(Kind::Queue, self.user) {
            let place = Place::of_pattern(queue);
            self.publish(format!("{}.*", self.subject(place.kind, &place.name)));
            if place.is_custom() {
                self.makes_consumer(&place);
            }
        }
        for (queue, _) in flows::heard(Kind::Queue, self.user) {
            let place = Place::of_pattern(queue);
            let (stream, consumer) = (place.stream(self.namespace), &place.consumer);
            if place.is_custom() {
                self.api(&format!("CONSUMER.INFO.{stream}.{consumer}"));
            } else {
                self.makes_consumer(&place);
            }
            self.api(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}"));
            self.publish(format!("$JS.ACK.{stream}.{consumer}.>"));
            self.publish(format!("{}.*", self.subject("dead", queue)));
        }
    }

    fn makes_consumer(&mut self, place: &Place) {
        let (stream, consumer) = (place.stream(self.namespace), &place.consumer);
        let filter = format!("{}.*", self.subject(place.kind, &place.name));
        self.api(&format!("CONSUMER.INFO.{stream}.{consumer}"));
        self.api(&format!("CONSUMER.CREATE.{stream}.{consumer}.{filter}"));
    }

    fn topic(&mut self) {
        let stream = format!("{}_topic", self.namespace);
        for name in flows::said(Kind::Topic, self.user) {
            // Behind the name is a word that stands for the id of the message.
            let whole = if name.ends_with('>') { "" } else { ".*" };
            let subject = format!("{}{whole}", self.subject("topic", name));
            self.api(&format!("DIRECT.GET.{stream}.{subject}"));
            self.publish(subject);
        }
        let user = self.user;
        for (_, prefix) in FOLLOWED.iter().filter(|(follower, _)| *follower == user) {
            self.api(&format!("DIRECT.GET.{stream}"));
            let base = format!("{}.told.topic.", self.namespace);
            for filter in names::filters(&base, prefix) {
                self.subscribe(filter);
            }
        }
    }

    fn endpoints(&mut self) {
        for endpoint in flows::said(Kind::Rpc, self.user) {
            self.publish(self.subject("rpc", endpoint));
        }
        for (endpoint, callers) in flows::heard(Kind::Rpc, self.user) {
            self.subscribe(self.subject("rpc", endpoint));
            for caller in callers {
                self.publish(format!("{}.>", inbox(caller)));
            }
        }
        if SERVICES.contains(&self.user) {
            self.publish(format!("{}.>", inbox(OPERATOR)));
            for question in ["$SRV.*", "$SRV.*.@", "$SRV.*.@.*"] {
                self.subscribe(question.replace('@', self.user));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_may_do_anything_anywhere() {
        for user in SERVICES.into_iter().chain([WORKER, OPERATOR]) {
            let suite = in_suite("n", user);
            for allowed in suite.publish.iter().chain(&suite.subscribe) {
                let first = allowed.split('.').next().unwrap();
                assert!(!matches!(first, "*" | ">"), "{user}: {allowed}");
                let changes = ["DELETE", "UPDATE", "PURGE", "MSG.GET", "SNAPSHOT"];
                assert!(!changes.iter().any(|c| allowed.contains(c)), "{allowed}");
            }
        }
    }

    #[test]
    fn the_logs_are_for_orca() {
        for user in SERVICES.into_iter().chain([WORKER, OPERATOR]) {
            assert_eq!(in_logs("n", user).is_some(), user == "orca", "{user}");
            assert_eq!(opens_logs(Some(user)), user == "orca", "{user}");
        }
        assert!(opens_logs(None) && opens_logs(Some("a test")));
        let logs = in_logs("n", "orca").unwrap();
        assert!(logs.publish.contains("n.journal.execution.*"), "{logs:?}");
        let suite = in_suite("n", "orca");
        assert!(!suite.publish.iter().any(|s| s.contains("n.journal")));
    }

    #[test]
    fn a_worker_takes_orders_and_reports() {
        let publish = [
            "$JS.ACK.n_custom.*.>",
            "$JS.API.CONSUMER.INFO.n_custom.*",
            "$JS.API.CONSUMER.MSG.NEXT.n_custom.*",
            "_INBOX_worker.>",
            "n.dead.task.custom.*.*",
            "n.queue.orca.reports.*",
        ];
        let worker = in_suite("n", WORKER);
        assert_eq!(worker.publish.iter().collect::<Vec<_>>(), publish);
        let subscribe: Vec<_> = worker.subscribe.iter().collect();
        assert_eq!(subscribe, ["_INBOX_worker.>"]);
    }
}
