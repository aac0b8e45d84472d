//! Every parser that reads bytes from outside, in one table.

use crate::{Input, Outcome, targets};

/// One parser, and what is known about its inputs.
#[derive(Clone, Copy)]
pub struct Target {
    /// As it is called on the command line, and its folder under `corpus`.
    pub name: &'static str,
    /// Inputs to begin with: those of the parser's own tests.
    pub seeds: fn() -> Vec<Input>,
    /// Words that it tells apart, one a line.
    pub words: &'static str,
    /// Names of its head with values, `name: value`, one a line; empty for a parser of a body alone.
    pub heads: &'static str,
    /// Parses, looks at what came of it, and says what is wrong with that.
    pub run: fn(&Input) -> Outcome,
}

impl Target {
    /// A target without head.
    pub(crate) const fn of_body(
        name: &'static str,
        seeds: fn() -> Vec<Input>,
        words: &'static str,
        run: fn(&Input) -> Outcome,
    ) -> Self {
        Self {
            name,
            seeds,
            words,
            heads: "",
            run,
        }
    }

    pub const fn has_head(&self) -> bool {
        !self.heads.is_empty()
    }
}

/// All of them, by their names.
pub fn all() -> Vec<Target> {
    let mut all = [targets::inbound::TARGETS, targets::proof::TARGETS].concat();
    all.extend_from_slice(targets::triggers::TARGETS);
    all.extend_from_slice(targets::engine::TARGETS);
    all.extend_from_slice(targets::model::TARGETS);
    #[cfg(feature = "clients")]
    {
        all.extend_from_slice(targets::files::TARGETS);
        all.extend_from_slice(targets::servers::TARGETS);
    }
    all.sort_by_key(|target| target.name);
    all
}

/// The targets whose name begins so; all for an empty text.
pub fn named(start: &str) -> Vec<Target> {
    let exact = all().into_iter().find(|target| target.name == start);
    exact.map_or_else(
        || {
            let mut all = all();
            all.retain(|target| target.name.starts_with(start));
            all
        },
        |target| vec![target],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_name_of_its_own_and_seeds_that_it_runs() {
        let all = all();
        for pair in all.windows(2) {
            assert_ne!(pair[0].name, pair[1].name);
        }
        for target in &all {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            for seed in seeds {
                assert!(target.has_head() || seed.head.is_empty(), "{}", target.name);
                let outcome = (target.run)(&seed);
                assert!(outcome.is_ok(), "{}: {outcome:?} of {seed:?}", target.name);
            }
        }
    }

    #[test]
    fn targets_are_found_by_their_beginning() {
        assert_eq!(named("cron").len(), 1);
        assert!(named("inbound-").len() > 20);
        assert_eq!(named("").len(), all().len());
        assert!(named("no such").is_empty());
    }
}
