//! Layout of tables. On a terminal, columns are two spaces apart and lines fit the width: texts
//! that may be shortened give way first, and then the last columns are left out. In a pipe nothing
//! is shortened or aligned, and a tab separates the cells.

use std::io;

use rustix::termios::tcgetwinsize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::config;

/// Minimum width of a shortened column.
const NARROWEST: usize = 12;

/// Width of a terminal that does not tell it.
const USUAL_WIDTH: usize = 80;

const GAP: &str = "  ";

/// A column of a table. The most important columns come first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    heading: &'static str,
    /// Whether its cells may be shortened. An id or a time is of no use in part.
    is_text: bool,
}

impl Column {
    /// A column whose cells are shown completely.
    pub(super) const fn whole(heading: &'static str) -> Self {
        Self { heading, is_text: false }
    }

    /// A column whose cells may be shortened.
    pub(super) const fn text(heading: &'static str) -> Self {
        Self { heading, is_text: true }
    }
}

/// Width of the terminal, in columns: the variable COLUMNS, else what the terminal says.
pub(super) fn terminal_width() -> usize {
    let told = || {
        let size = tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    };
    config::terminal_columns().or_else(told).unwrap_or(USUAL_WIDTH)
}

/// The table as text without a newline at its end, and the headings of the columns that are left
/// out. Without a width it is laid out for a program.
pub(super) fn render(
    columns: &[Column],
    rows: &[Vec<String>],
    width: Option<usize>,
) -> (String, Vec<&'static str>) {
    let heading = columns.iter().map(|column| column.heading.to_owned()).collect::<Vec<_>>();
    let lines = || std::iter::once(&heading).chain(rows);
    let Some(width) = width else {
        let text = lines().map(|row| row.join("\t")).collect::<Vec<_>>();
        return (text.join("\n"), Vec::new());
    };
    let natural: Vec<_> = (0..columns.len())
        .map(|at| lines().map(|row| row[at].width()).max().unwrap_or(0))
        .collect();
    let widths = fitted(columns, &natural, width);
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    let text = lines().map(line).collect::<Vec<_>>();
    let left_out = columns.iter().skip(widths.len()).map(|column| column.heading);
    (text.join("\n"), left_out.collect())
}

/// Widths of the columns that are shown. The first column always is.
fn fitted(columns: &[Column], natural: &[usize], width: usize) -> Vec<usize> {
    let mut shown = natural.len();
    loop {
        let mut widths = natural[..shown].to_vec();
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP.len() * (shown - 1);
        while total(&widths) > width {
            let texts = widths.iter_mut().zip(columns).filter(|(_, column)| column.is_text);
            let widest = texts.map(|(width, _)| width).max();
            match widest.filter(|width| **width > NARROWEST) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        if total(&widths) <= width || shown == 1 {
            return widths;
        }
        shown -= 1;
    }
}

/// The cell in exactly this width; one that is longer ends with an ellipsis.
fn padded(cell: &str, width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    let has_room = cell.width() <= width;
    for c in cell.chars() {
        let wide = c.width().unwrap_or(0);
        if !has_room && used + wide + 1 > width {
            text.push('…');
            used += 1;
            break;
        }
        text.push(c);
        used += wide;
    }
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    text
}

/// Indentation of a note below a row.
const INDENT: &str = "    ";

/// A note below a row: indented, and broken between words so that it fits the width. A longer word
/// stays whole, because it may be an id that somebody wants to copy.
pub(super) fn below(note: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in note.split(' ') {
        let line = lines.last_mut().map_or(0, |line| INDENT.len() + line.width() + 1);
        match lines.last_mut() {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) if line + word.width() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| format!("{INDENT}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        vec![row(["orders", "read write admin delete", "2027"]), row(["注文", "", "never"])]
    }

    const COLUMNS: [Column; 3] =
        [Column::whole("client_id"), Column::text("scopes"), Column::whole("ends")];

    #[test]
    fn a_table_fits_the_width_whatever_it_is() {
        for width in 9..60 {
            let (text, _) = render(&COLUMNS, &rows(), Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
            assert_eq!(text.lines().count(), 3);
        }
    }

    #[test]
    fn texts_are_shortened_first_and_then_columns_are_left_out() {
        let (text, left_out) = render(&COLUMNS, &rows(), Some(80));
        let expected = format!(
            "client_id  scopes{}ends\norders     read write admin delete  2027\n注文{}never",
            " ".repeat(19),
            " ".repeat(32)
        );
        assert_eq!((text, left_out.is_empty()), (expected, true));
        let (text, left_out) = render(&COLUMNS, &rows(), Some(32));
        assert!(text.contains("orders     read write ad…  2027") && left_out.is_empty(), "{text}");
        let (text, left_out) = render(&COLUMNS, &rows(), Some(25));
        assert!(text.contains("read write ad…") && !text.contains("2027"), "{text}");
        assert_eq!(left_out, ["ends"]);
    }

    #[test]
    fn a_note_is_broken_between_words() {
        assert_eq!(below("scopes +admin -read", 80), "    scopes +admin -read");
        assert_eq!(below("scopes +admin -read", 17), "    scopes +admin\n    -read");
        assert_eq!(below("x https://long.example.com", 10), "    x\n    https://long.example.com");
    }

    #[test]
    fn a_program_gets_every_cell_completely() {
        let (text, left_out) = render(&COLUMNS, &rows(), None);
        assert_eq!(text.lines().nth(1), Some("orders\tread write admin delete\t2027"));
        assert!(left_out.is_empty());
    }
}
