//! Behaviour beside recordings of the original: what a real Orca did with small pipelines, and what a
//! real Gate answered. The recordings and the programs that compare lie outside of the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use integration_tests::{
    cluster::Cluster,
    harness::{Suite, announce, eventually, workspace_root},
};
use serde_json::Value;

/// Groups of pipelines in which no status and no stage may differ.
const STRICT: [&str; 13] = [
    "graph", "shape", "fail", "enabled", "precond", "params", "vars", "wait", "judgment",
    "control", "limit", "child", "misc",
];
/// Of the cases in the strict groups, this part may differ in a context or an output: one in so many.
const OUTPUT_ONE_IN: usize = 20;
/// What a difference can be about, the gravest first.
const KINDS: [&str; 5] = ["STATUS", "STAGE", "OUTPUT", "TASKS", "MESSAGE"];
/// Calls that gate answers otherwise than the original, each with the reason.
const EXPLAINED: &str = include_str!("../../golden/gate-corpus-differences.txt");

/// A directory of the recordings: under `GENNAKER_SHARED`, else under `shared` beside the workspace.
fn recordings(name: &str) -> Option<Utf8PathBuf> {
    let given = std::env::var("GENNAKER_SHARED").ok().map(Utf8PathBuf::from);
    let beside = || workspace_root().parent().map(|p| p.join("shared"));
    let found = given.or_else(beside).map(|dir| dir.join(name));
    let found = found.filter(|dir| dir.is_dir());
    if found.is_none() {
        announce("SKIPPED: no corpus beside the workspace (../shared, or GENNAKER_SHARED)");
    }
    found
}

/// A helper process that does not outlive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The targets of webhook stages, and their address.
async fn stub(corpus: &Utf8Path) -> (Guarded, String) {
    // The program wants a number: one that is free now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let child = Command::new("python3")
        .arg(corpus.join("stub.py"))
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 runs the corpus; install it");
    let address = format!("127.0.0.1:{port}");
    eventually("the stub listens", Suite::PATIENCE, async || {
        let connected = tokio::net::TcpStream::connect(&address).await;
        connected.map(|_| ()).map_err(|e| e.to_string())
    })
    .await;
    (Guarded(child), format!("http://{address}"))
}

