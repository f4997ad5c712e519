//! OAuth error responses (RFC 6749, section 5.2): the one place that maps a reason to an HTTP
//! status and an OAuth code. Errors of HTTP itself are in `request_error`.
//!
//! The reason is read from the `google.rpc.ErrorInfo` of the status and never guessed from its gRPC
//! code: the usual mapping of gRPC to HTTP would send `unauthorized_client` as 403 instead of 400.

use std::{borrow::Cow, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Response, json};
use crate::pb::{ERROR_DOMAIN, v1::ErrorReason};

/// Challenge of a 401 (RFC 9110, section 11.6.1).
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="jeton", charset="UTF-8""#);

/// `Retry-After` for a status without `RetryInfo`.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

const UNAVAILABLE: &str = "the service cannot answer now; try again later";

/// One error response.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    pub(super) status: StatusCode,
    error: &'static str,
    pub(super) description: Cow<'static, str>,
    /// The one header specific to this status, if it has any.
    header: Option<(HeaderName, HeaderValue)>,
}

/// HTTP status and OAuth code of each reason.
const fn rendering(reason: ErrorReason) -> (StatusCode, &'static str) {
    match reason {
        ErrorReason::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
        ErrorReason::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
        ErrorReason::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        ErrorReason::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        ErrorReason::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
        ErrorReason::InvalidTarget => (StatusCode::BAD_REQUEST, "invalid_target"),
        ErrorReason::TooManyRequests | ErrorReason::QuotaExceeded => {
            (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable")
        }
        ErrorReason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        // Nothing over HTTP ends with one of the reasons of `ClientService`.
        ErrorReason::Internal
        | ErrorReason::Unspecified
        | ErrorReason::InvalidToken
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
        | ErrorReason::UnreadableRow => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    }
}

/// Reason of a status. A status without our `ErrorInfo` was made on the way, by a transport or a
/// proxy. It maps to `Unavailable` if a retry may help, and to `Internal` otherwise.
fn reason(status: &Status) -> ErrorReason {
    let info = status.get_details_error_info();
    let ours = info.filter(|info| info.domain == ERROR_DOMAIN);
    if let Some(reason) = ours.and_then(|info| ErrorReason::from_reason(&info.reason)) {
        return reason;
    }
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::Unknown => ErrorReason::Unavailable,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => ErrorReason::Internal,
    }
}

impl From<Status> for ErrorResponse {
    fn from(status: Status) -> Self {
        let reason = reason(&status);
        let (http_status, error) = rendering(reason);
        // A transport or a proxy may have written these messages, and they may reveal internals.
        let description = match reason {
            ErrorReason::Unavailable => UNAVAILABLE.into(),
            ErrorReason::Internal | ErrorReason::Unspecified => {
                "the server failed to handle the request; the cause is in its log".into()
            }
            _ => Cow::Owned(status.message().to_owned()),
        };
        let header = match http_status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, CHALLENGE)),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some((header::RETRY_AFTER, retry_after(&status)))
            }
            _ => None,
        };
        Self { status: http_status, error, description, header }
    }
}

/// `Retry-After` in whole seconds: rounded up, so that no client retries too early, and never 0,
/// which would mean immediately.
fn retry_after(status: &Status) -> HeaderValue {
    let told = status.get_details_retry_info();
    let wait = told.and_then(|info| info.retry_delay).unwrap_or(DEFAULT_WAIT);
    let begun = u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(wait.as_secs().saturating_add(begun).max(1))
}

impl ErrorResponse {
    /// A request that is refused because too many are open.
    pub(super) fn overloaded() -> Self {
        let (status, error) = rendering(ErrorReason::Unavailable);
        let header = (header::RETRY_AFTER, HeaderValue::from(DEFAULT_WAIT.as_secs()));
        Self { status, error, description: UNAVAILABLE.into(), header: Some(header) }
    }

    /// The same response without the challenge of a 401. Some libraries, openid-client among them,
    /// report a challenge in place of the error.
    pub(super) fn without_challenge(mut self) -> Self {
        self.header.take_if(|(name, _)| *name == header::WWW_AUTHENTICATE);
        self
    }

    /// An error of HTTP itself. Its code is `invalid_request`: section 5.2 has no finer one.
    pub(super) fn of_http(
        status: StatusCode,
        description: impl Into<Cow<'static, str>>,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Self {
        Self { status, error: "invalid_request", description: description.into(), header }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'a str>,
}

impl ErrorResponse {
    fn body(&self) -> ErrorBody<'_> {
        let error_description = Some(self.description.as_ref()).filter(|text| is_allowed(text));
        ErrorBody { error: self.error, error_description }
    }
}

impl ErrorResponse {
    pub(super) fn into_response(self) -> Response {
        let mut response = json(self.status, &self.body());
        response.headers_mut().extend(self.header);
        response
    }
}

