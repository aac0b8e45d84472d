//! `JsonPath` as constraints and status fields are named with it: `$.a.b`, `$['a']`, `$.list[0].x`, `[-1]`, `[*]`,
//! `.*` and `..name`, walked here, because a path that somebody writes must not cost more than a bounded number of
//! visits, and because names may have what RFC 9535 wants in quotes (`$.a.b-c`). What else stands in brackets is
//! that RFC's: slices, unions and filters (`$.list[?(@.name == 'x')].y`); a filter looks at what is below `@` by name
//! and index alone. Scripts are not understood.

use serde_json::{Map, Value};
use serde_json_path::JsonPath;

/// Longest path that is looked at, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// Most values that one path yields; what is behind them is left out.
pub const VALUES_MAX: usize = 1024;
/// Most values that are visited at one step of a path.
const VISITS_MAX: usize = 100_000;

#[derive(Debug)]
enum Step {
    Name(String),
    /// From the start, or from the end when negative.
    At(i64),
    Any,
    /// The value itself and everything below it.
    Deep,
    /// Some of what is directly in it.
    Some(Box<JsonPath>),
}

/// The first value at a path; `None` when the path is not understood or leads nowhere.
pub fn find<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    walk(vec![document], &steps(path)?).into_iter().next()
}

/// All values at a path, in the order of the document, at most [`VALUES_MAX`]. `None` when the path is
/// not understood.
pub fn select<'a>(document: &'a Map<String, Value>, path: &str) -> Option<Vec<&'a Value>> {
    let steps = steps(path)?;
    let Some((first, rest)) = steps.split_first() else {
        return Some(Vec::new());
    };
    let (start, rest) = match (first, rest.split_first()) {
        (Step::Name(name), _) => (document.get(name).into_iter().collect(), rest),
        // Of the document itself nothing is chosen: it is no `Value`.
        (Step::At(_) | Step::Some(_), _) => (Vec::new(), rest),
        (Step::Any, _) => (document.values().collect(), rest),
        // the document is no `Value`: what is directly in it is taken before what is deeper
        (Step::Deep, Some((next, behind))) => {
            let mut start: Vec<&Value> = match next {
                Step::Name(name) => document.get(name).into_iter().collect(),
                Step::Any => document.values().collect(),
                Step::At(_) | Step::Deep | Step::Some(_) => Vec::new(),
            };
            let deeper = document.values().flat_map(below).take(VISITS_MAX);
            start.extend(deeper.flat_map(|value| one(value, next)));
            (start, behind)
        }
        (Step::Deep, None) => (document.values().collect(), &steps[..]),
    };
    Some(walk(start, rest))
}

fn walk<'a>(start: Vec<&'a Value>, steps: &[Step]) -> Vec<&'a Value> {
    let mut here = start;
    for step in steps {
        here = here
            .into_iter()
            .flat_map(|value| one(value, step))
            .take(VISITS_MAX)
            .collect();
    }
    here.truncate(VALUES_MAX);
    here
}

/// Where one step leads from a value.
fn one<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Name(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::At(at), Value::Array(list)) => {
            let at = if *at < 0 {
                *at + list.len() as i64
            } else {
                *at
            };
            usize::try_from(at)
                .ok()
                .and_then(|at| list.get(at))
                .into_iter()
                .collect()
        }
        (Step::Any, Value::Object(map)) => map.values().collect(),
        (Step::Any, Value::Array(list)) => list.iter().collect(),
        (Step::Deep, _) => below(value),
        (Step::Some(which), Value::Array(_) | Value::Object(_)) => which.query(value).all(),
        (Step::Name(_) | Step::At(_) | Step::Any | Step::Some(_), _) => Vec::new(),
    }
}

fn below(top: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    let mut open = vec![top];
    while let Some(value) = open.pop() {
        if all.len() == VISITS_MAX {
            break;
        }
        all.push(value);
        match value {
            Value::Object(map) => open.extend(map.values().rev()),
            Value::Array(list) => open.extend(list.iter().rev()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    all
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let path = path.trim();
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Deep);
            rest = after;
            if rest.starts_with('[') {
                continue;
            }
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (step, behind) = bracket(inside)?;
            steps.push(step);
            rest = behind;
            continue;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        steps.push(match name {
            "" => return None,
            "*" => Step::Any,
            name => Step::Name(name.to_owned()),
        });
        rest = behind;
    }
    Some(steps)
}

/// What is between brackets, and what is behind them.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (name, behind) = quoted.split_once(quote)?;
            if let Some(behind) = behind.strip_prefix(']') {
                return Some((Step::Name(name.to_owned()), behind));
            }
        }
    }
    let (inside, behind) = inside.split_at(closing(inside)?);
    let behind = &behind[1..];
    let step = match inside.trim() {
        "*" => Step::Any,
        "" => return None,
        text if text.starts_with(['?', '\'', '"']) || text.contains([':', ',']) => some_of(text)?,
        text if text.starts_with('(') => return None,
        text => text
            .parse()
            .map_or_else(|_| Step::Name(text.to_owned()), Step::At),
    };
    Some((step, behind))
}

