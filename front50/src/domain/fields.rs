//! Members with a fixed type. What Spinnaker's reader would convert is converted ("3" to 3), what
//! would make the object unreadable for it is refused with a pointer.

use kork::model::{Context, FieldError};
use serde_json::Value;

use super::problems::field;

/// The type of a member.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Text,
    Flag,
    Whole,
    Object,
    Texts,
    Objects,
}

impl Shape {
    const fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Whole => "a whole number",
            Self::Object => "an object",
            Self::Texts => "a list of texts",
            Self::Objects => "a list of objects",
        }
    }
}

/// Gives each listed member its type. A `null` member is left out, as Spinnaker stores it.
pub fn conform(document: &mut Context, shapes: &[(&str, Shape)], errors: &mut Vec<FieldError>) {
    for (name, shape) in shapes {
        let Some(value) = document.remove(*name) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        match converted(value, *shape) {
            Ok(value) => {
                document.insert((*name).to_owned(), value);
            }
            Err(inside) => {
                let text = format!("{name} must be {}", shape.words());
                errors.push(field(format!("/{name}{inside}"), text));
            }
        }
    }
}

/// The value in its type, or the pointer inside it where it is wrong.
fn converted(value: Value, shape: Shape) -> Result<Value, String> {
    match (shape, value) {
        (Shape::Text, value @ Value::String(_))
        | (Shape::Flag, value @ Value::Bool(_))
        | (Shape::Object, value @ Value::Object(_)) => Ok(value),
        (Shape::Text, Value::Number(number)) => Ok(Value::String(number.to_string())),
        (Shape::Text, Value::Bool(flag)) => Ok(Value::String(flag.to_string())),
        (Shape::Flag, Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(String::new()),
        },
        (Shape::Whole, Value::Number(number)) => {
            number.as_i64().map(Value::from).ok_or_else(String::new)
        }
        (Shape::Whole, Value::String(text)) => text
            .trim()
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_not_a_number| String::new()),
        (Shape::Texts, Value::Array(entries)) => all(entries, Value::is_string),
        (Shape::Objects, Value::Array(entries)) => all(entries, Value::is_object),
        (_, _) => Err(String::new()),
    }
}

fn all(entries: Vec<Value>, is_right: fn(&Value) -> bool) -> Result<Value, String> {
    match entries.iter().position(|entry| !is_right(entry)) {
        Some(wrong) => Err(format!("/{wrong}")),
        None => Ok(Value::Array(entries)),
    }
}

/// Deepest nesting of a document; 1 for one without objects and lists inside.
pub fn depth(document: &Context) -> usize {
    1 + document.values().map(depth_of).max().unwrap_or(0)
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Object(members) => depth(members),
        Value::Array(entries) => 1 + entries.iter().map(depth_of).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, given: &Value, expect: &Result<Value, &str>) {
        let mut document = Context::from_iter([("m".to_owned(), given.clone())]);
        let mut errors = Vec::new();
        conform(&mut document, &[("m", shape)], &mut errors);
        let got = match errors.first() {
            Some(error) => Err(error.pointer.as_str()),
            None => Ok(document.get("m").cloned().unwrap_or(Value::Null)),
        };
        assert_eq!(&got, expect, "{shape:?} {given}");
    }

    #[test]
    fn members_get_their_types_or_a_pointer() {
        use serde_json::json;
        check(Shape::Whole, &json!("3"), &Ok(json!(3)));
        check(Shape::Whole, &json!("x"), &Err("/m"));
        check(Shape::Whole, &json!(1.5), &Err("/m"));
        check(Shape::Whole, &json!(null), &Ok(json!(null)));
        check(Shape::Flag, &json!("TRUE"), &Ok(json!(true)));
        check(Shape::Flag, &json!("yes"), &Err("/m"));
        check(Shape::Text, &json!(1), &Ok(json!("1")));
        check(Shape::Text, &json!({}), &Err("/m"));
        check(Shape::Objects, &json!([{}, 2]), &Err("/m/1"));
        check(Shape::Objects, &json!("nope"), &Err("/m"));
        check(Shape::Texts, &json!(["a", "b"]), &Ok(json!(["a", "b"])));
    }

    #[test]
    fn depth_counts_objects_and_lists() {
        let document = serde_json::from_str(r#"{"a":[{"b":[]}],"c":1}"#).expect("valid");
        assert_eq!(depth(&document), 4);
    }
}