/// Whether section 5.2 allows every character of a description. If not, the description is omitted
/// entirely: edited character by character, it might say something else.
pub(super) fn is_allowed(description: &str) -> bool {
    let allowed = |byte| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~');
    !description.is_empty() && description.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, message: &str, reason: &str, domain: &str) -> Status {
        let mut details = ErrorDetails::with_error_info(reason, domain, []);
        details.set_retry_info(Some(Duration::from_millis(2_001)));
        Status::with_error_details(code, message, details)
    }

    fn header_of(error: &ErrorResponse) -> Option<(&str, &str)> {
        let (name, value) = error.header.as_ref()?;
        Some((name.as_str(), value.to_str().ok()?))
    }

    #[test]
    fn every_reason_has_its_answer() {
        let challenge = Some(("www-authenticate", r#"Basic realm="jeton", charset="UTF-8""#));
        let wait = Some(("retry-after", "3"));
        let table = [
            ("INVALID_REQUEST", 400, "invalid_request", None),
            ("INVALID_CLIENT", 401, "invalid_client", challenge),
            ("UNAUTHORIZED_CLIENT", 400, "unauthorized_client", None),
            ("UNSUPPORTED_GRANT_TYPE", 400, "unsupported_grant_type", None),
            ("INVALID_SCOPE", 400, "invalid_scope", None),
            ("INVALID_TARGET", 400, "invalid_target", None),
            ("TOO_MANY_REQUESTS", 429, "temporarily_unavailable", wait),
            ("QUOTA_EXCEEDED", 429, "temporarily_unavailable", wait),
            ("UNAVAILABLE", 503, "temporarily_unavailable", wait),
            ("INTERNAL", 500, "server_error", None),
        ];
        for (reason, http_status, error, header) in table {
            // The gRPC code is ignored if there is a reason.
            let answer = ErrorResponse::from(status(Code::Aborted, "cause", reason, ERROR_DOMAIN));
            assert_eq!((answer.status.as_u16(), answer.error), (http_status, error), "{reason}");
            assert_eq!(header_of(&answer), header, "{reason}");
            let is_told = !matches!(reason, "UNAVAILABLE" | "INTERNAL");
            assert_eq!(answer.description == "cause", is_told, "{reason}");
        }
    }

    #[test]
    fn a_status_that_was_made_on_the_way_is_unavailable_or_a_fault() {
        use Code::{Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable, Unknown};
        let unavailable = [Unavailable, DeadlineExceeded, Cancelled, ResourceExhausted, Unknown];
        for code in (0..=16).map(Code::from_i32) {
            let expected = if unavailable.contains(&code) { 503 } else { 500 };
            let foreign = [
                Status::new(code, "tcp connect to 10.0.0.7"),
                status(code, "proxy says no", "INVALID_CLIENT", "proxy.example.org"),
                status(code, "a newer server", "NO_SUCH_REASON", ERROR_DOMAIN),
            ];
            for status in foreign {
                let message = status.message().to_owned();
                let answer = ErrorResponse::from(status);
                assert_eq!(answer.status.as_u16(), expected, "{code:?} {message}");
                assert_ne!(answer.description, message);
            }
        }
    }

    #[test]
    fn waits_are_whole_seconds_and_at_least_one() {
        let retry_after_of = |wait| {
            let details = ErrorDetails::with_retry_info(wait);
            retry_after(&Status::with_error_details(Code::Unavailable, "", details))
        };
        assert_eq!(retry_after_of(None), "1");
        assert_eq!(retry_after_of(Some(Duration::ZERO)), "1");
        assert_eq!(retry_after_of(Some(Duration::from_millis(1))), "1");
        assert_eq!(retry_after_of(Some(Duration::from_secs(2))), "2");
        assert_eq!(retry_after_of(Some(Duration::from_nanos(2_000_000_001))), "3");
        assert_eq!(retry_after(&Status::unavailable("")), "1");
    }

    fn with_description(text: &str) -> ErrorResponse {
        status(Code::InvalidArgument, text, "INVALID_SCOPE", ERROR_DOMAIN).into()
    }

    #[test]
    fn a_text_that_is_not_allowed_is_left_out_whole() {
        let json = |text| serde_json::to_string(&with_description(text).body()).unwrap_or_default();
        for text in ["", "say \"no\"", "back\\slash", "line\nbreak", "caf\u{e9}", "\u{7f}"] {
            assert_eq!(json(text), r#"{"error":"invalid_scope"}"#);
        }
        let told = r#"{"error":"invalid_scope","error_description":"ask for less"}"#;
        assert_eq!(json("ask for less"), told);
    }

    proptest! {
        #[test]
        fn every_description_stays_within_the_allowed_characters(text in "\\PC*|[ -~]*|.*") {
            let answer = with_description(&text);
            if let Some(description) = answer.body().error_description {
                prop_assert_eq!(description, &text);
                prop_assert!(!description.contains(['"', '\\']));
                prop_assert!(description.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }
    }
}
