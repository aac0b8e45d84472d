//! The real binary: how soon it is ready, how much memory it takes, how late its timers are.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use integration_tests::{
    harness::{Suite, eventually, resident_kib},
    pipeline::{pipeline, wait},
};
use serde_json::Value;

use crate::{Row, Table, median, percentile};

/// Pending waits at which memory and timers are measured.
const PENDING: [usize; 2] = [1_000, 10_000];
/// Seconds that they wait: longer than the measurement.
const PENDING_S: u64 = 3_600;
/// Requests at the same time.
const AT_ONCE: usize = 32;
/// Waits whose end is compared with when it should have been.
const PROBES: usize = 300;
/// Seconds that a probe waits.
const PROBE_S: u64 = 2;
/// Pause between the starts of two probes.
const PROBE_PAUSE: Duration = Duration::from_millis(10);
/// Memory is read when nothing has happened for this long.
const QUIET: Duration = Duration::from_secs(2);

/// Measures and adds to the table.
pub(crate) async fn measure(runs: u64, rows: &mut Table) {
    let mut starts = Vec::new();
    for _ in 0..runs {
        let mut suite = Suite::start().await;
        starts.push(suite.start_took().as_secs_f64() * 1_000.0);
        suite.stop().await;
    }
    rows.push(
        Row::new(
            "from the start of the process to ready, empty directory",
            format!("{:.0} ms", median(&mut starts)),
        )
        .aim("<= 1000 ms"),
    );
    let suite = Suite::start().await;
    let idle = resident(&suite).await;
    rows.push(Row::new("resident memory, idle", mebibytes(idle)).aim("<= 60 MiB"));
    let mut pending = 0;
    for wanted in PENDING {
        hold(&suite, wanted - pending).await;
        pending = wanted;
        let now = resident(&suite).await;
        let row = Row::new(
            format!("resident memory with {pending} waiting executions"),
            format!(
                "{} (+{})",
                mebibytes(now),
                mebibytes(now.saturating_sub(idle))
            ),
        );
        let is_last = Some(&wanted) == PENDING.last();
        rows.push(row.aim(if is_last { "<= +64 MiB" } else { "" }));
        let mut late = lateness(&suite).await;
        let (p50, p99) = (percentile(&mut late, 50), percentile(&mut late, 99));
        rows.push(
            Row::new(
                format!("timers are late with {pending} pending waits"),
                format!("p50 {p50:.0} ms, p99 {p99:.0} ms"),
            )
            .aim("p99 <= 20 ms"),
        );
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

/// KiB once it does not change any more.
async fn resident(suite: &Suite) -> u64 {
    tokio::time::sleep(QUIET).await;
    resident_kib(suite.pid()).expect("the suite runs")
}

/// Starts so many executions that wait.
async fn hold(suite: &Suite, count: usize) {
    let definition = pipeline("bench", "held", &[wait("1", &[], PENDING_S)]);
    let starts = stream::iter(0..count).map(|_| async {
        let started = suite.gate().start(&definition).await;
        started.unwrap_or_else(|t| panic!("an execution does not start: {t}"));
    });
    starts.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Milliseconds by which waits ended too late.
async fn lateness(suite: &Suite) -> Vec<f64> {
    let definition = pipeline("bench", "probe", &[wait("1", &[], PROBE_S)]);
    let mut ids = Vec::new();
    for _ in 0..PROBES {
        let id = suite.gate().start(&definition).await;
        ids.push(id.unwrap_or_else(|t| panic!("a probe does not start: {t}")));
        tokio::time::sleep(PROBE_PAUSE).await;
    }
    // Nothing is asked while the timers run.
    tokio::time::sleep(Duration::from_secs(PROBE_S + 1)).await;
    let mut late = Vec::new();
    for id in ids {
        let done = eventually("a probe ends", Suite::PATIENCE, async || {
            let execution = suite.gate().execution(&id).await;
            let execution = execution.map_err(|t| t.to_string())?;
            let ended = execution["status"] == "SUCCEEDED";
            if ended {
                Ok(execution)
            } else {
                Err(execution.to_string())
            }
        })
        .await;
        late.push(late_ms(&done["stages"][0]));
    }
    late
}

fn late_ms(stage: &Value) -> f64 {
    let time = |member: &str| stage[member].as_u64().unwrap_or_default();
    let lasted = time("endTime").saturating_sub(time("startTime"));
    lasted.saturating_sub(PROBE_S * 1_000) as f64
}
