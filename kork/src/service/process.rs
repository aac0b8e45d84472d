//! What the operating system says of this process, read when somebody asks. Names as every exporter of
//! Prometheus has them.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Clock ticks of `/proc` per second: fixed on Linux, whatever the kernel counts in.
const TICKS_PER_S: f64 = 100.0;
const PAGE_BYTES: i64 = 4096;

/// Memory, processor time, threads and open files.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(seen) = Seen::now() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(seen.cpu_s);
        let about = encoder.encode_descriptor(
            "process_cpu",
            "processor time of this process",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?;
        cpu.encode(about)?;
        let gauges = [
            (
                "process_resident_memory_bytes",
                "memory that is in use",
                seen.resident_bytes,
            ),
            ("process_threads", "threads", seen.threads),
            (
                "process_open_fds",
                "open files and connections",
                seen.open_files,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let about = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(about)?;
        }
        Ok(())
    }
}

struct Seen {
    cpu_s: f64,
    resident_bytes: i64,
    threads: i64,
    open_files: i64,
}

impl Seen {
    /// `None` where there is no `/proc`.
    fn now() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
        Self::read(&text, open as i64)
    }

    /// The name in parentheses may hold anything, so fields count from its last parenthesis.
    fn read(stat: &str, open_files: i64) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        Some(Self {
            cpu_s: (number(11)? + number(12)?) as f64 / TICKS_PER_S,
            resident_bytes: number(21)?.saturating_mul(PAGE_BYTES),
            threads: number(17)?,
            open_files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 4096 25 1";
        let seen = Seen::read(stat, 3).unwrap();
        assert!((seen.cpu_s - 2.0).abs() < 1e-9);
        assert_eq!(
            (seen.threads, seen.resident_bytes, seen.open_files),
            (9, 102_400, 3)
        );
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let seen = Seen::now().unwrap();
        assert!(seen.resident_bytes > 1_000_000 && seen.open_files >= 3 && seen.threads >= 1);
    }
}
