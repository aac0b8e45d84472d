//! Every embedded adapter against the contract suites, in a directory and in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    future::{Future, ready},
    sync::{Arc, Mutex},
};

use camino::Utf8Path;
use kork::{
    contract,
    embedded::{Embedded, SeededIds, TokioClock},
    model::Timestamp,
    ports::Ports,
};
use tempfile::TempDir;

/// Makes ports in new directories, which live as long as the maker.
fn in_directories() -> (
    impl Fn() -> std::future::Ready<Ports>,
    Arc<Mutex<Vec<TempDir>>>,
) {
    let dirs = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&dirs);
    let make = move || {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        kept.lock().unwrap().push(dir);
        ready(Embedded::open(&path).unwrap().ports())
    };
    (make, dirs)
}

fn in_memory() -> impl Future<Output = Ports> {
    let clock = TokioClock::shared(Timestamp(1_700_000_000_000));
    let ids = Arc::new(SeededIds::new(1, Arc::clone(&clock)));
    ready(Embedded::in_memory(clock, ids).ports())
}

macro_rules! both {
    ($($port:ident, $directory:ident, $memory:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $directory() {
                let (make, _dirs) = in_directories();
                contract::$port(make).await;
            }

            #[tokio::test(start_paused = true)]
            async fn $memory() {
                contract::$port(in_memory).await;
            }
        )*
    };
}

both! {
    journal, the_journal_in_a_directory, the_journal_in_memory;
    queue, the_queue_in_a_directory, the_queue_in_memory;
    topic, the_topic_in_a_directory, the_topic_in_memory;
    rpc, the_rpc_in_a_directory, the_rpc_in_memory;
    cache, the_cache_in_a_directory, the_cache_in_memory;
    objects, the_objects_in_a_directory, the_objects_in_memory;
    clock, the_clock_of_the_machine, the_clock_of_a_test;
}
