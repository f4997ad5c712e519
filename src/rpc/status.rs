//! The domain error as a gRPC status: code, reason and waiting time. The cause goes to the log,
//! here and nowhere else.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    domain::{Error, chain},
    pb::{ERROR_DOMAIN, v1::ErrorReason},
};

/// Renders an error, and logs what lies behind it.
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
        Error::TooManyRequests { retry_after } => {
            render(ErrorReason::TooManyRequests, &message, Some(retry_after))
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

/// The answer to a panic, which has been logged where it happened.
#[must_use]
pub fn internal() -> Status {
    plain(ErrorReason::Internal, "internal error")
}

/// The answer of a server that has too much to do. Nothing is logged: it is a matter of counting,
/// and a line for each would make the load worse.
#[must_use]
pub fn overloaded() -> Status {
    let message = "the server has too many requests at once, try again later";
    render(ErrorReason::Unavailable, message, Some(Duration::from_secs(1)))
}

/// The code and the OAuth error of a reason, as `error_reason.proto` says.
#[must_use]
pub const fn contract(reason: ErrorReason) -> (Code, &'static str) {
    match reason {
        ErrorReason::InvalidRequest => (Code::InvalidArgument, "invalid_request"),
        ErrorReason::InvalidClient => (Code::Unauthenticated, "invalid_client"),
        ErrorReason::UnauthorizedClient => (Code::PermissionDenied, "unauthorized_client"),
        ErrorReason::UnsupportedGrantType => (Code::InvalidArgument, "unsupported_grant_type"),
        ErrorReason::InvalidScope => (Code::InvalidArgument, "invalid_scope"),
        ErrorReason::InvalidTarget => (Code::InvalidArgument, "invalid_target"),
        ErrorReason::TooManyRequests => (Code::ResourceExhausted, "temporarily_unavailable"),
        ErrorReason::Unavailable => (Code::Unavailable, "temporarily_unavailable"),
        ErrorReason::Internal | ErrorReason::Unspecified => (Code::Internal, "server_error"),
    }
}

fn plain(reason: ErrorReason, message: &str) -> Status {
    render(reason, message, None)
}

fn render(reason: ErrorReason, message: &str, retry_after: Option<Duration>) -> Status {
    let (code, oauth_error) = contract(reason);
    let metadata = HashMap::from([("oauth_error".to_owned(), oauth_error.to_owned())]);
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.reason(), ERROR_DOMAIN, metadata);
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, message, details)
}
