//! The error type of the use cases. Each transport renders it by one exhaustive match.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{QuotaKind, QuotaState};

/// Cause of a fault. It is logged once, where the error is rendered, and never sent.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A cause shared by all callers of one failed batch.
pub type SharedCause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a use case failed.
///
/// The variants are the reasons of `error_reason.proto` for token operations, in the same order.
/// Texts are fixed at compile time, or name what is registered for the caller, so nothing of a
/// request can be echoed. They say how to fix the request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request is malformed (RFC 6749, section 5.2).
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The caller did not authenticate. The text is always the same, because an unknown client, a
    /// wrong secret and a disabled client must not be distinguishable.
    #[error("client authentication failed")]
    InvalidClient,
    /// The client may not use this grant.
    #[error("the client is not registered for this grant")]
    UnauthorizedClient,
    /// The server does not support this grant.
    #[error("the only grant supported is client_credentials")]
    UnsupportedGrantType,
    /// A scope is malformed or not registered for the client.
    #[error("{0}")]
    InvalidScope(&'static str),
    /// A resource is malformed or not registered for the client (RFC 8707, section 2), or the
    /// request must name exactly one.
    #[error("{0}")]
    InvalidTarget(Cow<'static, str>),
    /// The caller is locked out, or a bounded queue is full. Nothing was done.
    #[error("{why}")]
    TooManyRequests {
        /// Which of the two it is, and what the caller can do.
        why: &'static str,
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// A dependency of this node does not answer, or may not be used now.
    #[error("the service is temporarily unavailable, try again later")]
    Unavailable {
        /// How long the caller should wait.
        retry_after: Duration,
        /// What went wrong, for the log.
        #[source]
        cause: SharedCause,
    },
    /// A fault of this program or of stored data.
    #[error("internal error")]
    Internal {
        /// What went wrong, for the log.
        #[source]
        cause: SharedCause,
    },
    /// The authenticated client has used up its quota of tokens. Nothing was done.
    #[error("{}", kind.refusal())]
    QuotaExceeded {
        /// The limit that it reached.
        kind: QuotaKind,
        /// When a token is issued to it again, if it requests none before.
        retry_after: Duration,
        /// State of its quota.
        state: QuotaState,
    },
}

impl Error {
    /// `TooManyRequests` because a bounded queue is full.
    #[must_use]
    pub const fn queue_full(retry_after: Duration) -> Self {
        let why = "too many requests at once, try again later";
        Self::TooManyRequests { why, retry_after }
    }

    /// `TooManyRequests` because earlier authentications failed.
    #[must_use]
    pub const fn too_many_failures(retry_after: Duration) -> Self {
        let why = "too many failed authentications: check client id and secret, and wait before \
                   the next attempt";
        Self::TooManyRequests { why, retry_after }
    }

    /// `Unavailable` with a retry delay of one second.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable { retry_after: Duration::from_secs(1), cause: cause.into().into() }
    }

    /// `Internal`: a fault that a retry does not resolve.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal { cause: cause.into().into() }
    }
}

/// An error and its chain of sources in one line, for a log. A source is skipped if the text before
/// it already ends with it.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let said = deeper.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = deeper.source();
    }
    text
}

/// A text could not be parsed. The message says what the type allows and echoes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
