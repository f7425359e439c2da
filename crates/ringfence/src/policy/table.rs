//! Columns of text for a terminal.

use std::fmt;

/// Lines, each of cells or of one text that stands under the line above.
pub struct Table {
    lines: Vec<Line>,
}

enum Line {
    Cells(Vec<String>),
    Under(String),
}

/// A text in which nothing steers the terminal: what is in an export is not ours.
pub fn plain(text: &str) -> String {
    let escaped = |c: char| -> Box<dyn Iterator<Item = char>> {
        if c.is_control() { Box::new(c.escape_default()) } else { Box::new(std::iter::once(c)) }
    };
    text.chars().flat_map(escaped).collect()
}

impl Table {
    pub fn new() -> Self {
        Self { lines: Vec::new() }
    }

    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.lines.push(Line::Cells(cells.into_iter().map(plain).collect()));
    }

    /// Adds a line that belongs to the last one.
    pub fn under(&mut self, text: &str) {
        self.lines.push(Line::Under(plain(text)));
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for line in &self.lines {
            let Line::Cells(cells) = line else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &self.lines {
            match line {
                Line::Cells(cells) => {
                    let padded =
                        cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
                    writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
                }
                Line::Under(text) => writeln!(f, "           {text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_steers_the_terminal() {
        let mut table = Table::new();
        table.row(["a", "b", "c"]);
        table.under("why");
        table.row(["long", "\u{1b}[2J"]);
        let expected = "a     b          c\n           why\nlong  \\u{1b}[2J\n";
        assert_eq!(table.to_string(), expected);
    }
}
