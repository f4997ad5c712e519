//! Whether a secret can be retired: a verdict on the evidence of its use.
//!
//! Nodes count uses in memory and write them down every few seconds. So evidence has gaps: what a
//! node counted after it wrote for the last time is lost if it dies. A gap never reads as "unused".

use std::time::Duration;

use super::Timestamp;

/// A time of which it is not known which secrets were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When it begins; [`Timestamp::MIN`] for the time before anything was counted.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// A node, as far as evidence is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorder {
    /// It has written everything that it counted until `flushed_at`.
    Counting {
        /// The moment.
        flushed_at: Timestamp,
        /// Whether it is expected to write again.
        is_there: bool,
    },
    /// It counts nothing, because it is of an earlier version.
    Mute {
        /// When it began to serve.
        since: Timestamp,
    },
}

/// What is known of the times at which secrets were used, until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    asked_at: Timestamp,
    gaps: Vec<Gap>,
    /// The time since the last writing of nodes that are going to write again.
    unwritten: Vec<Gap>,
    oldest_flush: Option<Timestamp>,
}

/// By how much a node must have written later than the question, because its clock may differ from
/// that of the database by about this much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(1);

impl Evidence {
    /// Evidence for a question of the moment `asked_at`. Nodes that have written everything until
    /// then leave nothing open. The others leave open the time since they wrote for the last time.
    #[must_use]
    pub fn new(asked_at: Timestamp, gaps: Vec<Gap>, recorders: &[Recorder]) -> Self {
        let mut evidence = Self { asked_at, gaps, unwritten: Vec::new(), oldest_flush: None };
        for recorder in recorders {
            match *recorder {
                Recorder::Mute { since } => evidence.gaps.push(Gap { since, until: asked_at }),
                Recorder::Counting { flushed_at, is_there } => {
                    let open = Gap { since: flushed_at, until: asked_at };
                    let is_written = flushed_at >= asked_at.plus(CLOCKS_DIFFER);
                    match (is_written, is_there) {
                        (true, _) => {}
                        (false, true) => evidence.unwritten.push(open),
                        (false, false) => evidence.gaps.push(open),
                    }
                    if is_there {
                        let oldest = evidence.oldest_flush.unwrap_or(flushed_at);
                        evidence.oldest_flush = Some(oldest.min(flushed_at));
                    }
                }
            }
        }
        evidence
    }

    /// Whether the only gap in the window before the question is what nodes are going to write.
    #[must_use]
    pub fn is_awaited(&self, window: Duration) -> bool {
        !self.unwritten.is_empty() && self.settled_gap(self.asked_at.minus(window)).is_none()
    }

    /// Since when the evidence has no gap, apart from what nodes are going to write. `None` if
    /// there is a gap now.
    #[must_use]
    pub fn complete_since(&self) -> Option<Timestamp> {
        let last = self.settled_gap(Timestamp::MIN);
        let since = last.map_or(Timestamp::MIN, |gap| gap.until);
        (since < self.asked_at).then_some(since)
    }

    /// The moment of the question.
    #[must_use]
    pub const fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    /// How long ago the node that is the longest behind has written.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.oldest_flush.map(|flush| self.asked_at.since(flush))
    }

    /// A gap that reaches beyond `from`: one that stays, if there is one.
    #[must_use]
    pub fn gap_after(&self, from: Timestamp) -> Option<Gap> {
        self.settled_gap(from).or_else(|| latest(&self.unwritten, from))
    }

    fn settled_gap(&self, from: Timestamp) -> Option<Gap> {
        latest(&self.gaps, from)
    }
}

/// The gap that ends last, of those that reach beyond `from`.
fn latest(gaps: &[Gap], from: Timestamp) -> Option<Gap> {
    let beyond = gaps.iter().copied().filter(|gap| gap.until > from);
    beyond.max_by_key(|gap| (gap.until, gap.since))
}

/// Whether a secret can be retired without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was not used for the whole window, and a newer one is.
    Safe,
    /// It was used within the window.
    InUse,
    /// There is no newer secret with which the client could go on.
    NoSuccessor,
    /// No newer secret has ever been used, so the client does not have it yet.
    SuccessorUnused,
    /// Uses have been counted for less than the window.
    TooEarly,
    /// Within the window is a time of which it is not known whether the secret was used.
    EvidenceGap,
}

impl Verdict {
    /// The verdict in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "SAFE",
            Self::InUse => "IN_USE",
            Self::NoSuccessor => "NO_SUCCESSOR",
            Self::SuccessorUnused => "SUCCESSOR_UNUSED",
            Self::TooEarly => "TOO_EARLY",
            Self::EvidenceGap => "EVIDENCE_GAP",
        }
    }
}

/// The newer secrets of a client with which it could go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// There is none.
    None,
    /// There is one, and none has ever been used.
    Unused,
    /// One has been used.
    Used,
}

impl Successor {
    /// These secrets and one more.
    #[must_use]
    pub const fn or(self, is_used: bool) -> Self {
        match self {
            Self::Used => Self::Used,
            Self::None | Self::Unused if is_used => Self::Used,
            Self::None | Self::Unused => Self::Unused,
        }
    }
}

/// A verdict, and from when on it may be `Safe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// The verdict.
    pub verdict: Verdict,
    /// From when on the secret counts as unused, if nothing else happens; `None` if it does so
    /// already, or if time alone changes nothing.
    pub safe_from: Option<Timestamp>,
}

impl Advice {
    /// Judges a secret that was used last at `last_used`, for a window before the question. The
    /// first verdict that holds is given: what breaks at once comes before what is not known.
    #[must_use]
    pub fn new(
        last_used: Option<Timestamp>,
        successor: Successor,
        evidence: &Evidence,
        window: Duration,
    ) -> Self {
        let from = evidence.asked_at.minus(window);
        let gap = evidence.gap_after(from);
        let verdict = match (successor, gap) {
            _ if last_used.is_some_and(|last| last > from) => Verdict::InUse,
            (Successor::None, _) => Verdict::NoSuccessor,
            (Successor::Unused, _) => Verdict::SuccessorUnused,
            (Successor::Used, Some(Gap { since: Timestamp::MIN, .. })) => Verdict::TooEarly,
            (Successor::Used, Some(_)) => Verdict::EvidenceGap,
            (Successor::Used, None) => Verdict::Safe,
        };
        let settled = evidence.settled_gap(Timestamp::MIN).map(|gap| gap.until);
        let latest = match verdict {
            Verdict::InUse => last_used.max(settled),
            Verdict::TooEarly | Verdict::EvidenceGap => last_used.max(gap.map(|gap| gap.until)),
            Verdict::Safe | Verdict::NoSuccessor | Verdict::SuccessorUnused => None,
        };
        // Evidence that has not begun has no end of its first gap.
        let safe_from = latest.map(|latest| latest.plus(window));
        Self { verdict, safe_from: safe_from.filter(|moment| *moment != Timestamp::MAX) }
    }
}

#[cfg(test)]
mod tests;
