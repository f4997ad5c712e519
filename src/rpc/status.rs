//! Renders a domain error as a gRPC status: code, reason and retry delay. The cause is logged here
//! and nowhere else.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::rate_limit;
use crate::{
    domain::{Error, chain},
    pb::{ERROR_DOMAIN, v1::ErrorReason},
};

/// Renders an error as a status and logs its cause.
#[must_use]
pub fn from_error(error: Error) -> Status {
    let message = error.to_string();
    match error {
        Error::InvalidRequest(_) => plain(ErrorReason::InvalidRequest, &message),
        Error::InvalidClient => plain(ErrorReason::InvalidClient, &message),
        Error::UnauthorizedClient => plain(ErrorReason::UnauthorizedClient, &message),
        Error::UnsupportedGrantType => plain(ErrorReason::UnsupportedGrantType, &message),
        Error::InvalidScope(_) => plain(ErrorReason::InvalidScope, &message),
        Error::InvalidTarget(_) => plain(ErrorReason::InvalidTarget, &message),
        Error::TooManyRequests { retry_after, .. } => {
            render(ErrorReason::TooManyRequests, &message, Some(retry_after))
        }
        Error::QuotaExceeded { retry_after, state, .. } => {
            let refused = render(ErrorReason::QuotaExceeded, &message, Some(retry_after));
            rate_limit::with_state(refused, &state)
        }
        Error::Unavailable { retry_after, cause } => {
            tracing::warn!(cause = chain(cause.as_ref()), "a request could not be served");
            render(ErrorReason::Unavailable, &message, Some(retry_after))
        }
        Error::Internal { cause } => {
            tracing::error!(cause = chain(cause.as_ref()), "a request failed");
            plain(ErrorReason::Internal, &message)
        }
    }
}

/// Status of a request whose message cannot be read.
pub(super) fn invalid_request(message: &str) -> Status {
    plain(ErrorReason::InvalidRequest, message)
}

/// Status of a call to a path that names no method of this server.
pub(super) fn unknown_method() -> Status {
    Status::unimplemented(
        "no such method; reflection lists the services of this server and their methods",
    )
}

/// Status of a call that panicked. The panic has been logged where it happened.
#[must_use]
pub fn internal() -> Status {
    plain(ErrorReason::Internal, "internal error")
}

/// Status of a call refused by the concurrency limit. Such calls are counted and not logged: a line
/// for each would add to the load.
#[must_use]
pub fn overloaded() -> Status {
    let message = "the server has too many requests at once, try again later";
    render(ErrorReason::Unavailable, message, Some(Duration::from_secs(1)))
}

/// Status of a call that an administrator made, refused for this reason. `field` is the field at
/// fault with its remedy, and `metadata` is added to that of the reason.
#[must_use]
pub fn refused(
    reason: ErrorReason,
    message: &str,
    field: Option<FieldViolation>,
    metadata: &[(&str, String)],
) -> Status {
    let (code, mut details) = details(reason, metadata);
    if let Some(field) = field {
        details.set_bad_request(vec![field]);
    }
    Status::with_error_details(code, message, details)
}

/// gRPC code and OAuth error code of a reason, as documented in `error_reason.proto`.
#[must_use]
pub const fn contract(reason: ErrorReason) -> (Code, &'static str) {
    match reason {
        ErrorReason::InvalidRequest | ErrorReason::RequestIdReused => {
            (Code::InvalidArgument, "invalid_request")
        }
        ErrorReason::InvalidClient => (Code::Unauthenticated, "invalid_client"),
        ErrorReason::UnauthorizedClient => (Code::PermissionDenied, "unauthorized_client"),
        ErrorReason::UnsupportedGrantType => (Code::InvalidArgument, "unsupported_grant_type"),
        ErrorReason::InvalidScope => (Code::InvalidArgument, "invalid_scope"),
        ErrorReason::InvalidTarget => (Code::InvalidArgument, "invalid_target"),
        ErrorReason::TooManyRequests | ErrorReason::QuotaExceeded => {
            (Code::ResourceExhausted, "temporarily_unavailable")
        }
        ErrorReason::Unavailable => (Code::Unavailable, "temporarily_unavailable"),
        ErrorReason::Internal | ErrorReason::Unspecified => (Code::Internal, "server_error"),
        ErrorReason::InvalidToken => (Code::Unauthenticated, "invalid_token"),
        ErrorReason::NotPermitted | ErrorReason::GrantNotPermitted => {
            (Code::PermissionDenied, "insufficient_scope")
        }
        ErrorReason::ClientNotFound | ErrorReason::SecretNotFound | ErrorReason::TokenNotFound => {
            (Code::NotFound, "invalid_request")
        }
        ErrorReason::ClientIdTaken => (Code::AlreadyExists, "invalid_request"),
        ErrorReason::EtagMismatch => (Code::Aborted, "invalid_request"),
        ErrorReason::LastLiveSecret
        | ErrorReason::SecretInUse
        | ErrorReason::SecretEnded
        | ErrorReason::TooManySecrets
        | ErrorReason::AlreadyDelivered
        | ErrorReason::UnreadableRow => (Code::FailedPrecondition, "invalid_request"),
    }
}

fn plain(reason: ErrorReason, message: &str) -> Status {
    render(reason, message, None)
}

fn details(reason: ErrorReason, metadata: &[(&str, String)]) -> (Code, ErrorDetails) {
    let (code, oauth_error) = contract(reason);
    let mut all = HashMap::from([("oauth_error".to_owned(), oauth_error.to_owned())]);
    all.extend(metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    (code, ErrorDetails::with_error_info(reason.reason(), ERROR_DOMAIN, all))
}

fn render(reason: ErrorReason, message: &str, retry_after: Option<Duration>) -> Status {
    let (code, mut details) = details(reason, &[]);
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, message, details)
}
