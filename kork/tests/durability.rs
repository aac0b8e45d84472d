//! What must survive: reopening, `kill -9` at any moment, torn writes. Real processes on real files;
//! this program runs itself as the child that is killed.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use kork::{
    embedded::{Embedded, OpenError, SeededIds, SystemClock, TokioClock},
    model::Timestamp,
    ports::{
        Condition, Cursor, Enqueued, Ids, Journal, JournalError, Ports, QueueError, Revision,
        Start, TopicError,
    },
};
use tempfile::TempDir;

/// Tells a child which directory to use.
const CHILD_DIR: &str = "KORK_TEST_CHILD_DIR";
const TASKS: usize = 16;
const RECORDS_PER_SUBJECT: usize = 20;
const LEASE: Duration = Duration::from_mins(1);

fn new_dir() -> (TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("data");
    (dir, path)
}

fn open(path: &Utf8Path) -> Ports {
    Embedded::open(path)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .ports()
}

/// Runs one test of this program as a child on a directory.
fn child(test: &str, dir: &Utf8Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn child_dir() -> Option<Utf8PathBuf> {
    std::env::var(CHILD_DIR).ok().map(Utf8PathBuf::from)
}

/// Child: appends from many tasks until it is killed, and says what was acknowledged.
#[test]
fn child_appends() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    runtime.block_on(async {
        let ports = open(&dir);
        let run = ports.ids.ulid();
        let tasks =
            (0..TASKS).map(|task| tokio::spawn(append_forever(ports.clone(), run.clone(), task)));
        futures_util::future::join_all(tasks).await;
    });
}

async fn append_forever(ports: Ports, run: String, task: usize) {
    for batch in 0.. {
        let subject = format!("w.{run}.{task}.{batch}");
        let mut last = Revision::NONE;
        for number in 0..RECORDS_PER_SUBJECT {
            let payload = payload_of(&subject, number);
            last = ports.journal.append(&subject, last, payload).await.unwrap();
            say(&format!("ACK {subject} {number} {}", last.0));
        }
        let queued = ports
            .queue
            .enqueue("q", &subject, payload_of(&subject, 0), None)
            .await;
        assert_eq!(queued.unwrap(), Enqueued::New);
        say(&format!("QUEUED {subject}"));
        // Many commits without a sync between those with one.
        ports
            .topic
            .publish("t", &subject, Bytes::new())
            .await
            .unwrap();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the parent listens");
}

/// Different in length and content from record to record.
fn payload_of(subject: &str, number: usize) -> Bytes {
    Bytes::from(format!("{subject} {number} ").repeat(1 + number * 3 % 11))
}

/// What a child said was acknowledged.
#[derive(Default, Clone)]
struct Acknowledged {
    /// Subject -> revisions in order.
    records: BTreeMap<String, Vec<u64>>,
    queued: Vec<String>,
    count: usize,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        // The harness of the child writes lines of its own, the kill may cut the last one.
        let line = line
            .find("ACK ")
            .or_else(|| line.find("QUEUED "))
            .map_or("", |at| &line[at..]);
        let words: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
        match words[..] {
            ["ACK", subject, number, revision] if line.ends_with('\n') => {
                let revisions = self.records.entry(subject.to_owned()).or_default();
                assert_eq!(revisions.len(), number.parse::<usize>().unwrap());
                revisions.push(revision.parse().unwrap());
                self.count += 1;
            }
            ["QUEUED", subject] if line.ends_with('\n') => self.queued.push(subject.to_owned()),
            _ => {}
        }
    }

    fn hear_until(&mut self, out: &mut BufReader<ChildStdout>, count: usize) {
        let mut line = String::new();
        while self.count < count {
            line.clear();
            assert!(
                out.read_line(&mut line).unwrap() > 0,
                "the child ended after {}",
                self.count
            );
            self.hear(&line);
        }
    }

    fn hear_rest(&mut self, out: &mut BufReader<ChildStdout>) {
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).unwrap();
        for line in String::from_utf8_lossy(&rest).split_inclusive('\n') {
            self.hear(line);
        }
    }

    /// Every acknowledged record is there as it was written, with at most one more per writer behind
    /// it. An `Err` is damage that the journal itself reports.
    async fn check(&self, journal: &dyn Journal) -> Result<(), JournalError> {
        for (subject, revisions) in &self.records {
            let records = journal.read(subject, Revision::NONE).await?;
            let found: Vec<u64> = records.iter().map(|record| record.revision.0).collect();
            assert!(
                found.starts_with(revisions),
                "{subject}: {revisions:?} became {found:?}"
            );
            assert!(
                found.len() <= revisions.len() + 1,
                "{subject}: {revisions:?}, {found:?}"
            );
            for (number, record) in records.iter().enumerate() {
                assert_eq!(
                    record.payload,
                    payload_of(subject, number),
                    "{subject} {number}"
                );
            }
            assert_eq!(journal.last(subject).await?.0, *found.last().unwrap_or(&0));
        }
        Ok(())
    }
}

