//! Regular expressions of triggers, in Java's words (look-around, possessive quantifiers), compiled
//! when they are first needed and kept within bounds.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use fancy_regex::{Expr, Regex, RegexBuilder};

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 8 * 1024;
/// Longest text that a pattern is tried on, in bytes; what is behind is not seen.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Most memory of one compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Most memory that searching with one pattern keeps, in bytes.
const SEARCH_BYTES_MAX: usize = 128 * 1024;
/// Most instructions of a pattern that looks around.
const INSTRUCTIONS_MAX: usize = 20_000;
/// Most steps back of one search.
const BACKTRACKS_MAX: usize = 100_000;
/// Compiled patterns per generation; two generations are kept for each way of matching.
const GENERATION: usize = 512;

/// How much of a text a pattern has to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It occurs somewhere.
    Find,
    /// It covers all of the text.
    Whole,
}

/// Why a pattern can never match, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad(pub String);

type Compiled = Result<Arc<Regex>, Bad>;
type Generation = HashMap<Box<str>, Compiled>;

/// The compiled patterns that were used last.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    find: Mutex<Kept>,
    whole: Mutex<Kept>,
}

/// What was used since the young generation began, and in the one before.
#[derive(Debug, Default)]
struct Kept {
    young: Generation,
    old: Generation,
}

impl Patterns {
    /// Whether a text has what a pattern asks for.
    pub(crate) fn holds(&self, how: How, pattern: &str, text: &str) -> Result<bool, Bad> {
        let text = cut(text);
        if let Some(literal) = Literal::of(pattern) {
            return Ok(literal.holds(how, text));
        }
        let regex = self.compiled(how, pattern)?;
        regex.is_match(text).map_err(|error| Bad(error.to_string()))
    }

    fn compiled(&self, how: How, pattern: &str) -> Compiled {
        let kept = match how {
            How::Find => &self.find,
            How::Whole => &self.whole,
        };
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(pattern) {
            return found;
        }
        let made = compile(how, pattern);
        lock().put(pattern, made.clone());
        made
    }
}

impl Kept {
    fn get(&mut self, pattern: &str) -> Option<Compiled> {
        if let Some(found) = self.young.get(pattern) {
            return Some(found.clone());
        }
        let found = self.old.remove(pattern)?;
        self.put(pattern, found.clone());
        Some(found)
    }

    fn put(&mut self, pattern: &str, made: Compiled) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(Box::from(pattern), made);
    }
}

/// Whether a pattern is looked at without compiling anything.
pub(crate) fn is_plain(pattern: &str) -> bool {
    Literal::of(pattern).is_some()
}

fn compile(how: How, pattern: &str) -> Compiled {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Bad(format!("longer than {PATTERN_BYTES_MAX} bytes")));
    }
    let pattern = as_java(pattern);
    // on its own first: `a)|(b` only becomes valid between the brackets that `Whole` adds
    Expr::parse_tree(&pattern).map_err(|error| Bad(error.to_string()))?;
    let all = match how {
        How::Find => pattern,
        How::Whole => Cow::Owned(format!("\\A(?:{pattern})\\z")),
    };
    RegexBuilder::new(&all)
        .backtrack_limit(BACKTRACKS_MAX)
        .delegate_size_limit(COMPILED_BYTES_MAX)
        .delegate_dfa_size_limit(SEARCH_BYTES_MAX)
        .delegate_dfa_skip_cache_capacity_check(false)
        .max_prog_size(INSTRUCTIONS_MAX)
        .build()
        .map(Arc::new)
        .map_err(|error| Bad(error.to_string()))
}

