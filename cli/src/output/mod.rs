//! Everything that the command writes: data to stdout, all else to stderr. No other module prints.

mod colour;
mod progress;
mod table;
mod text;
mod tree;

use std::{
    io::{IsTerminal, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use kork::{embedded::SystemClock, ports::Clock};
use kork_model::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::Value;

pub(crate) use colour::{Paint, Tone};
pub(crate) use progress::Progress;
pub(crate) use table::Table;
pub(crate) use text::clean;
pub(crate) use tree::{ago, ahead, duration, reasons, render as render_tree};

use crate::{
    args::{Format, Globals},
    client::Failure,
};

/// Where and how the command writes.
pub(crate) struct Out {
    pub(crate) format: Format,
    /// Colours of stdout.
    pub(crate) paint: Paint,
    /// Colours of stderr.
    notes: Paint,
    /// stdout is a terminal.
    pub(crate) is_terminal: bool,
    /// stderr is a terminal.
    notes_terminal: bool,
    /// The terminal cannot move its cursor (`TERM=dumb`).
    is_dumb: bool,
    /// The reader of stdout went away (`| head`): nothing more is written there.
    closed: AtomicBool,
    /// Why stdout could not be written, other than a reader that went away.
    broken: OnceLock<String>,
    /// The same of stderr.
    notes_closed: AtomicBool,
}

impl Out {
    pub(crate) fn new(globals: &Globals) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let forbidden = globals.no_color
            || is_dumb
            || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let (is_terminal, notes_terminal) = (
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        );
        Self {
            format: globals.output,
            paint: Paint::new(is_terminal && !forbidden),
            notes: Paint::new(notes_terminal && !forbidden),
            is_terminal,
            notes_terminal,
            is_dumb,
            broken: OnceLock::new(),
            closed: AtomicBool::new(false),
            notes_closed: AtomicBool::new(false),
        }
    }

    /// Writes data: as JSON or YAML when asked for, else what `view` makes of them.
    pub(crate) fn data<T: Serialize>(&self, data: &T, view: impl FnOnce(Paint) -> String) {
        match self.format {
            Format::Table => self.line(clean(&view(self.paint)).trim_end()),
            Format::Json => self.json(data),
            Format::Yaml => self.yaml(data),
        }
    }

    /// Writes data that people read best as YAML.
    pub(crate) fn document<T: Serialize>(&self, data: &T) {
        match self.format {
            Format::Json => self.json(data),
            Format::Table | Format::Yaml => self.yaml(data),
        }
    }

    /// Writes data as indented JSON.
    pub(crate) fn json<T: Serialize>(&self, data: &T) {
        match serde_json::to_string_pretty(data) {
            Ok(text) => self.line(&text),
            Err(error) => self.note(&format!("the answer cannot be written as JSON: {error}")),
        }
    }

    fn yaml<T: Serialize>(&self, data: &T) {
        match serde_yaml_ng::to_string(data) {
            Ok(text) => self.line(text.trim_end()),
            Err(error) => self.note(&format!("the answer cannot be written as YAML: {error}")),
        }
    }

    /// One line (or several) on stdout.
    pub(crate) fn line(&self, text: &str) {
        self.raw(&format!("{text}\n"));
    }

    /// Text as it is on stdout.
    pub(crate) fn raw(&self, text: &str) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let mut stdout = std::io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        if let Err(error) = written {
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                // Only the first failure counts; nothing is written after it.
                self.broken.get_or_init(|| error.to_string());
            }
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Nobody reads stdout any more: what goes on only to be shown may end.
    pub(crate) fn is_closed(&self) -> bool {
        let stdout = std::io::stdout();
        let mut look = [PollFd::new(&stdout, PollFlags::empty())];
        // A look takes no time; without an answer the next write tells.
        let gone = poll(&mut look, Some(&Timespec::default())).is_ok_and(|_| {
            look[0]
                .revents()
                .intersects(PollFlags::ERR | PollFlags::HUP)
        });
        gone || self.closed.load(Ordering::Relaxed)
    }

    /// The failure to write stdout, if there was one: data that are lost are no success.
    pub(crate) fn lost(&self) -> Option<Failure> {
        let cause = self.broken.get()?.clone();
        Some(Failure::NotWritten { cause })
    }

    /// One line on stderr.
    pub(crate) fn note(&self, text: &str) {
        self.note_raw(&format!("{}\n", clean(text)));
    }

    /// Text as it is on stderr. When stderr itself cannot be written, nobody is left to be told.
    fn note_raw(&self, text: &str) {
        if self.notes_closed.load(Ordering::Relaxed) {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        if stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush())
            .is_err()
        {
            self.notes_closed.store(true, Ordering::Relaxed);
        }
    }

    /// Colours of stderr.
    pub(crate) const fn note_paint(&self) -> Paint {
        self.notes
    }

    /// A question, without a line end, where a person sees it: on stderr if that is a terminal.
    pub(crate) fn ask(&self, text: &str) {
        if self.is_terminal && !self.notes_terminal {
            self.raw(text);
        } else {
            self.note_raw(text);
        }
    }

    /// Shows an execution as it goes on, on stdout.
    pub(crate) fn progress(&self) -> Progress<'_> {
        Progress::new(self, false)
    }

    /// Shows an execution as it goes on, on stderr.
    pub(crate) fn progress_on_stderr(&self) -> Progress<'_> {
        Progress::new(self, true)
    }

    /// Says why the command failed, in the API's own words.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.format == Format::Json {
            self.note_raw(&format!("{}\n", failure.document()));
        } else {
            self.note_raw(&clean(&explain(failure, self.notes)));
        }
    }
}

fn explain(failure: &Failure, paint: Paint) -> String {
    let told = failure.told();
    let mut lines = vec![format!(
        "{} {}",
        paint.tone(Tone::Bad, "error:"),
        told.detail
    )];
    for field in &told.fields {
        lines.push(format!(
            "  {}: {}",
            paint.tone(Tone::Strong, &field.0),
            field.1
        ));
    }
    lines.extend(
        told.causes
            .iter()
            .map(|cause| format!("  because: {cause}")),
    );
    if let Some(code) = &told.code {
        lines.push(format!(
            "  code: {code} (gennaker errors {code} explains it)"
        ));
    }
    if let Some(next) = &told.next {
        lines.push(format!("  next: {next}"));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// A value in a table cell: text without quotes, nothing for null.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A member of an object as text; empty when it is not there.
pub(crate) fn member(object: &Value, name: &str) -> String {
    object.get(name).map(plain).unwrap_or_default()
}

/// Columns of the terminal, 100 when it does not say.
pub(crate) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()));
    size.map(|s| usize::from(s.ws_col))
        .ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(100)
}

/// Rows of the terminal, 40 when it does not say.
pub(crate) fn height() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()));
    size.map(|s| usize::from(s.ws_row))
        .ok()
        .filter(|rows| *rows > 0)
        .unwrap_or(40)
}

/// When something was, as people read it: UTC, to the second.
pub(crate) fn moment(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|t| t.strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// The time now, for durations of what still runs.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
