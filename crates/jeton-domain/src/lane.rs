//! Lanes: groups of requests that must not delay each other, each with resources of its own.

use std::ops::{Index, IndexMut};

/// A group of requests that share a concurrency limit, a hash queue and database connections. A
/// flood in one lane does not delay the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Requests that issue tokens.
    Issue,
    /// Requests that introspect or revoke tokens. Resource servers depend on introspection, and
    /// ending a leaked token depends on revocation.
    Inspect,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Issue, Self::Inspect];

    /// The other lane.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Issue => Self::Inspect,
            Self::Inspect => Self::Issue,
        }
    }

    /// Name of the lane in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Inspect => "inspect",
        }
    }
}

/// One value per lane.
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