/// Java's `\w`, `\d` and `\s` are ASCII, which also keeps counted repetitions of them small; what is
/// between `\Q` and `\E` is plain text.
fn as_java(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains('\\') {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let escaped = chars.next();
        rest = chars.as_str();
        match escaped {
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('s') => out.push_str("[\\t-\\r ]"),
            Some('S') => out.push_str("[^\\t-\\r ]"),
            Some('Q') => {
                let (plain, behind) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&fancy_regex::escape(plain));
                rest = behind;
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A pattern that is a plain text, perhaps tied to the start or the end, perhaps with `.*` around it:
/// most are, and cost no memory.
#[derive(Debug)]
struct Literal<'a> {
    text: Cow<'a, str>,
    start: Side,
    end: Side,
}

/// What stands before or behind the plain text.
#[derive(Debug, Clone, Copy)]
struct Side {
    /// `^` or `$`.
    tied: bool,
    /// `.*`, which covers anything but an end of line.
    any: bool,
}

impl<'a> Literal<'a> {
    fn of(pattern: &'a str) -> Option<Self> {
        let (start_tied, rest) = cut_start(pattern, "^");
        let (end_tied, rest) = match rest.strip_suffix('$') {
            Some(body) if body.ends_with('\\') => return None,
            Some(body) => (true, body),
            None => (false, rest),
        };
        let (start_any, rest) = cut_start(rest, ".*");
        let (end_any, body) = match rest.strip_suffix(".*") {
            Some(body) if body.ends_with('\\') => return None,
            Some(body) => (true, body),
            None => (false, rest),
        };
        let text = unescaped(body).filter(|text| !text.contains('\n'))?;
        let (start, end) = (
            Side {
                tied: start_tied,
                any: start_any,
            },
            Side {
                tied: end_tied,
                any: end_any,
            },
        );
        Some(Self { text, start, end })
    }

    fn holds(&self, how: How, text: &str) -> bool {
        let whole = how == How::Whole;
        let (from_start, to_end) = (whole || self.start.tied, whole || self.end.tied);
        let (mut lines, wanted) = (text, &*self.text);
        if from_start && self.start.any {
            lines = match lines.split_once('\n') {
                // the end has to be in the first line too
                Some(_) if to_end => return false,
                Some((first, _)) => first,
                None => lines,
            };
        }
        if to_end && self.end.any {
            lines = match lines.rsplit_once('\n') {
                Some(_) if from_start => return false,
                Some((_, last)) => last,
                None => lines,
            };
        }
        match (from_start && !self.start.any, to_end && !self.end.any) {
            (true, true) => lines == wanted,
            (true, false) => lines.starts_with(wanted),
            (false, true) => lines.ends_with(wanted),
            (false, false) => lines.contains(wanted),
        }
    }
}

fn cut_start<'a>(pattern: &'a str, prefix: &str) -> (bool, &'a str) {
    pattern
        .strip_prefix(prefix)
        .map_or((false, pattern), |rest| (true, rest))
}

fn unescaped(body: &str) -> Option<Cow<'_, str>> {
    if !body.contains(|c| r"\.+*?()|[]{}^$".contains(c)) {
        return Some(Cow::Borrowed(body));
    }
    let mut plain = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|c| r"\.+*?()|[]{}^$/-".contains(*c))?),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                return None;
            }
            c => plain.push(c),
        }
    }
    Some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(how: How, pattern: &str, text: &str) -> bool {
        Patterns::default().holds(how, pattern, text).unwrap()
    }

    #[test]
    fn java_patterns_are_understood() {
        assert!(holds(How::Whole, "^(?!main$).*", "dev"));
        assert!(!holds(How::Whole, "^(?!main$).*", "main"));
        assert!(holds(How::Whole, "release/.*|main", "release/1"));
        assert!(!holds(How::Whole, "a|b", "ab"));
        assert!(holds(How::Find, "a|b", "xxbxx"));
        assert!(holds(How::Whole, r"v\d++", "v12"));
        assert!(holds(How::Whole, "", ""));
        assert!(!holds(How::Whole, "^main$", "main2"));
        assert!(holds(
            How::Whole,
            r"[\w.-]{1,63}:\d{1,5}\s?",
            "host-1.corp:5000"
        ));
        assert!(!holds(How::Find, r"\d", "\u{661}"));
        assert!(holds(How::Whole, r"\Qa.b(\E\W\S", "a.b(-x"));
        assert!(!holds(How::Find, r"\Qa.b\E", "aXb"));
        assert!(holds(How::Find, r"(?<=release/)\d+", "x release/7"));
    }

    #[test]
    fn bad_patterns_say_so() {
        let patterns = Patterns::default();
        for bad in [
            "(",
            "a)|(b",
            "[",
            "*",
            "(?:(?:x{1000}){1000}){1000}",
            &"(".repeat(3000),
            &"a.".repeat(9000),
        ] {
            assert!(
                patterns.holds(How::Whole, bad, "a").is_err(),
                "{}",
                bad.len()
            );
            assert!(patterns.holds(How::Find, bad, "a").is_err());
        }
        // what backtracks without end is given up
        let slow = r"^(?=(a+)+$)(a|aa)+\1b$";
        assert_ne!(patterns.holds(How::Find, slow, &"a".repeat(5000)), Ok(true));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let patterns = Patterns::default();
        for n in 0..2000 {
            assert!(
                patterns
                    .holds(How::Whole, &format!("a+{n}"), &format!("aa{n}"))
                    .unwrap()
            );
        }
        let kept = patterns.whole.lock().unwrap();
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION);
        assert!(kept.young.contains_key("a+1999"));
    }

    proptest! {
        #[test]
        fn plain_texts_are_as_their_pattern(pattern in r"\^?(\.\*)?[ab.\\/\-x]{0,3}(\.\*)?\$?", text in "[ab.\\\\/x\n-]{0,5}") {
            if let Some(literal) = Literal::of(&pattern) {
                for how in [How::Find, How::Whole] {
                    let regex = compile(how, &pattern).unwrap();
                    prop_assert_eq!(literal.holds(how, &text), regex.is_match(&*text).unwrap());
                }
            }
        }

        #[test]
        fn no_pattern_panics(pattern in r"[()\[\]{}|*+?^$\\.a-cPpQEd0-9,<>=!:&#-]{0,20}", text in "\\PC{0,12}") {
            let patterns = Patterns::default();
            let _known = patterns.holds(How::Find, &pattern, &text).is_ok();
            let _known = patterns.holds(How::Whole, &pattern, &text).is_ok();
        }
    }
}
