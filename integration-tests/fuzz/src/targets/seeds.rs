//! Inputs to begin with, out of what the tests of the parsers have.

use std::fs;

use serde_json::Value;

use crate::{Input, corpus::repository};

/// Texts of a file of tests that are taken.
const LITERALS_MAX: usize = 400;

/// A file of JSON of the repository. Null when it is not there: a test of the table of targets tells.
pub(super) fn json(path: &str) -> Value {
    let text = fs::read_to_string(repository(path)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// One input of each of these.
pub(super) fn of_values(values: &[Value]) -> Vec<Input> {
    values
        .iter()
        .map(|value| Input::body(value.to_string()))
        .collect()
}

pub(super) fn of_texts(texts: &[&str]) -> Vec<Input> {
    texts.iter().map(|text| Input::body(*text)).collect()
}

/// The texts in quotes of a file of tests: what a parser's own tests try is what it tells apart.
pub(super) fn literals(path: &str) -> Vec<Input> {
    let source = fs::read_to_string(repository(path)).unwrap_or_default();
    let lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let texts = lines.flat_map(quoted).filter(|text| !text.is_empty());
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts.dedup();
    texts
        .into_iter()
        .take(LITERALS_MAX)
        .map(Input::body)
        .collect()
}

/// Texts in quotes of one line, with the escapes that occur in tests.
fn quoted(line: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None::<String>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (&mut open, letter) {
            (None, '"') => open = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') => found.extend(open.take()),
            (Some(text), '\\') => match letters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => {}
            },
            (Some(text), other) => text.push(other),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_line_are_found() {
        assert_eq!(quoted(r#"f("a", 'b', "c\"d\n", "open"#), ["a", "c\"d\n"]);
    }

    #[test]
    fn fixtures_are_where_they_are_expected() {
        assert!(json("igor/inbound/tests/deliveries/github.json").is_array());
        assert!(literals("orca/triggers/src/cron/tests.rs").len() > 50);
    }
}
