//! Regular expressions in linear time. Look-around and back-references of Java are refused.

use regex::{Captures, Regex, RegexBuilder};

use super::error::{ErrorKind, ExpressionError, Result};
use super::eval::Evaluator;
use super::limits::{MAX_REGEX_BYTES, MAX_REGEX_LENGTH, MAX_RESULT_BYTES};

fn compile(evaluator: &Evaluator<'_>, pattern: &str) -> Result<Regex> {
    let length = pattern.chars().count();
    if length > MAX_REGEX_LENGTH {
        return Err(ExpressionError::limit(format!(
            "the regular expression has {length} characters, more than {MAX_REGEX_LENGTH}"
        )));
    }
    // Compiling costs more than a look at each character.
    evaluator.spend(500 + length * 50)?;
    RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|e| {
            let text = format!("'{pattern}' is no regular expression here: {e}");
            ExpressionError::new(ErrorKind::IllegalArgument, text)
        })
}

/// The whole text matches.
pub(super) fn matches(evaluator: &Evaluator<'_>, text: &str, pattern: &str) -> Result<bool> {
    evaluator.spend(text.len())?;
    // Compiled bare first, so that `a)|(b` does not become valid by being wrapped.
    compile(evaluator, pattern)?;
    Ok(compile(evaluator, &format!("^(?:{pattern})$"))?
        .find(text)
        .is_some_and(|found| found.len() == text.len()))
}

/// `replaceAll` and `replaceFirst`, with `$1`, `${name}` and `\$` in the replacement as in Java.
pub(super) fn replace(
    evaluator: &Evaluator<'_>,
    text: &str,
    pattern: &str,
    replacement: &str,
    first_only: bool,
) -> Result<String> {
    evaluator.spend(text.len())?;
    let regex = compile(evaluator, pattern)?;
    let mut result = String::new();
    let mut last = 0;
    let limit = if first_only { 1 } else { usize::MAX };
    for captures in regex.captures_iter(text).take(limit) {
        let whole = captures.get(0).expect("group 0 is the whole match");
        result.push_str(&text[last..whole.start()]);
        expand(&captures, replacement, &mut result)?;
        last = whole.end();
        if result.len() > MAX_RESULT_BYTES {
            break;
        }
    }
    result.push_str(&text[last..]);
    Ok(result)
}

fn expand(captures: &Captures<'_>, replacement: &str, result: &mut String) -> Result<()> {
    let wrong = |text: String| ExpressionError::new(ErrorKind::IllegalArgument, text);
    let mut rest = replacement;
    while let Some(at) = rest.find(['$', '\\']) {
        result.push_str(&rest[..at]);
        let escape = rest[at..].starts_with('\\');
        rest = &rest[at + 1..];
        let Some(next) = rest.chars().next() else {
            return Err(wrong(format!(
                "the replacement '{replacement}' ends too early"
            )));
        };
        if escape {
            result.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        }
        let (group, length) = if next == '{' {
            let end = rest
                .find('}')
                .ok_or_else(|| wrong("'}' is missing in the replacement".into()))?;
            (captures.name(&rest[1..end]), end + 1)
        } else {
            group_number(captures, rest)
                .ok_or_else(|| wrong(format!("the replacement '{replacement}' names no group")))?
        };
        result.push_str(group.map_or("", |found| found.as_str()));
        rest = &rest[length..];
    }
    result.push_str(rest);
    Ok(())
}

/// As many digits as still name a group.
fn group_number<'t>(
    captures: &Captures<'t>,
    rest: &str,
) -> Option<(Option<regex::Match<'t>>, usize)> {
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len())
        .min(4);
    (1..=digits).rev().find_map(|length| {
        let group: usize = rest[..length].parse().ok()?;
        (group < captures.len()).then(|| (captures.get(group), length))
    })
}

/// `split` of Java: no empty first piece for an empty match, no empty last pieces unless asked for.
pub(super) fn split(
    evaluator: &Evaluator<'_>,
    text: &str,
    pattern: &str,
    limit: i32,
) -> Result<Vec<String>> {
    evaluator.spend(text.len())?;
    let regex = compile(evaluator, pattern)?;
    let most = usize::try_from(limit).unwrap_or(0);
    let mut pieces = Vec::new();
    let mut last = 0;
    for found in regex.find_iter(text) {
        if most > 0 && pieces.len() + 1 == most {
            break;
        }
        if found.end() == 0 || (found.is_empty() && found.start() == text.len()) {
            continue;
        }
        pieces.push(text[last..found.start()].to_owned());
        last = found.end();
    }
    if pieces.is_empty() {
        return Ok(vec![text.to_owned()]);
    }
    pieces.push(text[last..].to_owned());
    if limit == 0 {
        while pieces.last().is_some_and(String::is_empty) {
            pieces.pop();
        }
    }
    Ok(pieces)
}
