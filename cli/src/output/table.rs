//! Tables without lines: a header, columns as wide as their widest cell, two blanks between them.

use super::{
    Paint, Tone,
    text::{clean, cut, visible_width},
};

/// Rows under a header.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What stands there when there are no rows.
    none: &'static str,
}

impl Table {
    /// A table with these columns; `none` is the sentence that stands for no rows.
    pub(crate) fn new(header: &[&'static str], none: &'static str) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            none,
        }
    }

    /// Adds a row; it has as many cells as the header.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(
            cells
                .map(|cell| clean(&cell).replace(['\n', '\t'], " "))
                .into(),
        );
    }

    /// The table as text. With `columns` (a terminal) the last column is cut to what is left.
    pub(crate) fn render(&self, paint: Paint, columns: Option<usize>) -> String {
        if self.rows.is_empty() {
            return self.none.to_owned();
        }
        let header: Vec<String> = self
            .header
            .iter()
            .map(|title| paint.tone(Tone::Faint, title))
            .collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|at| {
                let cells = std::iter::once(&header).chain(&self.rows);
                cells
                    .filter_map(|row| row.get(at))
                    .map(|c| visible_width(c))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let lines = std::iter::once(&header).chain(&self.rows).map(|row| {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line.push_str(cell);
                if at + 1 < row.len() {
                    line.push_str(&" ".repeat(width - visible_width(cell) + 2));
                }
            }
            let line = line.trim_end().to_owned();
            columns.map_or(line.clone(), |columns| cut(&line, columns))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_is_cut() {
        let mut table = Table::new(&["NAME", "WHAT"], "nothing");
        assert_eq!(table.render(Paint::new(false), None), "nothing");
        table.row(["a".to_owned(), "short".to_owned()]);
        table.row(["longer".to_owned(), "a long\nsentence".to_owned()]);
        let text = table.render(Paint::new(false), None);
        assert_eq!(text, "NAME    WHAT\na       short\nlonger  a long sentence");
        let narrow = table.render(Paint::new(false), Some(12));
        assert_eq!(narrow.lines().last(), Some("longer  a l…"));
    }
}
