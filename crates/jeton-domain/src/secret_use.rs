//! What is known of the use of a secret: counted by a node, and added up in the database.

use std::net::IpAddr;

use super::Timestamp;

/// Uses of one secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretUse {
    /// First and last time that it authenticated a client; `None` if it never did.
    pub used: Option<Span>,
    /// Source of the last use; `None` if it is not known.
    pub last_source: Option<IpAddr>,
    /// How often it authenticated a client.
    pub uses: u64,
    /// How often it was refused because it was not live, or its client disabled.
    pub refused: u64,
    /// When that happened last.
    pub last_refused_at: Option<Timestamp>,
    /// Source of that call; `None` if it is not known.
    pub last_refused_source: Option<IpAddr>,
    /// The newest sources, at most [`MOST_SOURCES`](Self::MOST_SOURCES), in no order.
    pub sources: Vec<SourceUse>,
}

/// Two moments, the first not after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

/// Uses of one secret from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceUse {
    /// The source.
    pub source: IpAddr,
    /// First and last use from there.
    pub used: Span,
    /// Number of uses from there.
    pub uses: u64,
}

impl Span {
    const fn at(moment: Timestamp) -> Self {
        Self { first: moment, last: moment }
    }

    fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl SecretUse {
    /// Maximum sources per secret. They answer which host still has an old secret, so the newest
    /// are kept.
    pub const MOST_SOURCES: usize = 8;

    /// When it authenticated a client last.
    #[must_use]
    pub fn last_used_at(&self) -> Option<Timestamp> {
        self.used.map(|used| used.last)
    }

    /// Counts one use.
    pub fn count(&mut self, source: Option<IpAddr>, now: Timestamp) {
        let more = source.map(|source| SourceUse { source, used: Span::at(now), uses: 1 });
        self.add_uses(Span::at(now), source, 1);
        if let Some(more) = more {
            self.add_source(more);
        }
    }

    /// Counts one refusal.
    pub fn count_refusal(&mut self, source: Option<IpAddr>, now: Timestamp) {
        self.add_refusals(1, Some(now), source);
    }

    /// Adds what was counted elsewhere, or later.
    pub fn add(&mut self, more: Self) {
        if let Some(used) = more.used {
            self.add_uses(used, more.last_source, more.uses);
        }
        self.add_refusals(more.refused, more.last_refused_at, more.last_refused_source);
        for source in more.sources {
            self.add_source(source);
        }
    }

    fn add_uses(&mut self, span: Span, source: Option<IpAddr>, uses: u64) {
        if self.last_used_at().is_none_or(|last| span.last >= last) {
            self.last_source = source;
        }
        self.used = Some(self.used.map_or(span, |known| known.and(span)));
        self.uses = self.uses.saturating_add(uses);
    }

    fn add_refusals(&mut self, refused: u64, last: Option<Timestamp>, source: Option<IpAddr>) {
        if last > self.last_refused_at {
            (self.last_refused_at, self.last_refused_source) = (last, source);
        }
        self.refused = self.refused.saturating_add(refused);
    }

    fn add_source(&mut self, more: SourceUse) {
        if let Some(known) = self.sources.iter_mut().find(|known| known.source == more.source) {
            known.used = known.used.and(more.used);
            known.uses = known.uses.saturating_add(more.uses);
        } else if self.sources.len() < Self::MOST_SOURCES {
            self.sources.push(more);
        } else if let Some(oldest) = self.sources.iter_mut().min_by_key(|known| known.used.last)
            && oldest.used.last <= more.used.last
        {
            *oldest = more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn source(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn the_eight_newest_sources_are_kept() {
        let mut known = SecretUse::default();
        for number in 0..20 {
            known.count(Some(source(number)), at(number.into()));
        }
        known.count(Some(source(12)), at(99));
        let mut kept: Vec<_> = known.sources.iter().map(|one| one.source).collect();
        kept.sort_unstable();
        assert_eq!(kept, (12..20).map(source).collect::<Vec<_>>());
        assert_eq!((known.uses, known.last_source), (21, Some(source(12))));
        assert_eq!(known.used, Some(Span { first: at(0), last: at(99) }));
    }

    proptest! {
        /// What is counted in two places and added up is what one place would have counted.
        #[test]
        fn sums_do_not_depend_on_where_uses_were_counted(
            calls in proptest::collection::vec(
                (0..4_u8, 0..1_000_i64, any::<(bool, bool)>()), 0..50)
        ) {
            let (mut one, mut other, mut all) = <(SecretUse, SecretUse, SecretUse)>::default();
            for (number, second, (is_use, is_here)) in calls {
                let part = if is_here { &mut one } else { &mut other };
                for uses in [part, &mut all] {
                    if is_use {
                        uses.count(Some(source(number)), at(second));
                    } else {
                        uses.count_refusal(Some(source(number)), at(second));
                    }
                }
            }
            let (uses, refused) = (one.uses + other.uses, one.refused + other.refused);
            one.add(other);
            prop_assert_eq!((one.uses, one.refused), (uses, refused));
            prop_assert_eq!((one.used, one.last_refused_at), (all.used, all.last_refused_at));
            let sorted = |mut uses: SecretUse| {
                uses.sources.sort_by_key(|one| one.source);
                uses.sources
            };
            prop_assert_eq!(sorted(one), sorted(all));
        }
    }
}
