//! Changes that are worth their time: of bytes, of JSON by its structure, of heads.

mod bytes;
mod head;
mod json;

use crate::{Input, input::BYTES_MAX, random::Random};

/// Changes of one input, one over the other.
const CHANGES_MAX: usize = 8;
/// Once in so many times an input grows as far as it may: what takes more than linear time shows itself.
const GROWS_ONE_IN: usize = 40;

/// What changes are made of.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// Words that the parser tells apart.
    pub words: &'a [String],
    /// Other inputs, to take parts from.
    pub others: &'a [&'a Input],
    /// Names of heads that the target knows, with a value each.
    pub heads: &'a [(String, String)],
}

/// A changed input, never larger than an input may be.
pub fn mutated(input: &Input, material: Material<'_>, random: &mut Random) -> Input {
    let mut input = input.clone();
    for _ in 0..random.few(CHANGES_MAX) {
        let has_head = !material.heads.is_empty() || !input.head.is_empty();
        if has_head && random.one_in(3) {
            head::change(&mut input.head, material, random);
        } else if !(random.below(10) < 6 && json::change(&mut input.body, material, random)) {
            bytes::change(&mut input.body, material, random);
        }
        if input.len() > BYTES_MAX {
            break;
        }
    }
    if random.one_in(GROWS_ONE_IN) {
        bytes::grow(&mut input.body, BYTES_MAX, random);
    }
    cut(&mut input);
    input
}

/// A text changed as bytes are.
fn text(value: &str, material: Material<'_>, random: &mut Random) -> String {
    let mut bytes = value.as_bytes().to_vec();
    for _ in 0..random.few(4) {
        bytes::change(&mut bytes, material, random);
    }
    if random.one_in(GROWS_ONE_IN) {
        bytes::grow(&mut bytes, BYTES_MAX / 2, random);
    }
    bytes.truncate(BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Takes away what is too much, from the end of the body first.
fn cut(input: &mut Input) {
    while input.len() > BYTES_MAX && !input.head.is_empty() && input.body.is_empty() {
        input.head.pop();
    }
    let head = input.len() - input.body.len();
    input.body.truncate(BYTES_MAX.saturating_sub(head));
    if input.len() > BYTES_MAX {
        input.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_none_is_too_large() {
        let seed = Input::body(r#"{"a": [1, {"b": "text"}], "c": null}"#).with(":path", "x");
        let other = Input::body("[true]");
        let material = Material {
            words: &["word".to_owned(), "${".to_owned()],
            others: &[&other],
            heads: &[("x-name".to_owned(), "value".to_owned())],
        };
        let made = |seed_of_chance: u64| {
            let mut random = Random::new(seed_of_chance);
            let mut input = seed.clone();
            for _ in 0..3_000 {
                input = mutated(&input, material, &mut random);
                assert!(input.len() <= BYTES_MAX, "{}", input.len());
                if random.one_in(10) {
                    input = seed.clone();
                }
            }
            input
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
    }
}
