//! Which server groups of a cluster an operation means. Spinnaker's rules.

use std::cmp::Reverse;

use kork_model::Timestamp;

/// One server group of a cluster, as far as the choice needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub name: String,
    pub created: Timestamp,
    /// Instances that should run.
    pub size: u32,
    /// Takes traffic.
    pub enabled: bool,
}

/// Newest first; with `larger_first` by size before age. Names break ties, so that a choice is
/// always the same.
fn order(groups: &[Candidate], larger_first: bool) -> Vec<&Candidate> {
    let mut sorted: Vec<_> = groups.iter().collect();
    sorted.sort_by_key(|g| {
        (
            Reverse(if larger_first { g.size } else { 0 }),
            Reverse(g.created),
            Reverse(g.name.clone()),
        )
    });
    sorted
}

fn names(groups: &[&Candidate]) -> Vec<String> {
    groups.iter().map(|g| g.name.clone()).collect()
}

/// The server group that a dynamic target means; `None` when there is none, or no such target.
pub fn dynamic(groups: &[Candidate], target: &str) -> Option<String> {
    let newest = order(groups, false);
    let chosen = match target {
        "newest" | "current" | "current_asg" | "current_asg_dynamic" => newest.first(),
        "second_newest" | "previous" | "ancestor" | "ancestor_asg" | "ancestor_asg_dynamic" => {
            newest.get(1)
        }
        "oldest" | "oldest_asg" | "oldest_asg_dynamic" => newest.last(),
        "largest" => return order(groups, true).first().map(|g| g.name.clone()),
        "smallest" => {
            return newest
                .into_iter()
                .min_by_key(|g| g.size)
                .map(|g| g.name.clone());
        }
        _ => None,
    };
    chosen.map(|g| g.name.clone())
}

/// All but the first `remaining` enabled ones.
pub fn to_disable(groups: &[Candidate], remaining: usize, larger_first: bool) -> Vec<String> {
    let enabled: Vec<_> = order(groups, larger_first)
        .into_iter()
        .filter(|g| g.enabled)
        .collect();
    names(enabled.get(remaining..).unwrap_or_default())
}

/// Those to destroy so that `size` remain, as far as they may be: enabled ones only when allowed.
pub fn to_destroy(
    groups: &[Candidate],
    size: usize,
    active_too: bool,
    larger_first: bool,
) -> Vec<String> {
    let deletable: Vec<_> = order(groups, larger_first)
        .into_iter()
        .filter(|g| active_too || !g.enabled)
        .collect();
    let kept = size.saturating_sub(groups.len() - deletable.len());
    names(deletable.get(kept..).unwrap_or_default())
}

/// Those to scale to zero: all but the first `full_size`, enabled ones only when allowed.
pub fn to_scale_down(
    groups: &[Candidate],
    full_size: usize,
    active_too: bool,
    larger_first: bool,
) -> Vec<String> {
    let ordered = order(groups, larger_first);
    let rest = ordered.get(full_size..).unwrap_or_default();
    let chosen: Vec<_> = rest
        .iter()
        .copied()
        .filter(|g| (active_too || !g.enabled) && g.size > 0)
        .collect();
    names(&chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// v000 oldest; size and enabled as given.
    fn cluster(groups: &[(u32, bool)]) -> Vec<Candidate> {
        let make = |(at, (size, enabled)): (usize, &(u32, bool))| Candidate {
            name: format!("v{at:03}"),
            created: Timestamp(at as u64),
            size: *size,
            enabled: *enabled,
        };
        groups.iter().enumerate().map(make).collect()
    }

    #[test]
    fn dynamic_targets() {
        let groups = cluster(&[(5, true), (1, true), (2, true)]);
        for (target, name) in [
            ("current_asg_dynamic", Some("v002")),
            ("newest", Some("v002")),
            ("ancestor_asg_dynamic", Some("v001")),
            ("oldest_asg_dynamic", Some("v000")),
            ("largest", Some("v000")),
            ("smallest", Some("v001")),
            ("what", None),
        ] {
            assert_eq!(dynamic(&groups, target).as_deref(), name, "{target}");
        }
        assert_eq!(
            dynamic(&cluster(&[(1, true)]), "ancestor_asg_dynamic"),
            None
        );
    }

    #[test]
    fn disabling_keeps_the_newest_enabled_ones() {
        let groups = cluster(&[(9, true), (1, true), (1, false), (1, true)]);
        assert_eq!(to_disable(&groups, 1, false), ["v001", "v000"]);
        assert_eq!(to_disable(&groups, 1, true), ["v003", "v001"]);
        assert_eq!(to_disable(&groups, 9, false), Vec::<String>::new());
    }

    #[test]
    fn shrinking_spares_enabled_ones_unless_allowed() {
        let groups = cluster(&[(1, false), (1, true), (1, false), (1, true)]);
        assert_eq!(
            to_destroy(&groups, 1, true, false),
            ["v002", "v001", "v000"]
        );
        assert_eq!(to_destroy(&groups, 1, false, false), ["v002", "v000"]);
        assert_eq!(to_destroy(&groups, 3, false, false), ["v000"]);
    }

    #[test]
    fn scaling_down_leaves_full_size_and_enabled_ones() {
        let groups = cluster(&[(3, false), (0, false), (3, true), (3, true)]);
        assert_eq!(to_scale_down(&groups, 1, false, false), ["v000"]);
        assert_eq!(to_scale_down(&groups, 1, true, false), ["v002", "v000"]);
    }
}
