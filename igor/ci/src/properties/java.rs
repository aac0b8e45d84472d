//! Java's `.properties` format: ISO-8859-1 with `\uXXXX`, three separators, comments, continued lines.

/// An escape that Java refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} has a \\u without four hexadecimal digits")]
pub struct BadEscape {
    pub line: usize,
}

/// The pairs in order; a key that is given twice comes twice.
pub fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, BadEscape> {
    let mut pairs = Vec::new();
    let mut lines = Lines {
        rest: bytes,
        line: 0,
    };
    while let Some((line, bytes)) = lines.next_logical() {
        let end = key_end(&bytes);
        let key = unescaped(&bytes[..end], line)?;
        let value = unescaped(&bytes[value_start(&bytes, end)..], line)?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

/// Natural lines joined at backslashes; comments and blank lines are left out.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    fn next_natural(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let (line, after) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end..]),
            None => (self.rest, &[][..]),
        };
        self.rest = after
            .strip_prefix(b"\r\n")
            .or(after.get(1..))
            .unwrap_or_default();
        self.line += 1;
        Some(line)
    }

    fn next_logical(&mut self) -> Option<(usize, Vec<u8>)> {
        loop {
            let natural = trimmed(self.next_natural()?);
            let is_comment = matches!(natural.first(), None | Some(b'#' | b'!'));
            if is_comment {
                continue;
            }
            let first = self.line;
            let mut line = natural.to_vec();
            while is_continued(&line) {
                line.pop();
                match self.next_natural() {
                    Some(next) => line.extend_from_slice(trimmed(next)),
                    None => break,
                }
            }
            // A lone backslash continues into nothing.
            if line.is_empty() {
                continue;
            }
            return Some((first, line));
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    let start = line
        .iter()
        .position(|b| !is_blank(*b))
        .unwrap_or(line.len());
    &line[start..]
}

fn is_continued(line: &[u8]) -> bool {
    line.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// Where the key ends: at the first separator that is not escaped.
fn key_end(line: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in line.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if is_blank(byte) || matches!(byte, b'=' | b':') {
            return at;
        }
    }
    line.len()
}

/// Blanks, at most one `=` or `:`, blanks.
fn value_start(line: &[u8], key_end: usize) -> usize {
    let blanks = |from: usize| from + line[from..].iter().take_while(|b| is_blank(**b)).count();
    let at = blanks(key_end);
    match line.get(at) {
        Some(b'=' | b':') => blanks(at + 1),
        Some(_) | None => at,
    }
}

fn unescaped(bytes: &[u8], line: usize) -> Result<String, BadEscape> {
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        let unit = match rest.next() {
            Some(b'u') => {
                let mut unit = 0u16;
                for _ in 0..4 {
                    let digit = rest.next().and_then(|b| char::from(*b).to_digit(16));
                    unit = unit << 4 | digit.ok_or(BadEscape { line })? as u16;
                }
                unit
            }
            Some(b't') => u16::from(b'\t'),
            Some(b'n') => u16::from(b'\n'),
            Some(b'r') => u16::from(b'\r'),
            Some(b'f') => 0x0c,
            Some(&other) => u16::from(other),
            None => break,
        };
        units.push(unit);
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &[u8]) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text.as_bytes());
        assert_eq!(all.len(), 1, "{text:?} gave {all:?}");
        all.remove(0)
    }

    #[test]
    fn every_separator_and_escape_is_understood() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("  a \t=  b  ", "a", "b  "),
            ("a = = b", "a", "= b"),
            ("a=b=c:d", "a", "b=c:d"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("=b", "", "b"),
            (r"a\ b\=c=d", "a b=c", "d"),
            (r"a=\tb\n\r\f\q\\", "a", "\tb\n\r\x0cq\\"),
            (r"a=\u00e9\u20AC", "a", "é€"),
            (r"a=\ud83d\ude00", "a", "😀"),
            ("a=b\\\n   c\\\r\n\td", "a", "bcd"),
            ("a=b\\\\\n# no", "a", "b\\"),
            ("a\\", "a", ""),
            ("! x\n#y\n\n \t\na=1", "a", "1"),
            ("a=1 # kept", "a", "1 # kept"),
        ] {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn bytes_are_latin_1_and_all_line_ends_count() {
        assert_eq!(pairs(b"a=\xe9\rb=2\r\nc=3\n").len(), 3);
        assert_eq!(pairs(b"a=\xe9")[0].1, "é");
        assert!(pairs(b"").is_empty() && pairs(b"\\").is_empty() && pairs(b"# only").is_empty());
    }

    #[test]
    fn a_bad_escape_is_refused_with_its_line() {
        for text in ["a=1\nb=\\u12", "a=1\nb=\\uzzzz", "a=1\n\\u=x"] {
            assert_eq!(parse(text.as_bytes()), Err(BadEscape { line: 2 }), "{text}");
        }
    }

    /// A writer that escapes as Java's does.
    fn written(pairs: &[(String, String)]) -> String {
        let escape = |text: &str, key: bool| {
            let mut out = String::new();
            for (at, unit) in text.encode_utf16().enumerate() {
                match char::from_u32(u32::from(unit)) {
                    Some(c @ ('=' | ':' | '#' | '!' | '\\')) => out.extend(['\\', c]),
                    Some(' ') if key || at == 0 => out.push_str("\\ "),
                    Some(c) if (' '..='~').contains(&c) => out.push(c),
                    _ => out.extend([format!("\\u{unit:04x}")]),
                }
            }
            out
        };
        let line =
            |(k, v): &(String, String)| format!("{}={}\n", escape(k, true), escape(v, false));
        pairs.iter().map(line).collect::<Vec<_>>().concat()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(pairs in proptest::collection::vec((".{1,8}", ".{0,12}"), 0..8)) {
            prop_assert_eq!(parse(written(&pairs).as_bytes()), Ok(pairs));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(parse(&bytes));
        }

        #[test]
        fn no_special_bytes_break_it(text in "[\\\\u0=: \\t\\n\\r#!a]{0,80}") {
            drop(parse(text.as_bytes()));
        }
    }
}