/// Starts a child, kills it after about so many acknowledgements, and adds what it said.
fn run_and_kill(dir: &Utf8Path, acknowledgements: usize, heard: &mut Acknowledged) {
    let (mut child, mut out) = child("child_appends", dir);
    let goal = heard.count + acknowledgements;
    heard.hear_until(&mut out, goal);
    child.kill().unwrap();
    child.wait().unwrap();
    heard.hear_rest(&mut out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let (_temp, dir) = new_dir();
    let ids = SeededIds::system(Arc::new(SystemClock));
    let mut heard = Acknowledged::default();
    for _ in 0..6 {
        run_and_kill(&dir, 50 + (ids.random() % 600) as usize, &mut heard);
        let ports = open(&dir);
        heard.check(&*ports.journal).await.unwrap();
        assert!(ports.queue.depth("q").await.unwrap() >= heard.queued.len());
        for subject in &heard.queued {
            let again = ports
                .queue
                .enqueue("q", subject, Bytes::new(), None)
                .await
                .unwrap();
            assert_eq!(
                again,
                Enqueued::Duplicate,
                "{subject} is not in the queue any more"
            );
        }
    }
    assert!(heard.count >= 300);
}

/// Copies the store's files, the mark first: it may be behind the journal, never ahead.
fn copy_store(from: &Utf8Path, to: &Utf8Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in ["journal.mark", "journal.redb"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// Opens a perhaps damaged copy: true when it holds everything, false when it says that it does not.
async fn whole_or_reported(dir: &Utf8Path, heard: &Acknowledged) -> bool {
    match Embedded::open(dir) {
        Ok(embedded) => match heard.check(&*embedded.ports().journal).await {
            Ok(()) => true,
            Err(JournalError::Corrupt { reason }) => {
                assert!(!reason.is_empty());
                false
            }
            Err(other) => panic!("damage is reported as {other}"),
        },
        Err(OpenError::Damaged { path, reason }) => {
            assert!(path.as_str().ends_with("journal.redb") && !reason.is_empty());
            false
        }
        Err(other) => panic!("damage is reported as {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_or_damaged_file_is_whole_or_reported_never_silently_wrong() {
    const PAGE: usize = 4096;
    let (temp, dir) = new_dir();
    let mut heard = Acknowledged::default();
    run_and_kill(&dir, 600, &mut heard);
    let bytes = std::fs::read(dir.join("journal.redb")).unwrap();
    let pages = bytes.len() / PAGE;
    let ids = SeededIds::system(Arc::new(SystemClock));
    let (mut whole, mut reported) = (0, 0);
    for round in 0..40 {
        let copy = Utf8Path::from_path(temp.path())
            .unwrap()
            .join(format!("copy-{round}"));
        copy_store(&dir, &copy);
        let mut torn = bytes.clone();
        match round {
            0 => {}
            // The last page that holds anything, as a write that did not reach the disk leaves it.
            1 => {
                let used = torn.iter().rposition(|byte| *byte != 0).unwrap() / PAGE;
                torn[used * PAGE..(used + 1) * PAGE].fill(0);
            }
            // A file that lost its end.
            2 => torn.truncate(bytes.len() / 2),
            _ => {
                let page = 1 + ids.random() as usize % (pages - 1);
                let start = page * PAGE + ids.random() as usize % PAGE;
                let filler = if round % 2 == 0 { 0 } else { 0xa5 };
                torn[start..(page + 1) * PAGE].fill(filler);
            }
        }
        std::fs::write(copy.join("journal.redb"), &torn).unwrap();
        let is_whole = whole_or_reported(&copy, &heard).await;
        assert!(
            is_whole || round != 0,
            "the file as the kill left it is not damaged"
        );
        *(if is_whole { &mut whole } else { &mut reported }) += 1;
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(
        whole > 0 && reported > 0,
        "{whole} whole, {reported} reported: nothing was tried"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_in_the_middle_of_writing_is_whole_or_reported() {
    let (temp, dir) = new_dir();
    let (mut child, mut out) = child("child_appends", &dir);
    let mut heard = Acknowledged::default();
    let mut copies = Vec::new();
    for round in 1..=6 {
        heard.hear_until(&mut out, round * 120);
        let copy = Utf8Path::from_path(temp.path())
            .unwrap()
            .join(format!("copy-{round}"));
        let known = heard.clone();
        copy_store(&dir, &copy);
        copies.push((copy, known));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for (copy, mut known) in copies {
        // The copy may hold more than was heard of when it was begun.
        let at_least: Vec<String> = known.records.keys().cloned().collect();
        let Ok(embedded) = Embedded::open(&copy) else {
            continue;
        };
        let journal = embedded.ports().journal;
        for subject in at_least {
            let Ok(records) = journal.read(&subject, Revision::NONE).await else {
                break;
            };
            let revisions = known.records.remove(&subject).unwrap();
            let found: Vec<u64> = records.iter().map(|record| record.revision.0).collect();
            assert!(
                found.starts_with(&revisions),
                "{subject}: {revisions:?} became {found:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_file_than_what_was_acknowledged_is_reported() {
    let (_temp, dir) = new_dir();
    let first = {
        let ports = open(&dir);
        ports
            .journal
            .append("s", Revision::NONE, Bytes::from_static(b"one"))
            .await
            .unwrap()
    };
    let old = std::fs::read(dir.join("journal.redb")).unwrap();
    open(&dir)
        .journal
        .append("s", first, Bytes::from_static(b"two"))
        .await
        .unwrap();
    std::fs::write(dir.join("journal.redb"), old).unwrap();
    let Err(OpenError::Damaged { reason, .. }) = Embedded::open(&dir).map(|_| ()) else {
        panic!("the loss of a commit was not noticed");
    };
    assert!(reason.contains("acknowledged commits are missing") && reason.contains("journal.mark"));
    std::fs::remove_file(dir.join("journal.mark")).unwrap();
    assert_eq!(
        open(&dir).journal.last("s").await.unwrap(),
        first,
        "whoever accepts the loss goes on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_of_a_record_is_reported() {
    let (_temp, dir) = new_dir();
    let mark = b"a payload that is easy to find";
    open(&dir)
        .journal
        .append("s", Revision::NONE, Bytes::from_static(mark))
        .await
        .unwrap();
    let mut bytes = std::fs::read(dir.join("journal.redb")).unwrap();
    let places: Vec<usize> = bytes
        .windows(mark.len())
        .enumerate()
        .filter(|(_, w)| w == mark)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(dir.join("journal.redb"), bytes).unwrap();
    let error = open(&dir)
        .journal
        .read("s", Revision::NONE)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, JournalError::Corrupt { reason } if reason.contains("of s")),
        "{error}"
    );
}

/// Child: holds the directory until its input ends.
#[test]
fn child_holds_the_directory() {
    let Some(dir) = child_dir() else { return };
    let _held = open_or_say(&dir);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn open_or_say(dir: &Utf8Path) -> Option<Embedded> {
    match Embedded::open(dir) {
        Ok(embedded) => {
            say("HELD");
            Some(embedded)
        }
        Err(error) => {
            say(&format!("REFUSED {error}"));
            None
        }
    }
}

fn first_word(out: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            out.read_line(&mut line).unwrap() > 0,
            "the child ended without a word"
        );
        if let Some(at) = line.find("HELD").or_else(|| line.find("REFUSED")) {
            return line[at..].trim().to_owned();
        }
    }
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let (_temp, dir) = new_dir();
    let (mut holder, mut out) = child("child_holds_the_directory", &dir);
    assert_eq!(first_word(&mut out), "HELD");
    let Err(error) = Embedded::open(&dir).map(|_| ()) else {
        panic!("two processes hold {dir}")
    };
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == holder.id()));
    let (mut second, mut second_out) = child("child_holds_the_directory", &dir);
    let refusal = first_word(&mut second_out);
    for part in [dir.as_str(), &holder.id().to_string()] {
        assert!(refusal.contains(part), "{part} is not named: {refusal}");
    }
    drop(second.stdin.take());
    second.wait().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    drop(open(&dir));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reopening_keeps_everything() {
    let (_temp, dir) = new_dir();
    let (revision, cursor, stored) = {
        let ports = open(&dir);
        let first = ports
            .journal
            .append("a.1", Revision::NONE, Bytes::from_static(b"1"))
            .await
            .unwrap();
        let second = ports
            .journal
            .append("a.2", Revision::NONE, Bytes::from_static(b"2"))
            .await
            .unwrap();
        ports.journal.purge("a.2", second).await.unwrap();
        let mut follower = ports.journal.subscribe("reader", "a.").await.unwrap();
        follower.ack(first).await.unwrap();
        let cursor = ports
            .topic
            .publish("t", "m1", Bytes::from_static(b"m"))
            .await
            .unwrap();
        let body = Bytes::from_static(b"body");
        let stored = ports
            .objects
            .put("k/Ü", body, Condition::IfAbsent)
            .await
            .unwrap();
        (second, cursor, stored)
    };
    let ports = open(&dir);
    assert_eq!(ports.journal.subjects("").await.unwrap(), ["a.1"]);
    let next = ports
        .journal
        .append("a.2", Revision::NONE, Bytes::from_static(b"3"))
        .await
        .unwrap();
    assert!(next > revision, "a revision was given out twice");
    let mut follower = ports.journal.subscribe("reader", "a.").await.unwrap();
    assert_eq!(
        follower.next().await.unwrap().revision,
        next,
        "the position was forgotten"
    );
    assert_eq!(ports.topic.newest().await.unwrap(), cursor);
    assert_eq!(
        ports.topic.publish("t", "m1", Bytes::new()).await.unwrap(),
        cursor,
        "published twice"
    );
    let mut stream = ports
        .topic
        .subscribe("", Start::After(cursor))
        .await
        .unwrap();
    ports.topic.publish("t", "m2", Bytes::new()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().id, "m2");
    let object = ports.objects.get("k/Ü").await.unwrap().unwrap();
    assert_eq!(
        (&object.body[..], &object.info.etag),
        (&b"body"[..], &stored.etag)
    );
    let future = ports
        .topic
        .subscribe("", Start::After(Cursor(u64::MAX)))
        .await;
    assert!(matches!(future.err(), Some(TopicError::Expired { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_everything_not_acknowledged_is_delivered_at_once() {
    let (_temp, dir) = new_dir();
    let pull = async |ports: &Ports| {
        let taken = ports
            .queue
            .pull("q", 10, LEASE, Duration::ZERO)
            .await
            .unwrap();
        taken
            .into_iter()
            .map(|delivery| (delivery.id.clone(), delivery))
            .collect::<BTreeMap<_, _>>()
    };
    let lease = {
        let ports = open(&dir);
        for id in ["done", "held", "dead"] {
            ports
                .queue
                .enqueue("q", id, Bytes::from_static(b"x"), None)
                .await
                .unwrap();
        }
        let tomorrow = Some(ports.clock.now().plus_ms(86_400_000));
        ports
            .queue
            .enqueue("q", "later", Bytes::new(), tomorrow)
            .await
            .unwrap();
        let taken = pull(&ports).await;
        ports.queue.ack(&taken["done"].lease).await.unwrap();
        ports
            .queue
            .reject(&taken["dead"].lease, "unreadable")
            .await
            .unwrap();
        taken["held"].lease.clone()
    };
    let ports = open(&dir);
    assert_eq!(ports.queue.depth("q").await.unwrap(), 2);
    let taken = pull(&ports).await;
    assert_eq!(
        taken.keys().collect::<Vec<_>>(),
        ["held"],
        "held at once, later tomorrow"
    );
    assert_eq!(ports.queue.dead("q").await.unwrap()[0].1, "unreadable");
    let stale = ports.queue.ack(&lease).await;
    assert!(
        matches!(stale, Err(QueueError::LeaseLost { .. })),
        "a lease of the earlier process"
    );
    ports.queue.ack(&taken["held"].lease).await.unwrap();
}

/// Enqueues for random moments and takes what comes: (worker, time, id).
async fn work(ports: Ports, worker: u64) -> Vec<(u64, u64, String)> {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let due = Some(ports.clock.now().plus_ms(ports.ids.random() % 1_000));
        let id = ports.ids.ulid();
        ports
            .queue
            .enqueue("q", &id, Bytes::new(), due)
            .await
            .unwrap();
        let wait = Duration::from_secs(5);
        for delivery in ports.queue.pull("q", 1, LEASE, wait).await.unwrap() {
            ports.queue.ack(&delivery.lease).await.unwrap();
            seen.push((worker, ports.clock.now().millis(), delivery.id));
        }
    }
    seen
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed: u64| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let clock = TokioClock::shared(Timestamp(1_700_000_000_000));
            let ids = Arc::new(SeededIds::new(seed, Arc::clone(&clock)));
            let ports = Embedded::in_memory(clock, ids).ports();
            let mut trace = Vec::new();
            let workers = (0..4_u64).map(|worker| work(ports.clone(), worker));
            for seen in futures_util::future::join_all(workers).await {
                trace.extend(seen);
            }
            trace
        })
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}
