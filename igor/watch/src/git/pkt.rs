//! The frames of git's protocols: pkt-lines. Pure.
//!
//! A line is four hexadecimal digits with the length of the whole, and then its bytes; lengths below four are
//! marks without bytes.

/// Bytes of a line with its length.
const LINE_BYTES_MAX: usize = 65_520;
const LENGTH_BYTES: usize = 4;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// Without the line feed at its end.
    Line(&'a [u8]),
    /// The end of a message.
    Flush,
    /// Between sections of a message.
    Delimiter,
    /// The end of a response.
    End,
}

/// Why bytes are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PktError {
    #[error("{0:?} is not the length of a line of git's protocol")]
    Length(String),
    #[error("it ends within a line of git's protocol, which is {missing} bytes longer")]
    Short { missing: usize },
}

/// The frames of some bytes, up to the first thing that is none.
#[derive(Debug, Clone)]
pub(super) struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Result<Packet<'a>, PktError> {
        let Some((digits, after)) = self.rest.split_at_checked(LENGTH_BYTES) else {
            let missing = LENGTH_BYTES - self.rest.len();
            return Err(PktError::Short { missing });
        };
        let wrong = || PktError::Length(String::from_utf8_lossy(digits).into_owned());
        // `from_str_radix` takes a sign, too.
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong());
        }
        let digits_text = std::str::from_utf8(digits).map_err(|_| wrong())?;
        let length = usize::from_str_radix(digits_text, 16).map_err(|_| wrong())?;
        let mark = match length {
            0 => Some(Packet::Flush),
            1 => Some(Packet::Delimiter),
            2 => Some(Packet::End),
            _ => None,
        };
        if let Some(mark) = mark {
            self.rest = after;
            return Ok(mark);
        }
        let bytes = length
            .checked_sub(LENGTH_BYTES)
            .filter(|_| length <= LINE_BYTES_MAX)
            .ok_or_else(wrong)?;
        let missing = bytes.saturating_sub(after.len());
        let (line, after) = after
            .split_at_checked(bytes)
            .ok_or(PktError::Short { missing })?;
        self.rest = after;
        Ok(Packet::Line(line.strip_suffix(b"\n").unwrap_or(line)))
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PktError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.read();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

/// Bytes of a line with `text` and a line feed. `text` is short: it is written by us.
pub(super) fn line(text: &str) -> String {
    format!("{:04x}{text}\n", LENGTH_BYTES + text.len() + 1)
}

pub(super) const FLUSH: &str = "0000";
pub(super) const DELIMITER: &str = "0001";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Packet<'_>>, PktError> {
        Packets::new(bytes).collect()
    }

    #[test]
    fn frames_are_read() {
        assert_eq!(
            read(b"0006a\n0005b0004000000010002").unwrap(),
            [
                Packet::Line(b"a"),
                Packet::Line(b"b"),
                Packet::Line(b""),
                Packet::Flush,
                Packet::Delimiter,
                Packet::End
            ]
        );
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(b"000Aabcdef").unwrap(), [Packet::Line(b"abcdef")]);
    }

    #[test]
    fn what_is_no_frame_is_told() {
        for bytes in [
            &b"0003"[..],
            b"+006a\n",
            b"<!DOCTYPE",
            b"fff1",
            b"00 6",
            b"\xff\xff\xff\xff",
        ] {
            assert!(matches!(read(bytes), Err(PktError::Length(_))), "{bytes:?}");
        }
        assert_eq!(read(b"00"), Err(PktError::Short { missing: 2 }));
        assert_eq!(read(b"0009ab"), Err(PktError::Short { missing: 3 }));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Packets::new(&bytes).count() <= bytes.len());
        }

        #[test]
        fn anything_like_frames_ends(text in "(0000|0001|0003|0008abcd|000[0-9a-f]|z|\n){0,40}") {
            prop_assert!(Packets::new(text.as_bytes()).count() <= text.len());
        }

        #[test]
        fn written_lines_are_read(texts in proptest::collection::vec("[^\n]{0,200}", 0..9)) {
            let written: String = texts.iter().map(|text| line(text)).collect();
            let expected: Vec<_> = texts.iter().map(|text| Packet::Line(text.as_bytes())).collect();
            prop_assert_eq!(read(written.as_bytes()).unwrap(), expected);
        }
    }
}
