//! Which process a pid means: a pid is used again, its start time and the machine's boot are not.

use serde::{Deserialize, Serialize};

/// A process, for as long as the machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    /// Clock ticks since boot; 0 where the system does not say.
    pub(super) start_ticks: u64,
    pub(super) boot: String,
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) is_zombie: bool,
    pub(super) group: u32,
    pub(super) start_ticks: u64,
}

impl Identity {
    /// The process with this pid; `None` when there is none, or it has ended.
    pub(super) fn of(pid: u32) -> Option<Self> {
        if !has_proc() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
            rustix::process::test_kill_process(pid).ok()?;
            return Some(Self {
                start_ticks: 0,
                boot: String::new(),
            });
        }
        let stat = Stat::of(pid).filter(|s| !s.is_zombie)?;
        Some(Self {
            start_ticks: stat.start_ticks,
            boot: boot(),
        })
    }
}

impl Stat {
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so fields count from its last parenthesis.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        Some(Self {
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
            group: fields.get(2)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Linux; elsewhere less is known about processes.
pub(super) fn has_proc() -> bool {
    std::path::Path::new("/proc/self/stat").exists()
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = "42 (a) Z (b) S 1 77 77 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 12345 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            stat,
            Stat {
                is_zombie: false,
                group: 77,
                start_ticks: 12345
            }
        );
        assert_eq!(Stat::parse("42 (x"), None);
    }

    #[test]
    fn this_process_is_itself_and_no_process_is_none() {
        let me = std::process::id();
        assert!(Identity::of(me).is_some());
        assert_eq!(Identity::of(me), Identity::of(me));
        assert_eq!(Identity::of(u32::MAX), None);
    }
}
