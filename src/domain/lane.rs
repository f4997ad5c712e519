//! Lanes: requests that must not hold each other up have resources of their own.

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

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Inspect => "inspect",
        }
    }
}
