//! Reads an audit trail from its start and finds what was done to it.

use super::{AuditEntry, AuditHash, AuditMark};

/// Why a trail cannot be what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tampered {
    /// A place is empty or there twice.
    #[error("row {found} follows where row {expected} must")]
    Gap {
        /// The place that must come.
        expected: i64,
        /// The one that came.
        found: i64,
    },
    /// A row is not what it was when its hash was made.
    #[error("row {0} was altered, or the row before it")]
    Altered(i64),
    /// A row that was sealed once cannot follow one that is not.
    #[error("row {0} has lost its hash")]
    Unsealed(i64),
    /// The start is missing and no row says that it was cut there.
    #[error("the trail begins at row {0}, and no row says that it was cut there")]
    Beheaded(i64),
    /// What was kept elsewhere is not what stands here.
    #[error("row {0} is another one than the mark names")]
    OtherThanMarked(i64),
    /// What was kept elsewhere is before the start. Rows that were cut off by age look the same as
    /// rows that somebody cut off, so this is no success.
    #[error(
        "the mark at {mark} cannot be compared: the trail begins at row {first} by now; give a \
         newer mark"
    )]
    CutAway {
        /// The first row that there is.
        first: i64,
        /// The place of the mark.
        mark: i64,
    },
    /// What was kept elsewhere is past the end.
    #[error(
        "the trail ends at row {end}, before the mark at {mark}: its end was removed, or the \
             database is an older copy"
    )]
    Truncated {
        /// The last row that there is.
        end: i64,
        /// The place of the mark.
        mark: i64,
    },
}

/// Reads a trail from its start and finds what was done to it.
#[derive(Debug, Default)]
pub struct AuditReader {
    first: Option<AuditEntry>,
    last: Option<AuditMark>,
    /// The newest row that says where the trail was cut: the row before the first must be that.
    cut: Option<AuditMark>,
    marks: Vec<AuditMark>,
    unsealed: u64,
    rows: u64,
}

/// What a trail that is whole amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSummary {
    /// The rows that there are.
    pub rows: u64,
    /// The place of the first.
    pub first: Option<i64>,
    /// The last that is sealed: keep it elsewhere.
    pub head: Option<AuditMark>,
    /// Rows at the end that wait to be sealed, as rows edited by hand do on SQLite.
    pub unsealed: u64,
}

impl AuditReader {
    /// A reader that compares with what was kept elsewhere.
    #[must_use]
    pub fn new(marks: Vec<AuditMark>) -> Self {
        Self { marks, ..Self::default() }
    }

    /// The place after which to read on.
    #[must_use]
    pub fn position(&self) -> i64 {
        let unsealed = i64::try_from(self.unsealed).unwrap_or(i64::MAX);
        self.last.map_or(0, |last| last.seq).saturating_add(unsealed)
    }

    /// Takes the next row.
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
        // What came before the first row is known only once the cut has been read.
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

    /// Judges the whole, after the last row.
    pub fn finish(self) -> Result<AuditSummary, Tampered> {
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
        Ok(AuditSummary { rows: self.rows, first, head: self.last, unsealed: self.unsealed })
    }
}

fn cut_in(detail: &str) -> Option<AuditMark> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    let hash = AuditHash::parse(detail.get("hash")?.as_str()?)?;
    Some(AuditMark { seq: detail.get("seq")?.as_i64()?, hash })
}
