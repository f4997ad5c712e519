//! Why a token is inactive.

/// A reason why a token is inactive, in order: the strongest come first. Several can hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InactiveReason {
    /// The text is no token that this installation made with a tag key that is still accepted.
    NotOurs,
    /// There is no token with this id: it never existed, or expired long ago.
    NotFound,
    /// The text is not the one that was issued with this id.
    TextDiffers,
    /// The token has expired.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The secret that it was issued with leaked, or was deleted.
    SecretLeaked,
    /// Its client is disabled.
    ClientDisabled,
    /// Its client was deleted.
    ClientDeleted,
    /// All tokens of its client, or of all clients, were revoked after it was issued.
    TokensRevoked,
    /// It was issued before the `not_before` of its client.
    ClientNotBefore,
    /// It was issued before the `not_before` of the installation.
    InstallationNotBefore,
    /// Its client has lost all scopes, or all audiences, that it was granted.
    Narrowed,
    /// The resource server that asks serves none of its audiences.
    NotServed,
}

impl InactiveReason {
    /// Name in the output for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::NotFound => "not_found",
            Self::TextDiffers => "text_differs",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::SecretLeaked => "secret_leaked",
            Self::ClientDisabled => "client_disabled",
            Self::ClientDeleted => "client_deleted",
            Self::TokensRevoked => "tokens_revoked",
            Self::ClientNotBefore => "client_not_before",
            Self::InstallationNotBefore => "installation_not_before",
            Self::Narrowed => "narrowed",
            Self::NotServed => "not_served",
        }
    }
}
