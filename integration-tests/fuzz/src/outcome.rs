//! What became of an input: the shape of an answer, or what must never happen.

use std::fmt::{self, Display};

/// Words of a shape; what comes after is left out.
const WORDS_MAX: usize = 64;
/// Bytes of one message that count.
const SAID_BYTES_MAX: usize = 160;

/// How an answer looks, without its values: words in an order that depends on the way that was taken. Inputs
/// with the same words went the same way as far as can be seen. It is the feedback of the fuzzer, in the place of
/// coverage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<String>);

impl Shape {
    pub fn new() -> Self {
        Self::default()
    }

    /// Every word, and every two that follow each other: a new one of them is something new, while all words
    /// together would be new for nearly every input.
    pub fn features(&self) -> impl Iterator<Item = String> {
        let pairs = self.0.windows(2).map(|pair| pair.join(" "));
        self.0.iter().cloned().chain(pairs)
    }

    /// A word of ours: the variant of an enum, a status, a name out of a closed list.
    #[must_use]
    pub fn word(mut self, word: impl Display) -> Self {
        if self.0.len() < WORDS_MAX {
            self.0.push(word.to_string());
        }
        self
    }

    /// A field that is set, or not.
    #[must_use]
    pub fn set(self, name: &str, is_set: bool) -> Self {
        if is_set { self.word(name) } else { self }
    }

    /// So many of something, by powers of two: one more of many is nothing new.
    #[must_use]
    pub fn count(self, name: &str, number: usize) -> Self {
        let bits = usize::BITS - number.leading_zeros();
        self.word(format_args!("{name}{bits}"))
    }

    /// A message without what it quotes.
    #[must_use]
    pub fn said(self, message: impl Display) -> Self {
        let message = message.to_string();
        self.word(skeleton(&message))
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" | "))
    }
}

/// What must never happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A parser panicked.
    #[error("panic: {0}")]
    Panic(String),
    /// One input took longer than any may.
    #[error("slow: {bytes} bytes took {ms} ms, at most {ms_max}")]
    Slow { bytes: usize, ms: u64, ms_max: u64 },
    /// It answered, and the answer is wrong.
    #[error("wrong: {0}")]
    Wrong(String),
}

impl Fault {
    /// The same fault has the same kind, whatever the input.
    pub fn kind(&self) -> String {
        match self {
            Self::Slow { .. } => "slow".to_owned(),
            Self::Panic(said) | Self::Wrong(said) => skeleton(said),
        }
    }
}

/// What one run of a target brings.
pub type Outcome = Result<Shape, Fault>;

/// Something that has to hold of every answer.
pub fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::Wrong(what()))
    }
}

/// An answer is no larger than its question allows.
pub fn bounded(what: &str, bytes: usize, bytes_max: usize) -> Result<(), Fault> {
    must(bytes <= bytes_max, || {
        format!("{what} has {bytes} bytes, at most {bytes_max}")
    })
}

/// The first line without numbers, and without all between the first and the last quote or bracket of a kind: that
/// is the input's, not the parser's, and may hold quotes itself.
fn skeleton(message: &str) -> String {
    let mut message = message.to_owned();
    for [open, close] in [['`', '`'], ['"', '"'], ['\'', '\''], ['{', '}'], ['[', ']']] {
        if let Some(first) = message.find(open) {
            let last = message.rfind(close).filter(|last| *last > first);
            let end = last.map_or(message.len(), |last| last + 1);
            message.replace_range(first..end, "_");
        }
    }
    let message = message.lines().next().unwrap_or_default();
    let mut bare = String::new();
    for letter in message
        .chars()
        .filter(|letter| (' '..='~').contains(letter))
    {
        let letter = if letter.is_ascii_digit() { '0' } else { letter };
        if bare.len() < SAID_BYTES_MAX && !(letter == '0' && bare.ends_with('0')) {
            bare.push(letter);
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_input_are_no_part_of_a_shape() {
        let one = Shape::new()
            .word("bad")
            .said("line 17: `a`b\"c` is no")
            .count("events", 5);
        let other = Shape::new()
            .word("bad")
            .said("line 3: `` is no")
            .count("events", 7);
        assert_eq!(one, other);
        assert_ne!(one, Shape::new().word("bad"));
        let set = Shape::new().set("a", true).set("b", false);
        assert_eq!(set.to_string(), "a");
        let three = Shape::new().word("a").word("b").word("c");
        assert_eq!(
            three.features().collect::<Vec<_>>(),
            ["a", "b", "c", "a b", "b c"]
        );
        let long = Shape::new().said("x".repeat(10_000)).to_string();
        assert!(long.len() <= SAID_BYTES_MAX);
    }

    #[test]
    fn a_fault_is_known_again() {
        let of = |n| Fault::Panic(format!("index {n} out of range at src/a.rs:{n}"));
        assert_eq!(of(3).kind(), of(77).kind());
        assert!(must(true, String::new).is_ok());
        assert_eq!(
            bounded("x", 2, 1).unwrap_err().kind(),
            "x has 0 bytes, at most 0"
        );
    }
}
