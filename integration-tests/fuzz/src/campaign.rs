//! Many inputs of one target: change one that is known, run it, keep it when it is something new.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{
    Fault, Input, Shape, Target, corpus,
    input::unescaped,
    mutate::{Material, mutated},
    random::Random,
    run,
    shrink::shrunk,
};

/// Inputs that are known at once; more are not kept.
const KNOWN_MAX: usize = 6_000;
/// Features that begin with the same letters count so often: words of an input that got into a message are no news.
const ALIKE_MAX: usize = 40;
const KIND_CHARS: usize = 16;
/// The newest inputs, which are changed as often as all others together.
const NEWEST: usize = 40;
/// Inputs that a change takes parts from.
const OTHERS: usize = 8;

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    pub runs: u64,
    /// Inputs that brought something new.
    pub known: usize,
    /// What they brought.
    pub features: usize,
    pub faults: usize,
    /// The longest run.
    pub longest: Duration,
}

/// A fault and the smallest input that shows it.
#[derive(Debug, Clone)]
pub struct Find {
    pub fault: Fault,
    pub input: Input,
}

/// The search for inputs of one target that it does not take well.
pub struct Campaign {
    target: Target,
    words: Vec<String>,
    heads: Vec<(String, String)>,
    random: Random,
    /// In the order in which they were found.
    inputs: Vec<Input>,
    /// Features of all shapes so far.
    features: HashSet<String>,
    /// How many of them begin alike.
    alike: HashMap<String, usize>,
    /// Place of the shortest input of a shape that had something new.
    shapes: HashMap<Shape, usize>,
    kinds: BTreeSet<String>,
    progress: Progress,
    slowest: Input,
}

impl Campaign {
    /// Begins with the seeds, the corpus and the regressions of the repository and with `more`.
    pub fn new(target: Target, seed: u64, more: Vec<Input>) -> (Self, Vec<Find>) {
        let mut campaign = Self {
            target,
            words: target.words.lines().map(unescaped).collect(),
            heads: Input::of_file(target.heads.as_bytes(), true).head,
            random: Random::new(seed),
            inputs: Vec::new(),
            features: HashSet::new(),
            alike: HashMap::new(),
            shapes: HashMap::new(),
            kinds: BTreeSet::new(),
            progress: Progress::default(),
            slowest: Input::default(),
        };
        let stored = [
            corpus::corpus(target.name),
            corpus::regressions(target.name),
        ];
        let stored = stored
            .iter()
            .flat_map(|folder| corpus::read(folder, target.has_head()));
        let begin = (target.seeds)()
            .into_iter()
            .chain(stored.map(|(_, input)| input))
            .chain(more);
        let finds = begin.filter_map(|input| campaign.try_one(&input)).collect();
        (campaign, finds)
    }

    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// Inputs that brought something new, in the order in which they were found.
    pub fn found(&self) -> &[Input] {
        &self.inputs
    }

    /// The input that took longest.
    pub const fn slowest(&self) -> &Input {
        &self.slowest
    }

    /// The input that comes next.
    pub fn next_input(&mut self) -> Input {
        let random = &mut self.random;
        let newest = self.inputs.len().saturating_sub(NEWEST);
        let from = if random.one_in(2) { newest } else { 0 };
        let empty = Input::default();
        let input = random.pick(&self.inputs[from..]).unwrap_or(&empty);
        let others: Vec<&Input> = (0..OTHERS)
            .filter_map(|_| random.pick(&self.inputs))
            .collect();
        let material = Material {
            words: &self.words,
            others: &others,
            heads: &self.heads,
        };
        mutated(input, material, random)
    }

    /// Runs an input; the fault when it is one that was not seen before.
    pub fn try_one(&mut self, input: &Input) -> Option<Find> {
        let (outcome, took) = run::run(&self.target, input);
        self.progress.runs += 1;
        if took > self.progress.longest {
            self.progress.longest = took;
            self.slowest = input.clone();
        }
        match outcome {
            Ok(shape) => {
                self.keep(shape, input);
                None
            }
            Err(fault) => self.fault(fault, input),
        }
    }

    fn keep(&mut self, shape: Shape, input: &Input) {
        if let Some(&at) = self.shapes.get(&shape) {
            if input.len() < self.inputs[at].len() {
                self.inputs[at] = input.clone();
            }
            return;
        }
        let before = self.features.len();
        for feature in shape.features() {
            let kind: String = feature.chars().take(KIND_CHARS).collect();
            let alike = self.alike.entry(kind).or_default();
            if *alike < ALIKE_MAX && self.features.insert(feature) {
                *alike += 1;
            }
        }
        self.progress.features = self.features.len();
        if self.features.len() > before && self.inputs.len() < KNOWN_MAX {
            self.shapes.insert(shape, self.inputs.len());
            self.inputs.push(input.clone());
            self.progress.known = self.inputs.len();
        }
    }

    fn fault(&mut self, fault: Fault, input: &Input) -> Option<Find> {
        let kind = fault.kind();
        if !self.kinds.insert(kind.clone()) {
            return None;
        }
        self.progress.faults += 1;
        let input = match fault {
            // Smaller ones are faster: there is nothing to be gained.
            Fault::Slow { .. } => input.clone(),
            Fault::Panic(_) | Fault::Wrong(_) => shrunk(input, |smaller| {
                run::run(&self.target, smaller)
                    .0
                    .is_err_and(|fault| fault.kind() == kind)
            }),
        };
        let fault = run::run(&self.target, &input).0.err().unwrap_or(fault);
        Some(Find { fault, input })
    }
}

/// Runs inputs until the time is over; every new fault is handed to `told`, and so is the progress, each second.
pub fn search(
    campaign: &mut Campaign,
    time: Duration,
    mut before: impl FnMut(&Input),
    mut told: impl FnMut(&Campaign, Option<Find>),
) {
    let began = Instant::now();
    let mut said = began;
    while began.elapsed() < time {
        let input = campaign.next_input();
        before(&input);
        let find = campaign.try_one(&input);
        let is_due = said.elapsed() >= Duration::from_secs(1);
        if find.is_some() || is_due {
            told(campaign, find);
        }
        if is_due {
            said = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    /// A parser with a mistake behind four steps.
    #[expect(clippy::unnecessary_wraps, reason = "as every target")]
    fn run_it(input: &Input) -> Outcome {
        let text = input.text();
        let steps = "deep"
            .chars()
            .zip(text.chars())
            .take_while(|(a, b)| a == b)
            .count();
        assert!(steps < 4, "it is deep");
        Ok(Shape::new().count("", 1 << steps))
    }

    #[test]
    fn a_mistake_behind_several_steps_is_found_and_made_small() {
        let seeds = || vec![Input::body("x")];
        let target = Target::of_body("test of campaigns", seeds, "d\ne\np", run_it);
        let (mut campaign, finds) = Campaign::new(target, 1, Vec::new());
        assert!(finds.is_empty());
        let mut found = None;
        for _ in 0..200_000 {
            let input = campaign.next_input();
            found = campaign.try_one(&input);
            if found.is_some() {
                break;
            }
        }
        let find = found.expect("the mistake is found");
        assert_eq!(find.input.text(), "deep");
        assert!(matches!(find.fault, Fault::Panic(_)));
        assert_eq!(campaign.progress().faults, 1);
        assert!(campaign.try_one(&find.input).is_none(), "it is told once");
    }
}