/// Runs a program to its end without blocking the others; what it wrote to stdout.
async fn run(command: &mut tokio::process::Command) -> String {
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output();
    let output = output.await.expect("python3 runs the corpus; install it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // 1 says that something differs; that is judged here.
    let usual = matches!(output.status.code(), Some(0 | 1));
    assert!(usual, "{}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

fn group_of(case: &Utf8Path) -> String {
    let text = std::fs::read_to_string(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let case: Value = serde_json::from_str(&text).unwrap();
    case["group"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn pipelines_do_what_they_did_in_the_original() {
    let Some(corpus) = recordings("corpus") else {
        return;
    };
    let suite = Suite::start().await;
    compare(&corpus, suite.gate().base(), &suite.beside("corpus.json")).await;
}

/// Whoever is asked, and whoever goes on: two of each service on shared servers do the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_do_on_two_of_each_what_they_did_in_the_original() {
    let Some(corpus) = recordings("corpus") else {
        return;
    };
    let Some(cluster) = Cluster::start(2).await else {
        return;
    };
    let report = cluster.dir().join("corpus.json");
    compare(&corpus, cluster.gates()[0].base(), &report).await;
}

/// Runs all cases; the differences stay within bounds.
async fn compare(corpus: &Utf8Path, base: &str, report: &Utf8Path) {
    let (_stub, stub) = stub(corpus).await;
    let told = run(tokio::process::Command::new("python3")
        .arg(corpus.join("run_corpus.py"))
        .args(["compare", "--api", "gate", "--base", base])
        .args(["--stub", &stub, "--json"])
        .arg(report))
    .await;
    let text = std::fs::read_to_string(report).unwrap_or_else(|e| panic!("{e}: {told}"));
    let report: BTreeMap<String, Vec<Vec<Value>>> = serde_json::from_str(&text).unwrap();
    let kinds_of = |differences: &[Vec<Value>]| -> BTreeSet<String> {
        let kinds = differences.iter().filter_map(|d| d.first()?.as_str());
        kinds.map(str::to_owned).collect()
    };

    let mut table: BTreeMap<String, [usize; KINDS.len() + 1]> = BTreeMap::new();
    let (mut strict, mut grave, mut outputs) = (0, Vec::new(), Vec::new());
    for (name, differences) in &report {
        let group = group_of(&corpus.join("cases").join(format!("{name}.json")));
        let kinds = kinds_of(differences);
        let row = table.entry(group.clone()).or_default();
        row[0] += 1;
        for (n, kind) in KINDS.iter().enumerate() {
            row[n + 1] += usize::from(kinds.contains(*kind));
        }
        if STRICT.contains(&group.as_str()) {
            strict += 1;
            if kinds.contains("STATUS") || kinds.contains("STAGE") {
                grave.push(format!("{name}: {differences:?}"));
            } else if kinds.contains("OUTPUT") {
                outputs.push(name);
            }
        }
    }
    println!(
        "{:<10} {:>6} {}",
        "group",
        "cases",
        KINDS.map(|k| format!("{k:>8}")).concat()
    );
    for (group, row) in &table {
        let counts = row[1..].iter().map(|n| format!("{n:>8}"));
        println!("{group:<10} {:>6} {}", row[0], counts.collect::<String>());
    }
    assert!(
        strict > 100,
        "only {strict} cases of the strict groups were run: {told}"
    );
    assert!(
        grave.is_empty(),
        "statuses or stages differ: {grave:#?}\n{told}"
    );
    let most = strict / OUTPUT_ONE_IN;
    assert!(
        outputs.len() <= most,
        "outputs of more than {most} of {strict} cases differ: {outputs:?}\n{told}"
    );
}

#[tokio::test]
async fn gate_answers_as_the_original_but_for_what_is_explained() {
    let Some(corpus) = recordings("gate-corpus") else {
        return;
    };
    let suite = Suite::start().await;
    let told = run(tokio::process::Command::new("python3")
        .arg(corpus.join("run_gate_corpus.py"))
        .args(["compare", suite.gate().base()])
        .arg(&corpus)
        .args(["--level", "keys", "-v"]))
    .await;
    let explained: BTreeMap<&str, &str> = EXPLAINED
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .map(|l| {
            l.split_once(" => ")
                .unwrap_or_else(|| panic!("no reason: {l}"))
        })
        .collect();
    let differing = differing(&told, &|member| explained.contains_key(member));
    let summary = told.lines().last().unwrap_or_default();
    println!("{summary}; {} are explained", explained.len());
    assert!(summary.contains(" steps, "), "{told}");
    let new: Vec<_> = differing
        .iter()
        .filter(|d| !explained.contains_key(*d))
        .collect();
    assert!(new.is_empty(), "not explained: {new:#?}\n{told}");
    let past: Vec<_> = explained
        .keys()
        .filter(|e| !e.starts_with('+') && !differing.contains(*e))
        .collect();
    assert!(
        past.is_empty(),
        "explained, but no longer different: {past:#?}"
    );
}

/// Calls that differ in more than members that we add.
fn differing<'a>(told: &'a str, is_ours: &dyn Fn(&str) -> bool) -> BTreeSet<&'a str> {
    let adds_ours = |line: &str| {
        let path = line.trim().strip_prefix('+');
        let member = path.and_then(|path| path.rsplit('/').next());
        member.is_some_and(|member| is_ours(&format!("+{member}")))
    };
    let calls = told.split("DIFF ").skip(1);
    let differing = calls.filter_map(|text| {
        let (call, details) = text.split_once('\n').unwrap_or((text, ""));
        let mut details = details
            .lines()
            .take_while(|l| l.starts_with(' '))
            .peekable();
        let only_ours = details.peek().is_some() && details.all(adds_ours);
        (!only_ours).then(|| call.rsplit_once(" (").map_or(call, |(name, _)| name))
    });
    differing.collect()
}
