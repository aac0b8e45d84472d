//! Functions from values to values: JSON, YAML, base64, numbers.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::super::error::{ErrorKind, ExpressionError, Result};
use super::super::eval::Evaluator;
use super::super::template;
use super::super::types;
use super::super::value::{Val, json_text};
use super::{failed, one_text, wrong_arguments};

/// Documents that `#readAllYaml` reads from one text.
const MAX_YAML_DOCUMENTS: usize = 1_000;

/// Calls the function; none when there is none of that name.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let text = || one_text(name, arguments);
    Ok(Some(match name {
        "toJson" => to_json(evaluator, arguments)?,
        "doNotEval" => match arguments {
            [value] => Val::Literal(Rc::new(value.clone())),
            _ => return Err(wrong_arguments(name, "one value")),
        },
        "readJson" => read_json(evaluator, &text()?)?,
        "readYaml" => {
            let text = text()?;
            evaluator.spend(text.len())?;
            check_brackets(&text)?;
            let document = serde_yaml_ng::Deserializer::from_str(&text);
            Val::from_owned_json(yaml(document)?)
        }
        "readAllYaml" => {
            let text = text()?;
            evaluator.spend(text.len())?;
            check_brackets(&text)?;
            let documents: Result<Vec<_>> = serde_yaml_ng::Deserializer::from_str(&text)
                .take(MAX_YAML_DOCUMENTS)
                .map(|document| yaml(document).map(Val::from_owned_json))
                .collect();
            Val::list(documents?)
        }
        "toInt" => types::parse_int(&text()?, 10)?,
        "toFloat" => {
            let value = types::parse_double(&text()?)? as f32;
            // The shortest text of the float, so that 0.1 stays 0.1.
            Val::Double(
                value
                    .to_string()
                    .parse()
                    .unwrap_or_else(|_| f64::from(value)),
            )
        }
        "toBoolean" => match arguments {
            [Val::Null] => Val::Bool(false),
            _ => Val::Bool(text()?.eq_ignore_ascii_case("true")),
        },
        "alphanumerical" => {
            let text = text()?;
            evaluator.text(
                text.chars()
                    .filter(char::is_ascii_alphanumeric)
                    .collect::<String>(),
            )?
        }
        "toBase64" => evaluator.text(BASE64_STANDARD.encode(text()?))?,
        "fromBase64" => {
            let config = GeneralPurposeConfig::new()
                .with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let text = text()?;
            let bytes = GeneralPurpose::new(&alphabet::STANDARD, config)
                .decode(&text)
                .map_err(|e| {
                    let message = format!("the text is not base64: {e}");
                    ExpressionError::new(ErrorKind::IllegalArgument, message)
                })?;
            evaluator.text(String::from_utf8_lossy(&bytes))?
        }
        _ => return Ok(None),
    }))
}

fn to_json<'a>(evaluator: &Evaluator<'a>, arguments: &[Val<'a>]) -> Result<Val<'a>> {
    let [value] = arguments else {
        return Err(wrong_arguments("toJson", "one value"));
    };
    value.to_json()?;
    let text = json_text(value)?;
    if text.contains(template::PREFIX) {
        return Err(failed(
            "the JSON contains an expression that is not evaluated; evaluate it first",
        ));
    }
    evaluator.text(text)
}

fn format_error(kind: &str, error: &dyn std::error::Error) -> ExpressionError {
    ExpressionError::new(
        ErrorKind::Format,
        format!("the text is not {kind}: {error}"),
    )
}

fn read_json<'a>(evaluator: &Evaluator<'a>, text: &str) -> Result<Val<'a>> {
    evaluator.spend(text.len())?;
    let value: Value = serde_json::from_str(text).map_err(|e| format_error("JSON", &e))?;
    // Only a text that starts with a bracket is read as a list.
    let sound = match value {
        Value::Array(_) => text.starts_with('['),
        Value::Object(_) => !text.starts_with('['),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match value {
        value if sound => Ok(Val::from_owned_json(value)),
        _ => Err(ExpressionError::new(
            ErrorKind::Format,
            "the JSON is neither a map nor a list",
        )),
    }
}

fn check_brackets(text: &str) -> Result<()> {
    if kork_model::yaml::opens_too_many(text.as_bytes()) {
        return Err(ExpressionError::limit("the YAML is nested too deeply"));
    }
    Ok(())
}

fn yaml(document: serde_yaml_ng::Deserializer<'_>) -> Result<Value> {
    let value =
        serde_yaml_ng::Value::deserialize(document).map_err(|e| format_error("YAML", &e))?;
    yaml_to_json(value, 0)
}

/// Keys that are numbers or booleans become their text.
fn yaml_to_json(value: serde_yaml_ng::Value, depth: usize) -> Result<Value> {
    use super::super::limits::MAX_VALUE_DEPTH;
    use serde_yaml_ng::Value as Yaml;
    if depth > MAX_VALUE_DEPTH {
        return Err(ExpressionError::limit("the YAML is nested too deeply"));
    }
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(real)) => Value::from(real),
            (None, None) => Value::Null,
        },
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => items
            .into_iter()
            .map(|item| yaml_to_json(item, depth + 1))
            .collect::<Result<Vec<_>>>()?
            .into(),
        Yaml::Mapping(map) => map
            .into_iter()
            .map(|(key, value)| {
                let key = match yaml_to_json(key, depth + 1)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                Ok((key, yaml_to_json(value, depth + 1)?))
            })
            .collect::<Result<kork_model::Context>>()?
            .into(),
        Yaml::Tagged(tagged) => yaml_to_json(tagged.value, depth + 1)?,
    })
}
