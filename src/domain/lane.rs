//! Lanes: requests that must not hold each other up have resources of their own.

use std::ops::{Index, IndexMut};

/// Which callers share concurrency limit, hash queue and database connections. A flood in one lane
/// does not hold up the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Callers that want a token.
    Issue,
    /// Callers that introspect or revoke: what keeps resource servers working, and what ends a
    /// token that must end.
    Inspect,
}

impl Lane {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Issue, Self::Inspect];

    /// The other lane.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Issue => Self::Inspect,
            Self::Inspect => Self::Issue,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Inspect => "inspect",
        }
    }
}

/// One value for each lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerLane<T> {
    /// The value of [`Lane::Issue`].
    pub issue: T,
    /// The value of [`Lane::Inspect`].
    pub inspect: T,
}

impl<T> PerLane<T> {
    /// The values of both lanes, in the order of [`Lane::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.issue, &self.inspect].into_iter()
    }

    /// The values of both lanes, in the order of [`Lane::ALL`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.issue, &mut self.inspect].into_iter()
    }
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Issue => &self.issue,
            Lane::Inspect => &self.inspect,
        }
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Issue => &mut self.issue,
            Lane::Inspect => &mut self.inspect,
        }
    }
}
