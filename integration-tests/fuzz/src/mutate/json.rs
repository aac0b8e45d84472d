//! Changes of JSON that leave it JSON: what readers expect of its shape is what is changed.

use serde_json::{Map, Value, json};

use super::{Material, text};
use crate::random::Random;

/// Larger bodies are changed as bytes.
const JSON_BYTES_MAX: usize = 64 * 1024;
/// Levels that one change adds.
const LEVELS_MAX: usize = 140;
/// Times that an element is repeated.
const REPEATED_MAX: usize = 1_500;
/// Stands for what no value of ours can be, until it is written.
const PLACE: &str = "\u{1}place\u{1}";
/// Numbers and texts that are read, or not, in different ways.
const TOKENS: [&str; 14] = [
    "1e999",
    "-1e999",
    "1e-999",
    "-0",
    "-0.0",
    "18446744073709551615",
    "18446744073709551616",
    "9007199254740993",
    "-9223372036854775808",
    "0.1e1",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "NaN",
];

/// Makes one change; false when the body is no JSON of a size that is worth it.
pub(super) fn change(body: &mut Vec<u8>, material: Material<'_>, random: &mut Random) -> bool {
    if body.len() > JSON_BYTES_MAX {
        return false;
    }
    let Ok(mut document) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let count = count(&document);
    let mut at = random.below(count);
    let mut raw = None;
    if let Some(node) = find(&mut document, &mut at) {
        raw = alter(node, material, random);
    }
    let text = document.to_string();
    *body = match raw {
        Some(token) => text.replace(&json!(PLACE).to_string(), token).into_bytes(),
        None => text.into_bytes(),
    };
    true
}

/// Changes one value; a token to be written in the place of [`PLACE`], if any.
fn alter(node: &mut Value, material: Material<'_>, random: &mut Random) -> Option<&'static str> {
    match random.below(9) {
        0 => *node = anything(material, random),
        1 => *node = retyped(node, random),
        2 => {
            *node = json!(PLACE);
            return random.pick(&TOKENS).copied();
        }
        3 => {
            if let Some(part) = part_of_another(material, random) {
                *node = part;
            }
        }
        4 => {
            let levels = random.few(10) * random.few(20);
            *node = nested(node.take(), levels.min(LEVELS_MAX), random.one_in(2));
        }
        _ => match node {
            Value::Object(members) => of_object(members, material, random),
            Value::Array(elements) => of_array(elements, random),
            Value::String(value) => *value = text(value, material, random),
            Value::Null | Value::Bool(_) | Value::Number(_) => *node = anything(material, random),
        },
    }
    None
}

fn of_object(members: &mut Map<String, Value>, material: Material<'_>, random: &mut Random) {
    let names: Vec<String> = members.keys().cloned().collect();
    let name = random.pick(&names).cloned().unwrap_or_default();
    let word = random
        .pick(material.words)
        .map_or("a", String::as_str)
        .to_owned();
    match random.below(6) {
        0 => drop(members.remove(&name)),
        1 => {
            // The same under another name, which keeps the first or not.
            let value = members.get(&name).cloned().unwrap_or_default();
            if random.one_in(2) {
                members.remove(&name);
            }
            members.insert(word, value);
        }
        2 => {
            let other = random.pick(&names).cloned().unwrap_or_default();
            let (one, two) = (members.remove(&name), members.remove(&other));
            members.extend(two.map(|value| (name, value)));
            members.extend(one.map(|value| (other, value)));
        }
        3 => drop(members.insert(text(&name, material, random), Value::from(word))),
        _ => drop(members.insert(word, anything(material, random))),
    }
}

fn of_array(elements: &mut Vec<Value>, random: &mut Random) {
    let len = elements.len();
    let at = random.below(len);
    match random.below(4) {
        0 if len > 0 => drop(elements.remove(at)),
        1 if len > 0 => elements.push(elements[at].clone()),
        2 if len > 1 => elements.swap(at, len - 1),
        3 if len > 0 && random.one_in(4) => {
            let times = random.below(REPEATED_MAX);
            elements.extend(std::iter::repeat_n(elements[at].clone(), times));
        }
        _ => elements.push(elements.first().cloned().unwrap_or(Value::Null)),
    }
}

fn anything(material: Material<'_>, random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2 => json!(random.number()),
        3 => json!(-(random.below(1_000_000) as i64)),
        4 => json!(random.below(1_000) as f64 / 8.0),
        5 => json!([]),
        6 => json!({}),
        7 => json!(""),
        8 => json!(random.number().to_string()),
        _ => json!(random.pick(material.words).map_or("a", String::as_str)),
    }
}

/// The same, said in another type.
fn retyped(value: &Value, random: &mut Random) -> Value {
    match (value, random.below(3)) {
        (Value::String(text), 0) => text.parse::<i64>().map_or(json!([text]), Value::from),
        (Value::Number(number), 0) => json!(number.to_string()),
        (Value::Bool(is), 0) => json!(is.to_string()),
        (Value::Array(elements), 0) => elements.first().cloned().unwrap_or_default(),
        (Value::Array(elements), 1) => {
            let named = elements.iter().enumerate();
            Value::Object(named.map(|(n, e)| (n.to_string(), e.clone())).collect())
        }
        (Value::Object(members), 0) => Value::Array(members.values().cloned().collect()),
        (Value::Object(members), 1) => json!(Value::Object(members.clone()).to_string()),
        (value, 2) => json!({ "value": value }),
        (value, _) => json!([value]),
    }
}

fn part_of_another(material: Material<'_>, random: &mut Random) -> Option<Value> {
    let other = random.pick(material.others)?;
    let mut document = serde_json::from_slice::<Value>(&other.body).ok()?;
    let mut at = random.below(count(&document));
    find(&mut document, &mut at).map(Value::take)
}

fn nested(mut value: Value, levels: usize, in_objects: bool) -> Value {
    for _ in 0..levels {
        value = if in_objects {
            json!({ "a": value })
        } else {
            Value::Array(vec![value])
        };
    }
    value
}

/// Values of a document, itself counted.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value that comes `at`th, from the outside inwards.
fn find<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(elements) => elements.iter_mut().find_map(|inner| find(inner, at)),
        Value::Object(members) => members.values_mut().find_map(|inner| find(inner, at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_once() {
        let mut document = json!({"a": [1, {"b": 2}], "c": {"d": []}});
        let all = count(&document);
        assert_eq!(all, 7);
        let mut seen = Vec::new();
        for at in 0..all {
            seen.push(find(&mut document, &mut at.clone()).unwrap().to_string());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
        assert_eq!(find(&mut document, &mut all.clone()), None);
    }
}
