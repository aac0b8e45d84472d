//! Patterns of tags and branches in the configuration: regular expressions that match a whole name, as in
//! Spinnaker's triggers.

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// What means something other than itself in an expression, and what may take back the character before it.
const SPECIAL: [char; 14] = [
    '\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$',
];

/// Which names are watched.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Option<Regex>,
    prefix: String,
}

impl Pattern {
    /// No text, or an empty one, matches every name.
    pub(crate) fn new(text: Option<&str>) -> Result<Self, regex::Error> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self {
                regex: None,
                prefix: String::new(),
            });
        };
        let compiled = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(COMPILED_BYTES_MAX)
                .build()
        };
        // Alone first: `a)|(b` is no expression, though within a group it would be one.
        compiled(text)?;
        Ok(Self {
            regex: Some(compiled(&format!(r"\A(?:{text})\z"))?),
            prefix: literal_prefix(text).to_owned(),
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.regex.as_ref().is_none_or(|r| r.is_match(name))
    }

    /// What every matching name begins with, as far as that is easily seen.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

fn literal_prefix(text: &str) -> &str {
    if text.contains('|') {
        return "";
    }
    let end = text.find(SPECIAL).unwrap_or(text.len());
    let (prefix, rest) = text.split_at(end);
    // A repetition may be repeated, such as none of one or more.
    if rest.trim_start_matches('+').starts_with(['*', '?', '{']) {
        let last = prefix.chars().next_back().map_or(0, char::len_utf8);
        return &prefix[..prefix.len() - last];
    }
    prefix
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let pattern = Pattern::new(Some(r"v\d+|release/.*")).unwrap();
        for (name, expected) in [
            ("v1", true),
            ("release/1", true),
            ("v1-rc", false),
            ("xv1", false),
            ("v1\n", false),
            ("", false),
        ] {
            assert_eq!(pattern.matches(name), expected, "{name:?}");
        }
        for all in [None, Some("")] {
            assert!(Pattern::new(all).unwrap().matches("anything"));
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["(", "a)|(b", "[z-a]", r"\p{Nope}", "(?:a{1000}){1000}"] {
            assert!(Pattern::new(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn the_prefix_is_what_every_match_begins_with() {
        for (text, prefix) in [
            ("main", "main"),
            ("release/.*", "release/"),
            (r"v1\.2", "v1"),
            ("ab*", "a"),
            ("ab?c", "a"),
            ("é{2}", ""),
            ("ab+", "ab"),
            ("ab+*", "a"),
            ("ab+?c", "a"),
            ("main|dev", ""),
            ("(?i)main", ""),
            ("^main", ""),
        ] {
            assert_eq!(Pattern::new(Some(text)).unwrap().prefix(), prefix, "{text}");
        }
    }

    proptest! {
        #[test]
        fn matches_begin_with_the_prefix(text in "[ab.*+?|()(){}2]{0,8}", name in "[ab]{0,6}") {
            if let Ok(pattern) = Pattern::new(Some(&text))
                && pattern.matches(&name)
            {
                prop_assert!(name.starts_with(pattern.prefix()), "{text} {name}");
            }
        }
    }
}
