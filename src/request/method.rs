//! The methods of the contract.

use crate::domain::Lane;

/// A method of `jeton.v1.TokenService`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Issues an access token.
    IssueToken,
    /// Says whether a token is active, and for what.
    IntrospectToken,
    /// Ends a token before it expires.
    RevokeToken,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::IssueToken, Self::IntrospectToken, Self::RevokeToken];

    /// Its name in the contract, in metrics and in the access log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IssueToken => "IssueToken",
            Self::IntrospectToken => "IntrospectToken",
            Self::RevokeToken => "RevokeToken",
        }
    }

    /// The lane whose concurrency limit, hash queue and connections it uses.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::IssueToken => Lane::Issue,
            Self::IntrospectToken | Self::RevokeToken => Lane::Inspect,
        }
    }
}
