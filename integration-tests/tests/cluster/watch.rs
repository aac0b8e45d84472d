//! What users see meanwhile: the event stream of whichever gate lives, and how long nobody answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use integration_tests::harness::{Event, EventStream, Gate, eventually};
use serde_json::Value;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

/// A stream that says nothing for so long is left for another gate.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Pause before another gate is tried.
const RETRY: Duration = Duration::from_millis(50);
/// Nothing new for this long means that all has come.
const QUIET: Duration = Duration::from_secs(2);
/// Time for the last events to come.
const END_MAX: Duration = Duration::from_mins(1);
/// A user gives up on an answer and asks again after this time.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Follows the events of one application from the first one on, over any number of connections.
pub(crate) struct Events {
    gates: Vec<String>,
    query: String,
    seen: Arc<Mutex<Vec<Event>>>,
    following: JoinHandle<()>,
}

impl Events {
    pub(crate) fn follow(gates: &[Gate], application: &str) -> Self {
        let gates: Vec<String> = gates.iter().map(|g| g.base().to_owned()).collect();
        let query = format!("application={application}");
        let seen = Arc::default();
        let following = follow(gates.clone(), query.clone(), Arc::clone(&seen));
        Self {
            following: tokio::spawn(following),
            gates,
            query,
            seen,
        }
    }

    /// Waits for the end of these executions, given as JSON, and sees to it that every event of each
    /// came, once and in order. Answers with how many there were.
    pub(crate) async fn are_whole(self, executions: &[Value]) -> usize {
        let ends: BTreeSet<String> = executions.iter().map(id).collect();
        eventually("all ends are told", END_MAX, async || {
            let seen = self.seen.lock().unwrap();
            let told = seen.iter().filter(|e| is_end(e));
            let told: BTreeSet<&str> = told.filter_map(|e| e.data["subject"].as_str()).collect();
            let missing: Vec<&String> = ends.iter().filter(|e| !told.contains(&***e)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            Err(format!("the ends of {missing:?} are not told"))
        })
        .await;
        // One reader who never went away would have seen the same.
        let mut stream = EventStream::connect(&self.gates[0], &self.query, Some(0)).await;
        let mut all = Vec::new();
        while let Some(event) = stream.next(QUIET).await {
            all.push(event);
        }
        self.following.abort();
        let seen = self.seen.lock().unwrap().clone();
        let cursors = |events: &[Event]| events.iter().map(|e| e.cursor).collect::<Vec<_>>();
        assert_eq!(
            cursors(&seen),
            cursors(&all),
            "one reader, many connections"
        );
        let ids: BTreeSet<&str> = all.iter().filter_map(|e| e.data["id"].as_str()).collect();
        assert_eq!(ids.len(), all.len(), "an event is told twice");
        let mut by_execution: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in &all {
            let subject = event.data["subject"].as_str().unwrap_or_default();
            by_execution.entry(subject).or_default().push(event);
        }
        for execution in executions {
            is_whole(execution, &by_execution[id(execution).as_str()]);
        }
        all.len()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn follow(gates: Vec<String>, query: String, seen: Arc<Mutex<Vec<Event>>>) {
    for gate in gates.iter().cycle() {
        let last = seen.lock().unwrap().last().map_or(0, |e| e.cursor);
        if let Ok(mut stream) = EventStream::try_connect(gate, &query, Some(last)).await {
            while let Some(event) = stream.next(SILENCE_MAX).await {
                seen.lock().unwrap().push(event);
            }
        }
        sleep(RETRY).await;
    }
}

fn id(execution: &Value) -> String {
    execution["id"].as_str().unwrap().to_owned()
}

fn is_end(event: &Event) -> bool {
    ["complete", "failed"]
        .iter()
        .any(|end| event.kind == format!("orca:pipeline:{end}"))
}

/// The revision of the log and the place in it, from the id of an event.
fn place(event: &Event) -> (u64, u64) {
    let id = event.data["id"].as_str().unwrap();
    let mut parts = id.rsplit(':').map(|part| part.parse().unwrap());
    let (second, first) = (parts.next().unwrap(), parts.next().unwrap());
    (first, second)
}

/// Every part of the execution that began is told to begin and to end, in the order of the log.
fn is_whole(execution: &Value, events: &[&Event]) {
    let places: Vec<(u64, u64)> = events.iter().map(|e| place(e)).collect();
    let told: Vec<String> = events
        .iter()
        .map(|e| format!("{:?} {} {}", place(e), e.kind, e.data["data"]["refId"]))
        .collect();
    assert!(places.is_sorted(), "out of order: {told:#?}");
    let at = |kind: &str, stage: Option<&Value>| -> usize {
        let is = |e: &&&Event| {
            e.kind == kind && stage.is_none_or(|stage| e.data["data"]["stageId"] == *stage)
        };
        let found: Vec<usize> = (0..events.len()).filter(|n| is(&&events[*n])).collect();
        assert_eq!(found.len(), 1, "{kind} {stage:?}: {told:#?}");
        found[0]
    };
    assert_eq!(at("orca:pipeline:created", None), 0, "{told:#?}");
    let begins = at("orca:pipeline:starting", None);
    let succeeded = |what: &Value| what["status"] == "SUCCEEDED";
    let ending = |what: &Value| {
        if succeeded(what) {
            "complete"
        } else {
            "failed"
        }
    };
    let ends = at(&format!("orca:pipeline:{}", ending(execution)), None);
    assert_eq!(ends, events.len() - 1, "{told:#?}");
    let stages = execution["stages"].as_array().unwrap().iter();
    for stage in stages.filter(|stage| !stage["startTime"].is_null()) {
        let began = at("orca:stage:starting", Some(&stage["id"]));
        let kind = format!("orca:stage:{}", ending(stage));
        let ended = at(&kind, Some(&stage["id"]));
        assert!(begins < began && began < ended && ended < ends, "{told:#?}");
    }
}

/// Asks every gate again and again, and keeps the longest time in which none answered.
pub(crate) struct Service {
    asking: JoinSet<()>,
    figures: Arc<Mutex<Figures>>,
}

struct Figures {
    last: Instant,
    longest: Duration,
}

impl Service {
    pub(crate) fn watch(gates: &[Gate], path: &str) -> Self {
        let figures = Arc::new(Mutex::new(Figures {
            last: Instant::now(),
            longest: Duration::ZERO,
        }));
        let mut asking = JoinSet::new();
        for gate in gates {
            asking.spawn(ask(gate.clone(), path.to_owned(), Arc::clone(&figures)));
        }
        Self { asking, figures }
    }

    /// The longest time without an answer.
    pub(crate) fn longest_outage(mut self) -> Duration {
        self.asking.abort_all();
        self.figures.lock().unwrap().longest
    }
}

async fn ask(gate: Gate, path: String, figures: Arc<Mutex<Figures>>) {
    loop {
        let answer = timeout(ANSWER_MAX, gate.get(&path)).await;
        if matches!(answer, Ok(Ok(_))) {
            let mut figures = figures.lock().unwrap();
            figures.longest = figures.longest.max(figures.last.elapsed());
            figures.last = Instant::now();
        }
        sleep(RETRY).await;
    }
}
