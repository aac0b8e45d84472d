//! Appending bytes to a file and waiting until they are on the disk: the limit of every durable log.

use std::{fs::File, io::Write, path::Path, time::Instant};

use crate::{IN_FLIGHT, median};

/// Groups, or single records, of one run.
const WRITES: usize = 100;

/// Records of this size per second when `together` of them are written and flushed as one.
fn per_second(dir: &Path, bytes: usize, together: usize) -> std::io::Result<f64> {
    let path = dir.join("raw");
    let mut file = File::create(&path)?;
    let group = vec![b'x'; bytes * together];
    let began = Instant::now();
    for _ in 0..WRITES {
        file.write_all(&group)?;
        file.sync_data()?;
    }
    let rate = (WRITES * together) as f64 / began.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Medians: records per second one at a time, and grouped.
pub(crate) fn measure(dir: &Path, bytes: usize, runs: u64) -> (f64, f64) {
    let rates = |together: usize| {
        let rates = (0..runs).map(|_| per_second(dir, bytes, together));
        let rates: std::io::Result<Vec<f64>> = rates.collect();
        median(&mut rates.expect("a temporary file can be written"))
    };
    (rates(1), rates(IN_FLIGHT))
}
