//! Characters to tokens.

use super::error::{ExpressionError, Result};

/// A token and the byte offset where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) position: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Int(i32),
    Long(i64),
    Real(f64),
    Text(String),
    Word(String),
    /// Punctuation and operators, by their text.
    Symbol(&'static str),
    End,
}

/// Longest first: the first match wins.
const SYMBOLS: [&str; 42] = [
    "![", "?[", "^[", "$[", "?:", "?.", "==", "!=", "<=", ">=", "&&", "||", "++", "--", "(", ")",
    "[", "]", "{", "}", ".", ",", ":", "?", "+", "-", "*", "/", "%", "^", "!", "<", ">", "=", "#",
    "@", "&", "|", "~", ";", "\\", "`",
];

/// Reads the whole text; the last token is always [`TokenKind::End`].
pub(super) fn tokenize(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = next(text, at, first)?;
        tokens.push(Token { kind, position: at });
        at += length;
    }
    tokens.push(Token {
        kind: TokenKind::End,
        position: text.len(),
    });
    Ok(tokens)
}

fn next(text: &str, at: usize, first: char) -> Result<(TokenKind, usize)> {
    let rest = &text[at..];
    if first == '\'' || first == '"' {
        return quoted(rest, first, at);
    }
    if first.is_ascii_digit() {
        return number(rest, at);
    }
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return Ok((TokenKind::Symbol(symbol), symbol.len()));
    }
    if is_word(first) {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        return Ok((TokenKind::Word(rest[..length].to_owned()), length));
    }
    Err(ExpressionError::parse(
        at,
        format!("character '{first}' has no meaning here"),
    ))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// A quote inside a text is written twice; a backslash is an ordinary character.
fn quoted(rest: &str, quote: char, at: usize) -> Result<(TokenKind, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((offset, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            text.push(quote);
        } else {
            return Ok((TokenKind::Text(text), offset + 1));
        }
    }
    Err(ExpressionError::parse(
        at,
        format!("text that starts with {quote} does not end"),
    ))
}

fn number(rest: &str, at: usize) -> Result<(TokenKind, usize)> {
    if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let digits = hex
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(hex.len());
        let long = hex[digits..].starts_with(['l', 'L']);
        let kind = integer(&hex[..digits], 16, long, at)?;
        return Ok((kind, 2 + digits + usize::from(long)));
    }
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .position(|b| !b.is_ascii_digit())
            .map_or(bytes.len(), |n| from + n)
    };
    let mut end = digits(0);
    let whole = end;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    let suffix = bytes.get(end).map(u8::to_ascii_lowercase);
    if end > whole || matches!(suffix, Some(b'f' | b'd')) {
        let value = rest[..end]
            .parse()
            .map_err(|_| ExpressionError::parse(at, format!("'{}' is no number", &rest[..end])))?;
        return Ok((
            TokenKind::Real(value),
            end + usize::from(matches!(suffix, Some(b'f' | b'd'))),
        ));
    }
    let long = suffix == Some(b'l');
    Ok((
        integer(&rest[..end], 10, long, at)?,
        end + usize::from(long),
    ))
}

fn integer(digits: &str, radix: u32, long: bool, at: usize) -> Result<TokenKind> {
    if long {
        i64::from_str_radix(digits, radix)
            .map(TokenKind::Long)
            .map_err(|_| ExpressionError::parse(at, format!("'{digits}' does not fit into a long")))
    } else {
        i32::from_str_radix(digits, radix)
            .map(TokenKind::Int)
            .map_err(|_| {
                let hint = "add L for a long number";
                ExpressionError::parse(at, format!("'{digits}' does not fit into an int; {hint}"))
            })
    }
}
