//! What the colours mean, and when there are none.

use kork_model::Status;

/// What a piece of text wants to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It is under way, or waits for somebody.
    Busy,
    /// Worth a look.
    Warn,
    /// The word that matters in its line.
    Strong,
    /// Present, and not important.
    Faint,
}

/// Puts colours around text, or leaves it alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) const fn new(on: bool) -> Self {
        Self { on }
    }

    /// The text in the colour of its tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Busy => "36",
            Tone::Warn => "33",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// The name of a status in its colour.
    pub(crate) fn status(self, status: Status) -> String {
        self.tone(tone_of(status), status.name())
    }

    /// The name of a status as it came over the wire.
    pub(crate) fn status_name(self, name: &str) -> String {
        Status::parse(name).map_or_else(|| name.to_owned(), |status| self.status(status))
    }

    /// The sign that stands before a stage.
    pub(crate) fn sign(self, status: Status) -> String {
        let sign = match status {
            Status::Succeeded => "✓",
            Status::Terminal | Status::FailedContinue | Status::Stopped => "✗",
            Status::Canceled => "■",
            Status::Running | Status::Redirect => "▶",
            Status::Paused | Status::Suspended | Status::Buffered => "‖",
            Status::Skipped => "–",
            Status::NotStarted => "·",
        };
        self.tone(tone_of(status), sign)
    }
}

/// The tone of a status.
pub(crate) const fn tone_of(status: Status) -> Tone {
    match status {
        Status::Succeeded => Tone::Good,
        Status::Terminal | Status::Stopped => Tone::Bad,
        Status::FailedContinue | Status::Canceled | Status::Paused | Status::Suspended => {
            Tone::Warn
        }
        Status::Running | Status::Redirect | Status::Buffered => Tone::Busy,
        Status::NotStarted | Status::Skipped => Tone::Faint,
    }
}

/// Width of a text on the terminal, without its colours.
pub(crate) fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => in_code = true,
            'm' if in_code => in_code = false,
            _ if in_code => {}
            _ => width += 1,
        }
    }
    width
}

/// Cuts a text to so many columns and keeps its colours whole.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if visible_width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let (mut width, mut in_code, mut coloured) = (0, false, false);
    for c in text.chars() {
        match c {
            '\u{1b}' => {
                in_code = true;
                coloured = true;
            }
            'm' if in_code => in_code = false,
            _ if in_code => {}
            _ if width + 1 >= columns => break,
            _ => width += 1,
        }
        kept.push(c);
    }
    kept.push('…');
    if coloured {
        kept.push_str("\u{1b}[0m");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_no_width_and_survive_a_cut() {
        let text = Paint::new(true).tone(Tone::Good, "SUCCEEDED");
        assert_eq!(visible_width(&text), 9);
        let short = cut(&text, 5);
        assert_eq!(visible_width(&short), 5);
        assert!(short.ends_with("\u{1b}[0m"), "{short:?}");
    }

    #[test]
    fn without_colours_the_text_is_the_text() {
        assert_eq!(Paint::new(false).status(Status::Terminal), "TERMINAL");
    }
}
