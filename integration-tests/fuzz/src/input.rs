//! What a parser is given: a head of named texts, as of an HTTP message, and a body of any bytes.
//!
//! As a file it is `name: value` lines, an empty line and the body; an input without head is its body alone.
//! Whether there is a head is known of the target and not of the file, so that any file can be tried.

use std::fmt::Write as _;

/// Bytes of an input, all together.
pub const BYTES_MAX: usize = 64 * 1024;

/// One input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// Names may come twice. Those that begin with a colon are for the target, the others are headers.
    pub head: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Input {
    /// A body and nothing else.
    pub fn body(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            head: Vec::new(),
            body: bytes.into(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.head.push((name.to_owned(), value.into()));
        self
    }

    /// The first value of a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.head.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Bytes of all of it.
    pub fn len(&self) -> usize {
        let head = self.head.iter().map(|(n, v)| n.len() + v.len());
        head.sum::<usize>() + self.body.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of its file.
    pub fn to_file(&self, has_head: bool) -> Vec<u8> {
        if !has_head {
            return self.body.clone();
        }
        let mut text = String::new();
        for (name, value) in &self.head {
            // Names have no blank left, so that the first `: ` ends them. A text always takes what is written.
            let name = escaped(name).replace(' ', "\\s");
            writeln!(text, "{name}: {}", escaped(value)).ok();
        }
        text.push('\n');
        [text.as_bytes(), &self.body].concat()
    }

    /// Reads what [`Self::to_file`] wrote; anything else is read as far as it goes.
    pub fn of_file(bytes: &[u8], has_head: bool) -> Self {
        let mut input = Self::default();
        let mut rest = bytes;
        while has_head && !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[(end + 1).min(rest.len())..];
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
            input.head.push((unescaped(name), unescaped(value)));
        }
        rest.clone_into(&mut input.body);
        input
    }
}

/// Without line ends; `\` marks what stood for them.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('\r', "\\r")
}

/// A text whose line ends stand as escapes.
pub fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('s') => plain.push(' '),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_all_of_an_input() {
        let input = Input::body([0, b'\n', b'\n', 255])
            .with(":path", "git/github")
            .with("x-\\s: y", "a\r\nb: \\n\\s")
            .with("", "")
            .with(":path", "again");
        assert_eq!(Input::of_file(&input.to_file(true), true), input);
        let bare = Input::body("a: b\n\nc");
        assert_eq!(Input::of_file(&bare.to_file(false), false), bare);
        assert_eq!(
            Input::of_file(&Input::default().to_file(true), true),
            Input::default()
        );
    }

    #[test]
    fn any_file_is_an_input() {
        for bytes in [
            &b""[..],
            b"\n",
            b"a",
            b"a: b",
            b"\\",
            b"a: \\",
            b"\xff\n: \n\n\n",
        ] {
            Input::of_file(bytes, true);
        }
        assert_eq!(Input::of_file(b"a: b", true).value("a"), Some("b"));
    }
}
