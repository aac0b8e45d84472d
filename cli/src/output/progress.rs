//! An execution as it goes on: drawn anew in place on a terminal, one line for each change elsewhere.

use std::collections::BTreeMap;

use kork_model::{Execution, StageId, Status, Timestamp};

use super::{
    Out, Paint, height,
    text::{clean, cut, visible_width, wrap},
    tree::{Visit, duration, ending, reasons, render, took, visits},
    width,
};

/// Signs of stages that are under way.
const BUSY: [&str; 2] = ["▶", "‖"];
/// Rows that a drawing takes at least, however low the terminal is.
const ROWS_MIN: usize = 6;

/// Shows one execution as it goes on.
pub(crate) struct Progress<'a> {
    out: &'a Out,
    on_stderr: bool,
    /// Lines of the last drawing that the next one replaces.
    drawn: usize,
    /// The end was shown.
    is_done: bool,
    /// Last shown status of each stage, by stage id.
    shown: BTreeMap<StageId, Status>,
}

impl<'a> Progress<'a> {
    pub(super) const fn new(out: &'a Out, on_stderr: bool) -> Self {
        Self {
            out,
            on_stderr,
            drawn: 0,
            is_done: false,
            shown: BTreeMap::new(),
        }
    }

    /// True when the drawing moves, so that it should be drawn from time to time.
    pub(crate) const fn is_live(&self) -> bool {
        let is_terminal = if self.on_stderr {
            self.out.notes_terminal
        } else {
            self.out.is_terminal
        };
        is_terminal && !self.out.is_dumb
    }

    /// Shows what is new.
    pub(crate) fn update(&mut self, execution: &Execution, now: Timestamp) {
        if self.is_done {
            return;
        }
        if self.is_live() {
            self.draw(execution, now);
        } else {
            self.changes(execution);
        }
    }

    /// A line below the drawing, which the next drawing takes away again.
    pub(crate) fn say(&mut self, text: &str) {
        self.write(&format!("{}\n", clean(text)));
        self.asked(text);
    }

    /// Somebody wrote this below the drawing and ended the line.
    pub(crate) fn asked(&mut self, text: &str) {
        let rows = visible_width(text).div_ceil(width().max(1)).max(1);
        self.drawn += rows;
        // What scrolled out of the window cannot be drawn anew.
        if self.drawn >= height() {
            self.drawn = 0;
        }
    }

    fn draw(&mut self, execution: &Execution, now: Timestamp) {
        let columns = width();
        let text = clean(&render(execution, now, self.paint()));
        // What is wider or higher than the window cannot be drawn anew. The end stays as it is: there
        // every line is whole, for it may be the reason of a failure.
        self.is_done = execution.status.is_complete();
        let lines: Vec<String> = if self.is_done {
            text.lines().flat_map(|line| wrap(line, columns)).collect()
        } else {
            let cut = text
                .lines()
                .map(|line| cut(line, columns.saturating_sub(1)));
            window(cut.collect(), height().saturating_sub(2))
        };
        let mut frame = String::new();
        if self.drawn > 0 {
            frame = format!("\u{1b}[{}A", self.drawn);
        }
        frame.push_str("\u{1b}[J");
        for line in &lines {
            frame.push_str(line);
            frame.push('\n');
        }
        self.drawn = lines.len();
        self.write(&frame);
    }

    fn changes(&mut self, execution: &Execution) {
        let start = execution
            .start_time
            .or(execution.build_time)
            .unwrap_or_default();
        let mut lines: Vec<(Timestamp, String)> = Vec::new();
        for Visit {
            stage,
            depth,
            is_end,
        } in visits(execution)
        {
            // A stage tells of its start before its children, and of its end after them.
            if stage.status == Status::NotStarted
                || stage.status.is_complete() != is_end
                || self.shown.insert(stage.id.clone(), stage.status) == Some(stage.status)
            {
                continue;
            }
            let at = stage.end_time.or(stage.start_time).unwrap_or(start);
            let mut line = format!(
                "{:>8}  {}{} {}{}",
                duration(at.ms_since(start)),
                "  ".repeat(depth),
                stage.name,
                self.paint().status(stage.status),
                took(stage, at),
            );
            if stage.status.is_failure() {
                for text in reasons(stage) {
                    line.push_str("\n            ");
                    line.push_str(&text);
                }
            }
            lines.push((at, line));
        }
        lines.sort_by_key(|(at, _)| *at);
        if execution.status.is_complete() {
            lines.push((Timestamp::default(), ending(execution, self.paint())));
        }
        for (_, line) in lines {
            self.write(&format!("{}\n", clean(&line)));
        }
    }

    const fn paint(&self) -> Paint {
        if self.on_stderr {
            self.out.notes
        } else {
            self.out.paint
        }
    }

    fn write(&self, text: &str) {
        if self.on_stderr {
            self.out.note_raw(text);
        } else {
            self.out.raw(text);
        }
    }
}

/// The lines that fit into so many rows: the first one, and those around the last that is busy.
fn window(lines: Vec<String>, rows: usize) -> Vec<String> {
    let rows = rows.max(ROWS_MIN);
    if lines.len() <= rows {
        return lines;
    }
    let is_busy = |line: &String| BUSY.iter().any(|sign| line.contains(sign));
    let busy = lines.iter().rposition(is_busy).unwrap_or(lines.len() - 1);
    // One row for the head, one for each note of what is left out.
    let shown = rows - 3;
    let from = (busy + 1 + shown / 2)
        .min(lines.len())
        .saturating_sub(shown)
        .max(1);
    let to = (from + shown).min(lines.len());
    let mut kept = vec![lines[0].clone()];
    kept.push(format!("  … {} lines above", from - 1));
    kept.extend_from_slice(&lines[from..to]);
    kept.push(format!("  … {} lines below", lines.len() - to));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_the_head_and_what_is_busy() {
        let mut lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        lines[40] = "  ▶ busy".to_owned();
        let shown = window(lines.clone(), 12);
        assert_eq!(shown.len(), 12);
        assert_eq!(shown[0], "line 0");
        assert!(shown.contains(&lines[40]), "{shown:?}");
        assert_eq!(shown[1], "  … 35 lines above");
        assert_eq!(shown[11], "  … 55 lines below");
        for busy in [1, 99] {
            let mut lines = lines.clone();
            lines.swap(40, busy);
            let shown = window(lines.clone(), 6);
            assert!(
                shown.len() == 6 && shown.contains(&lines[busy]),
                "{shown:?}"
            );
        }
        assert_eq!(window(lines[..5].to_vec(), 5), lines[..5]);
    }
}
