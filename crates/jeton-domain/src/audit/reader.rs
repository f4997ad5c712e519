//! Verifies an audit trail: reads it from its start and reports the first sign of tampering.

use super::{AuditEntry, AuditHash, AuditMark};

/// Why a trail is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tampered {
    /// A position is missing or occurs twice.
    #[error("row {found} follows where row {expected} must")]
    Gap {
        /// The position that must follow.
        expected: i64,
        /// The position that was read.
        found: i64,
    },
    /// The stored hash of a row does not match its fields and the row before it.
    #[error("row {0} was altered, or the row before it")]
    Altered(i64),
    /// An unsealed row precedes a sealed one. Rows are sealed in order, so it has lost its hash.
    #[error("row {0} has lost its hash")]
    Unsealed(i64),
    /// The start is missing, and no row records that it was cut there.
    #[error("the trail begins at row {0}, and no row says that it was cut there")]
    Beheaded(i64),
    /// The row at the position of a mark has another hash than the mark.
    #[error("row {0} is not the row that the mark names")]
    OtherThanMarked(i64),
    /// A mark lies before the start of the trail. Rows cut off by age look the same as rows cut off
    /// by an attacker, so this is not a success.
    #[error(
        "the mark at {mark} cannot be compared: the trail now begins at row {first}; give a \
         newer mark"
    )]
    CutAway {
        /// Position of the first row that exists.
        first: i64,
        /// The place of the mark.
        mark: i64,
    },
    /// A mark lies past the end of the trail.
    #[error(
        "the trail ends at row {end}, before the mark at {mark}: its end was removed, or the \
             database is an older copy"
    )]
    Truncated {
        /// Position of the last sealed row.
        end: i64,
        /// The place of the mark.
        mark: i64,
    },
}

/// Verifies a trail row by row, from its start.
#[derive(Debug, Default)]
pub struct AuditReader {
    first: Option<AuditEntry>,
    last: Option<AuditMark>,
    /// The mark in the newest cut record. It must name the row just before the first.
    cut: Option<AuditMark>,
    marks: Vec<AuditMark>,
    unsealed: u64,
    rows: u64,
}

/// Summary of an intact trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSummary {
    /// Number of rows.
    pub rows: u64,
    /// Position of the first row.
    pub first: Option<i64>,
    /// Mark of the last sealed row, to be kept outside the database.
    pub head: Option<AuditMark>,
    /// Number of rows at the end that are not sealed yet, as after edits by hand on SQLite.
    pub unsealed: u64,
    /// Mark of the row before the first one, if the start was cut off.
    pub cut: Option<AuditMark>,
}

impl AuditReader {
    /// A reader that also compares the trail with marks kept outside the database.
    #[must_use]
    pub fn new(marks: Vec<AuditMark>) -> Self {
        Self { marks, ..Self::default() }
    }

    /// Position of the last row that was read; 0 before the first.
    #[must_use]
    pub fn position(&self) -> i64 {
        let unsealed = i64::try_from(self.unsealed).unwrap_or(i64::MAX);
        self.last.map_or(0, |last| last.seq).saturating_add(unsealed)
    }

    /// Verifies the next row.
    pub fn read(&mut self, entry: AuditEntry) -> Result<(), Tampered> {
        self.rows += 1;
        let expected = self.position() + 1;
        if self.rows > 1 && entry.seq != expected {
            return Err(Tampered::Gap { expected, found: entry.seq });
        }
        let Some(hash) = entry.hash else {
            self.unsealed += 1;
            return Ok(());
        };
        if self.unsealed > 0 {
            return Err(Tampered::Unsealed(entry.seq - 1));
        }
        // The hash before a first row that is not row 1 is known only from the cut record, which
        // comes later.
        let is_cut_off = self.last.is_none() && entry.seq > 1;
        if !is_cut_off && entry.hash_after(self.last.map(|last| last.hash)) != hash {
            return Err(Tampered::Altered(entry.seq));
        }
        let mark = AuditMark { seq: entry.seq, hash };
        if self.marks.iter().any(|kept| kept.seq == mark.seq && kept.hash != mark.hash) {
            return Err(Tampered::OtherThanMarked(mark.seq));
        }
        self.last = Some(mark);
        if entry.action == AuditEntry::CUT {
            self.cut = cut_in(&entry.detail);
        }
        if is_cut_off {
            self.first = Some(entry);
        }
        Ok(())
    }

    /// Completes the verification after the last row: start, marks and end of the trail.
    pub fn finish(self) -> Result<AuditSummary, Tampered> {
        let mut cut_off = None;
        if let Some(first) = &self.first {
            let before = self.cut.filter(|cut| cut.seq + 1 == first.seq);
            let before = before.ok_or(Tampered::Beheaded(first.seq))?;
            if first.hash != Some(first.hash_after(Some(before.hash))) {
                return Err(Tampered::Altered(first.seq));
            }
            let mut lost = self.marks.iter().filter(|kept| kept.seq < first.seq);
            if let Some(lost) = lost.find(|kept| **kept != before) {
                return Err(Tampered::CutAway { first: first.seq, mark: lost.seq });
            }
            cut_off = Some(before);
        }
        let end = self.last.map_or(0, |last| last.seq);
        if let Some(missing) = self.marks.iter().find(|kept| kept.seq > end) {
            return Err(Tampered::Truncated { end, mark: missing.seq });
        }
        let first = match (&self.first, self.rows) {
            (Some(first), _) => Some(first.seq),
            (None, 0) => None,
            (None, _) => Some(1),
        };
        Ok(AuditSummary {
            rows: self.rows,
            first,
            head: self.last,
            unsealed: self.unsealed,
            cut: cut_off,
        })
    }
}

fn cut_in(detail: &str) -> Option<AuditMark> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    let hash = AuditHash::parse(detail.get("hash")?.as_str()?)?;
    Some(AuditMark { seq: detail.get("seq")?.as_i64()?, hash })
}