/// Where the bracket ends that is open before `inside`.
fn closing(inside: &str) -> Option<usize> {
    let mut open = 1;
    unquoted(inside).find_map(|(at, byte)| {
        match byte {
            b'[' => open += 1,
            b']' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

/// The bytes that stand in no quoted text, with their places.
fn unquoted(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut quote, mut escaped) = (None, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        match (*byte, quote) {
            _ if escaped => escaped = false,
            (b'\\', Some(_)) => escaped = true,
            (b'\'' | b'"', None) => quote = Some(*byte),
            (byte, Some(end)) if byte == end => quote = None,
            (_, None) => return true,
            (_, Some(_)) => {}
        }
        false
    })
}

/// A slice, a union or a filter. One that would look at all of the document for each value is not understood.
fn some_of(text: &str) -> Option<Step> {
    let bare: Vec<u8> = unquoted(text).map(|(_, byte)| byte).collect();
    let looks_everywhere =
        bare.iter().any(|byte| b"$*:".contains(byte)) || bare.windows(2).any(|two| two == b"..");
    let nested = bare.iter().skip(1).any(|byte| *byte == b'?');
    if text.starts_with('?') && (looks_everywhere || nested) {
        return None;
    }
    let which = JsonPath::parse(&format!("$[{text}]")).ok()?;
    Some(Step::Some(Box::new(which)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let document = json!({"a": {"b-c": [1, {"d": "x"}]}, "s": "y", "q]": 3});
        assert_eq!(find(&document, "$.a.b-c[1].d"), Some(&json!("x")));
        assert_eq!(find(&document, "$['a']['b-c'][0]"), Some(&json!(1)));
        assert_eq!(find(&document, "$['q]']"), Some(&json!(3)));
        assert_eq!(find(&document, "$.a.b-c[-1].d"), Some(&json!("x")));
        assert_eq!(find(&document, "s"), Some(&json!("y")));
        assert_eq!(find(&document, "$"), Some(&document));
        assert_eq!(find(&document, "$.a.nope"), None);
        assert_eq!(find(&document, "$.a..b"), None);
        assert_eq!(find(&document, "$.a[0"), None);
        assert_eq!(find(&document, "$.a[(@.length-1)]"), None);
    }

    #[test]
    fn filters_slices_and_unions_choose_among_what_is_in_a_value() {
        let document = json!({"commits": [
            {"id": "1", "by": {"name": "ana"}, "files": 3, "a]": "x"},
            {"id": "2", "by": {"name": "bob"}, "files": 30},
            {"id": "3", "by": {"name": "ana"}, "files": 300},
        ], "deep": {"commits": [{"id": "4", "by": {"name": "ana"}, "files": 1}]}});
        let map = document.as_object().unwrap();
        let ids = |path: &str| -> Option<Vec<String>> {
            let found = select(map, path)?;
            Some(
                found
                    .iter()
                    .map(|id| id.as_str().unwrap().to_owned())
                    .collect(),
            )
        };
        for (path, wanted) in [
            ("$.commits[?(@.by.name == 'ana')].id", "13"),
            ("$.commits[?(@.by.name=='ana' && @.files > 100)].id", "3"),
            (
                "$.commits[?@.by['name'] == \"bob\" || @.files < 10].id",
                "12",
            ),
            ("$.commits[?(@['a]'] == 'x')]['id']", "1"),
            ("$.commits[?(@.none)].id", ""),
            ("$.commits[?(!@.none)].id", "123"),
            ("$..commits[?(@.files < 10)].id", "14"),
            ("$.commits[0:2].id", "12"),
            ("$.commits[0,2].id", "13"),
            ("$.commits[-1:].id", "3"),
            ("$.commits[0]['id','none']", "1"),
        ] {
            assert_eq!(
                ids(path).map(|ids| ids.concat()).as_deref(),
                Some(wanted),
                "{path}"
            );
        }
        for path in [
            "$.commits[?(@.by.name =~ /a.*/)].id",
            "$.commits[?($.commits[0])].id",
            "$.commits[?(@..name)].id",
            "$.commits[?(@.*)].id",
            "$.commits[?(@.list[?(@.x)])].id",
            "$.commits[?(@.id == '1'].id",
            // An escaped quote ends no text: what follows is looked at.
            r"$.commits[?(@.id == '\'' || $..name)].id",
            r#"$.commits[?(@.id == "\"" || @..name)].id"#,
        ] {
            assert_eq!(ids(path), None, "{path}");
        }
        let first = find(&document, "$.commits[?(@.files == 30)].id");
        assert_eq!(first, Some(&json!("2")));
    }

    #[test]
    fn wildcards_and_depth() {
        let document = json!({"push": {"changes": [{"new": {"name": "a"}}, {"new": {"name": "b"}}]}, "name": "top"});
        let map = document.as_object().unwrap();
        let names =
            |path| select(map, path).map(|found| found.into_iter().cloned().collect::<Vec<_>>());
        assert_eq!(
            names("$.push.changes[*].new.name"),
            Some(vec![json!("a"), json!("b")])
        );
        assert_eq!(
            names("$..name"),
            Some(vec![json!("top"), json!("a"), json!("b")])
        );
        assert_eq!(names("$.push..name"), Some(vec![json!("a"), json!("b")]));
        assert_eq!(names("$..changes[0].new.*"), Some(vec![json!("a")]));
        assert_eq!(names("$.nope"), Some(vec![]));
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "[$.\\[\\]'\"*?@0-9a-c-]{0,24}") {
            let document = json!({"a": [{"b": [1, 2]}, "c"], "b": {"a": {}}});
            let map = document.as_object().unwrap();
            let all = select(map, &path);
            if let (Some(all), Some(first)) = (all, find(&document, &path)) {
                // both agree wherever the document itself is not among the values
                prop_assert!(first == &document || all.contains(&first) || path.contains(".."));
            }
        }
    }
}
