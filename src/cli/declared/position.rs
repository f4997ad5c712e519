//! Positions in a file.

use std::fmt;

/// Line and column, both counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Finds the positions of byte offsets.
pub(super) struct Positions<'a> {
    text: &'a str,
    /// Offset at which each line begins.
    lines: Vec<usize>,
}

impl<'a> Positions<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(breaks).collect() }
    }

    pub(super) fn at(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        Position { line: line.max(1), column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_begin_at_one_and_columns_are_characters() {
        let positions = Positions::of("ab\nü = 1\n");
        let shown = |offset| positions.at(offset).to_string();
        assert_eq!([shown(0), shown(1), shown(3), shown(6)], ["1:1", "1:2", "2:1", "2:3"]);
        assert_eq!(shown(100), "3:1", "the end of the file");
    }
}
