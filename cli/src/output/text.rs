//! Text on a terminal: how wide it is, how it is cut, and what it must not contain.

/// First and last characters that take two columns.
const WIDE: [(u32, u32); 16] = [
    (0x1100, 0x115F),
    (0x231A, 0x231B),
    (0x23E9, 0x23EC),
    (0x26CE, 0x26CE),
    (0x2705, 0x2705),
    (0x2728, 0x2728),
    (0x274C, 0x274C),
    (0x2E80, 0x303E),
    (0x3041, 0xA4CF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE6F),
    (0xFF00, 0xFF60),
    (0xFFE0, 0xFFE6),
    (0x1F300, 0x1FAFF),
    (0x2_0000, 0x3_FFFD),
];
/// First and last characters that take none: they change the one before.
const COMBINING: [(u32, u32); 8] = [
    (0x0300, 0x036F),
    (0x0483, 0x0489),
    (0x0591, 0x05BD),
    (0x1AB0, 0x1AFF),
    (0x200B, 0x200F),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
];
/// Stands for a character that would steer the terminal.
const STRANGE: char = '\u{fffd}';

/// Width of a text on the terminal, without its colours.
pub(crate) fn visible_width(text: &str) -> usize {
    pieces(text).map(|piece| piece.1).sum()
}

/// Cuts a text to so many columns and keeps its colours whole.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if visible_width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let (mut width, mut coloured) = (0, false);
    for (piece, columns_of_piece) in pieces(text) {
        if width + columns_of_piece + 1 > columns {
            break;
        }
        width += columns_of_piece;
        coloured |= piece.starts_with('\u{1b}');
        kept.push_str(piece);
    }
    kept.push('…');
    if coloured {
        kept.push_str("\u{1b}[0m");
    }
    kept
}

/// A line in rows of so many columns, broken between words, each row indented like the first.
pub(crate) fn wrap(line: &str, columns: usize) -> Vec<String> {
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    let mut rows = Vec::new();
    let mut row = String::new();
    for word in line.trim_start_matches(' ').split(' ') {
        let width = visible_width(&indent) + visible_width(&row) + 1 + visible_width(word);
        if row.is_empty() {
            row.push_str(word);
        } else if width <= columns {
            row.push(' ');
            row.push_str(word);
        } else {
            rows.push(format!("{indent}{row}"));
            row.clear();
            row.push_str(word);
        }
    }
    rows.push(format!("{indent}{row}"));
    rows
}

/// Text from elsewhere that cannot steer the terminal: colours, line ends and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for (piece, _) in pieces(text) {
        match piece.chars().next() {
            Some('\n' | '\t') => kept.push_str(piece),
            Some('\u{1b}') if piece.len() > 1 => kept.push_str(piece),
            Some('\r') => {}
            Some(c) if c.is_control() || is_direction(c) => kept.push(STRANGE),
            _ => kept.push_str(piece),
        }
    }
    kept
}

/// Characters that turn the direction of what follows and so change what a line seems to say.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text in pieces with their widths: colour codes whole, all else by character.
fn pieces(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let code = colour_code(rest);
        let (piece, behind) = rest.split_at(code.unwrap_or(first.len_utf8()));
        rest = behind;
        let width = if code.is_some() { 0 } else { width_of(first) };
        Some((piece, width))
    })
}

/// Length of the colour code at the beginning of the text.
fn colour_code(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\u{1b}[")?;
    let end = body.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    body[end..].starts_with('m').then_some(end + 3)
}

fn width_of(c: char) -> usize {
    let within = |ranges: &[(u32, u32)]| {
        let code = u32::from(c);
        ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&code))
    };
    match c {
        ' '..='\u{2ff}' => 1,
        _ if within(&COMBINING) => 0,
        _ if within(&WIDE) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_no_width_and_survive_a_cut() {
        let text = "\u{1b}[32mSUCCEEDED\u{1b}[0m";
        assert_eq!(visible_width(text), 9);
        let short = cut(text, 5);
        assert_eq!(visible_width(&short), 5);
        assert!(short.ends_with("\u{1b}[0m"), "{short:?}");
    }

    #[test]
    fn wide_and_combining_characters_have_their_width() {
        for (text, width) in [("店舗", 4), ("a\u{308}", 1), ("ä", 1), ("🚀x", 3), ("✓", 1)] {
            assert_eq!(visible_width(text), width, "{text}");
        }
        assert_eq!(cut("店舗店舗", 6), "店舗…");
        assert_eq!(cut("abc", 0), "…");
    }

    #[test]
    fn a_long_line_goes_on_below_its_beginning() {
        let rows = wrap("  the health check  failed twice", 14);
        assert_eq!(rows, ["  the health", "  check ", "  failed twice"]);
        assert_eq!(wrap("   ", 9), ["   "]);
        assert_eq!(wrap("  unbreakable", 4), ["  unbreakable"]);
        let red = "\u{1b}[31mab cd\u{1b}[0m";
        assert_eq!(wrap(red, 3).concat(), red.replace(' ', ""));
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        let told = clean("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\r\n\td\u{9b}1\u{202e}");
        assert_eq!(
            told,
            "a\u{fffd}[2Jb\u{fffd}]0;title\u{fffd}c\n\td\u{fffd}1\u{fffd}"
        );
        let red = "\u{1b}[31mred\u{1b}[0m";
        assert_eq!(clean(red), red);
    }
}
