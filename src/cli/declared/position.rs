//! Positions in a file.

use std::{fmt, iter};

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

/// Bytes from one count of characters to the next.
const BLOCK: usize = 256;

/// Finds the positions of byte offsets. However long a line is, no more than a block of it is read
/// for one position.
pub(super) struct Positions<'a> {
    text: &'a [u8],
    /// Offset at which each line begins.
    lines: Vec<usize>,
    /// How many characters begin before each block, and before the end.
    characters: Vec<usize>,
}

impl<'a> Positions<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = iter::once(0).chain(breaks).collect();
        let text = text.as_bytes();
        let sums = text.chunks(BLOCK).scan(0, |sum, block| {
            *sum += characters(block);
            Some(*sum)
        });
        Self { text, lines, characters: iter::once(0).chain(sums).collect() }
    }

    pub(super) fn at(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.characters_before(offset) - self.characters_before(start);
        Position { line: line.max(1), column: before + 1 }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let block = offset / BLOCK;
        let rest = self.text.get(block * BLOCK..offset).unwrap_or_default();
        self.characters.get(block).copied().unwrap_or_default() + characters(rest)
    }
}

/// How many characters begin here: every byte of UTF-8 begins one, but for `10xxxxxx`.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
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

    /// Counting from the start of the line each time would take minutes.
    #[test]
    fn every_position_in_a_line_of_many_megabytes_is_found_at_once() {
        const PAIRS: usize = 3 << 20;
        let text = "ü,".repeat(PAIRS);
        let positions = Positions::of(&text);
        for number in (0..=PAIRS).step_by(8) {
            let expected = Position { line: 1, column: number * 2 + 1 };
            assert_eq!(positions.at(number * 3), expected);
        }
    }
}
