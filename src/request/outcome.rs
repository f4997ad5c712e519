//! The outcome of a request as one value, for metrics, the access log and the read throttle.

use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Method;
use crate::pb::{
    ERROR_DOMAIN,
    v1::{ErrorReason, Permission},
};

/// What a request says about the connection that it came on, in the extensions of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A call of the contract succeeded, or was refused by a quota or for want of a permission, so
    /// the caller has authenticated.
    Authenticated,
    /// The request counts for the read throttle: it was refused for such a reason, or anybody may
    /// make it.
    Failed,
    /// The message did not arrive in time. It counts for the read throttle too.
    Unfinished,
}

/// Mark in the extensions of a request: its source is over its rate of failures, and its connection
/// is not slowed for that, because others share it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throttled;

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The request succeeded.
    Ok,
    /// The request failed with a reason of the API.
    Error(ErrorReason),
    /// The request failed with a gRPC status that has no reason of the API.
    Status(Code),
    /// The caller went away before the response.
    Cancelled,
}

impl Outcome {
    /// The outcome of a call that failed with this status.
    #[must_use]
    pub fn of_status(status: &Status) -> Self {
        let ours = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN);
        match ours.and_then(|info| ErrorReason::from_reason(&info.reason)) {
            Some(reason) => Self::Error(reason),
            None if status.code() == Code::Ok => Self::Ok,
            None => Self::Status(status.code()),
        }
    }

    /// The outcome of an HTTP request that never became a call. Errors of HTTP itself, such as an
    /// unknown path, are `InvalidRequest`.
    #[must_use]
    pub(crate) fn of_http(status: StatusCode) -> Self {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Self::Error(ErrorReason::Unavailable),
            StatusCode::REQUEST_TIMEOUT => Self::Status(Code::DeadlineExceeded),
            status if status.is_server_error() => Self::Error(ErrorReason::Internal),
            status if status.is_client_error() => Self::Error(ErrorReason::InvalidRequest),
            _ => Self::Ok,
        }
    }

    /// Name in metrics and in the access log: the reason of an error, else the gRPC code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok | Self::Status(Code::Ok) => "OK",
            Self::Error(reason) => reason.reason(),
            Self::Cancelled | Self::Status(Code::Cancelled) => "CANCELLED",
            Self::Status(Code::InvalidArgument) => "INVALID_ARGUMENT",
            Self::Status(Code::DeadlineExceeded) => "DEADLINE_EXCEEDED",
            Self::Status(Code::NotFound) => "NOT_FOUND",
            Self::Status(Code::ResourceExhausted) => "RESOURCE_EXHAUSTED",
            Self::Status(Code::OutOfRange) => "OUT_OF_RANGE",
            Self::Status(Code::Unimplemented) => "UNIMPLEMENTED",
            Self::Status(Code::Internal) => "INTERNAL",
            Self::Status(Code::Unavailable) => "UNAVAILABLE",
            // No layer of a node produces these.
            Self::Status(
                Code::Unknown
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::DataLoss
                | Code::Unauthenticated,
            ) => "UNKNOWN",
        }
    }

    /// What the outcome says about the connection of the request. `call`: its method, if its
    /// message arrived and became a call. A wrong path or a malformed request costs a log line as
    /// well, and counts like a failed authentication.
    pub(super) const fn standing(self, call: Option<Method>) -> Option<Standing> {
        let is_call = call.is_some();
        match self {
            // A call that anybody may make proves nothing. It counts as well, so that one source
            // cannot make as many of them as it likes.
            Self::Ok | Self::Error(ErrorReason::InvalidRequest) if is_for_anybody(call) => {
                Some(Standing::Failed)
            }
            Self::Ok if is_call => Some(Standing::Authenticated),
            // The caller has authenticated, and others may share its connection.
            Self::Error(
                ErrorReason::QuotaExceeded
                | ErrorReason::NotPermitted
                | ErrorReason::GrantNotPermitted
                | ErrorReason::ClientNotFound
                | ErrorReason::SecretNotFound
                | ErrorReason::ClientIdTaken
                | ErrorReason::LastLiveSecret
                | ErrorReason::EtagMismatch
                | ErrorReason::SecretInUse
                | ErrorReason::SecretEnded
                | ErrorReason::TooManySecrets
                | ErrorReason::TokenNotFound
                | ErrorReason::AlreadyDelivered
                | ErrorReason::RequestIdReused
                | ErrorReason::UnreadableRow,
            ) => Some(Standing::Authenticated),
            Self::Error(
                ErrorReason::InvalidClient
                | ErrorReason::InvalidToken
                | ErrorReason::TooManyRequests,
            ) => Some(Standing::Failed),
            Self::Error(ErrorReason::InvalidRequest)
            | Self::Status(Code::Unimplemented | Code::InvalidArgument)
                if !is_call =>
            {
                Some(Standing::Failed)
            }
            Self::Status(Code::DeadlineExceeded) if !is_call => Some(Standing::Unfinished),
            _ => None,
        }
    }
}

const fn is_for_anybody(call: Option<Method>) -> bool {
    match call {
        Some(method) => matches!(method.requires(), Permission::None),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_reason_of_ours_goes_before_the_code() {
        let status = |domain, reason| {
            let details = ErrorDetails::with_error_info(reason, domain, []);
            Status::with_error_details(Code::Unauthenticated, "", details)
        };
        let ours = Outcome::of_status(&status(ERROR_DOMAIN, "INVALID_CLIENT"));
        assert_eq!(ours, Outcome::Error(ErrorReason::InvalidClient));
        assert_eq!(ours.standing(Some(Method::IssueToken)), Some(Standing::Failed));
        for foreign in [status("proxy.test", "INVALID_CLIENT"), status(ERROR_DOMAIN, "NO_SUCH")] {
            assert_eq!(Outcome::of_status(&foreign), Outcome::Status(Code::Unauthenticated));
        }
    }

    #[test]
    fn a_call_that_anybody_may_make_proves_nothing() {
        let of = |outcome: Outcome| {
            [Method::IssueToken, Method::ReportLeakedSecret]
                .map(|method| outcome.standing(Some(method)))
        };
        assert_eq!(of(Outcome::Ok), [Some(Standing::Authenticated), Some(Standing::Failed)]);
        let malformed = Outcome::Error(ErrorReason::InvalidRequest);
        assert_eq!(of(malformed), [None, Some(Standing::Failed)]);
    }

    #[test]
    fn an_error_of_http_is_an_invalid_request_or_a_fault() {
        let rows = [(200, "OK"), (404, "INVALID_REQUEST"), (413, "INVALID_REQUEST")];
        for (status, name) in rows.into_iter().chain([(500, "INTERNAL"), (503, "UNAVAILABLE")]) {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Outcome::of_http(status).as_str(), name, "{status}");
        }
    }
}
