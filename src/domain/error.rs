//! The one error of the use cases. Each edge renders it in its own way, by one exhaustive match.

use std::{sync::Arc, time::Duration};

/// The cause of a fault. It is logged once, at the edge, and never sent.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A cause that several callers share whose statement failed as one.
pub type SharedCause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a use case did not succeed.
///
/// The variants are the reasons of `error_reason.proto`, in its order. Texts are fixed at compile
/// time, so that nothing of a request can be echoed, and they say how to mend the request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request is malformed (RFC 6749, section 5.2).
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The caller did not authenticate. It has no text of its own, because an unknown client, a
    /// wrong secret and a disabled client must read alike.
    #[error("client authentication failed")]
    InvalidClient,
    /// The client may not use this grant.
    #[error("the client is not registered for this grant")]
    UnauthorizedClient,
    /// The server does not have this grant.
    #[error("the only grant supported is client_credentials")]
    UnsupportedGrantType,
    /// A scope is malformed or not registered for the client.
    #[error("{0}")]
    InvalidScope(&'static str),
    /// A resource is malformed or not registered for the client (RFC 8707, section 2).
    #[error("{0}")]
    InvalidTarget(&'static str),
    /// A queue of bounded length is full. Nothing was done.
    #[error("too many requests at once, try again later")]
    TooManyRequests {
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// Something that this node depends on does not answer.
    #[error("the service is temporarily unavailable, try again later")]
    Unavailable {
        /// How long the caller should wait.
        retry_after: Duration,
        /// What went wrong, for the log.
        #[source]
        cause: SharedCause,
    },
    /// A fault of this program or of what is stored.
    #[error("internal error")]
    Internal {
        /// What went wrong, for the log.
        #[source]
        cause: SharedCause,
    },
}

impl Error {
    /// A dependency does not answer; callers are asked to wait a second.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable { retry_after: Duration::from_secs(1), cause: cause.into().into() }
    }

    /// A fault that waiting does not mend.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal { cause: cause.into().into() }
    }
}

/// An error with all that lies behind it, in one line for a log. Some errors say already what lies
/// behind them.
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

/// A text that is not a value of its type. It says what the type allows and echoes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
