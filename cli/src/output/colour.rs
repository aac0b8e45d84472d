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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_the_text_is_the_text() {
        assert_eq!(Paint::new(false).status(Status::Terminal), "TERMINAL");
    }
}
