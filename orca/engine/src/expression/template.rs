//! Finds `${...}` in a text: brackets and quoted texts inside an expression are balanced.

use super::error::{ErrorKind, ExpressionError, Result};

/// What an expression starts with.
pub(super) const PREFIX: &str = "${";

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Literal(&'t str),
    /// Between `${` and `}`, without the blanks around it.
    Expression(&'t str),
}

/// Cuts a text into literals and expressions.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(PREFIX) {
        if start > 0 {
            parts.push(Part::Literal(&rest[..start]));
        }
        let at = text.len() - rest.len() + start;
        let inner = &rest[start + PREFIX.len()..];
        let end = end_of_expression(inner).map_err(|e| e.at(at))?;
        let expression = inner[..end].trim();
        if expression.is_empty() {
            return Err(error("there is no expression between '${' and '}'").at(at));
        }
        parts.push(Part::Expression(expression));
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

/// The expression when the whole text is exactly one, else the text itself.
pub(super) fn unwrapped(text: &str) -> &str {
    match parts(text.trim()).as_deref() {
        Ok([Part::Expression(inner)]) => inner,
        _ => text,
    }
}

fn error(message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(ErrorKind::Template, message)
}

fn end_of_expression(inner: &str) -> Result<usize> {
    let mut open = Vec::new();
    let mut at = 0;
    let bytes = inner.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'}' if open.is_empty() => return Ok(at),
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            b'(' => open.push(b')'),
            b'}' | b']' | b')' if open.pop() != Some(*byte) => {
                let found = char::from(*byte);
                return Err(error(format!("'{found}' closes what was not opened")));
            }
            quote @ (b'\'' | b'"') => {
                let Some(length) = bytes[at + 1..].iter().position(|b| b == quote) else {
                    return Err(error("a text inside the expression does not end"));
                };
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
    match open.last() {
        Some(missing) => Err(error(format!("'{}' is missing", char::from(*missing)))),
        None => Err(error("'}' is missing at the end of the expression")),
    }
}
