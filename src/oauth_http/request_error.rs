//! Errors of HTTP itself, for requests that do not reach the service. Each text says how to fix the
//! request and echoes nothing of it.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::error_response::ErrorResponse;

impl ErrorResponse {
    pub(super) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::of_http(StatusCode::BAD_REQUEST, description, None)
    }

    /// A header that servers may read in different ways. Nothing more is read from the connection.
    pub(super) fn malformed_header(description: &'static str) -> Self {
        Self::of_http(StatusCode::BAD_REQUEST, description, Some(close()))
    }

    pub(super) fn not_found() -> Self {
        let text = "no endpoint has this path; /.well-known/oauth-authorization-server lists them";
        Self::of_http(StatusCode::NOT_FOUND, text, None)
    }

    pub(super) fn method_not_allowed(allow: HeaderValue) -> Self {
        let text = "this endpoint does not support this method; see the Allow header";
        Self::of_http(StatusCode::METHOD_NOT_ALLOWED, text, Some((header::ALLOW, allow)))
    }

    pub(super) fn unsupported_media_type(description: &'static str) -> Self {
        Self::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, description, None)
    }

    /// A body that was too long and has been read to its end.
    pub(super) fn content_too_large() -> Self {
        Self::of_http(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, None)
    }

    /// A body so long that it was not read to its end.
    pub(super) fn endless_body() -> Self {
        Self::of_http(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, Some(close()))
    }

    pub(super) fn incomplete_body() -> Self {
        Self::of_http(
            StatusCode::BAD_REQUEST,
            "the body ended early or is malformed",
            Some(close()),
        )
    }

    pub(super) fn request_timeout() -> Self {
        let text = "the body did not arrive in time; send it at once";
        Self::of_http(StatusCode::REQUEST_TIMEOUT, text, Some(close()))
    }
}

const TOO_LARGE: &str = "the body is too long; send only the parameters that the endpoint reads";

/// Header that closes the connection, which cannot be reused because a body on it was not read to
/// its end. On HTTP/2 the server omits the header and resets only the stream.
fn close() -> (HeaderName, HeaderValue) {
    (header::CONNECTION, HeaderValue::from_static("close"))
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::form_encoding::DecodeError;
    use crate::oauth_http::{error_response::is_allowed, form::FormError};

    #[test]
    fn own_texts_are_allowed() {
        let answers = [
            ErrorResponse::not_found(),
            ErrorResponse::method_not_allowed(HeaderValue::from_static("POST")),
            ErrorResponse::content_too_large(),
            ErrorResponse::incomplete_body(),
            ErrorResponse::request_timeout(),
            ErrorResponse::from(Status::unavailable("")),
            ErrorResponse::from(Status::internal("")),
            ErrorResponse::invalid_request(FormError::TooManyParameters.to_string()),
            ErrorResponse::invalid_request(FormError::Repeated.to_string()),
            ErrorResponse::invalid_request(DecodeError::BadPercent.to_string()),
            ErrorResponse::invalid_request(DecodeError::NotUtf8.to_string()),
            ErrorResponse::invalid_request(DecodeError::ControlCharacter.to_string()),
        ];
        for ErrorResponse { description, .. } in answers {
            assert!(is_allowed(&description), "{description}");
        }
    }
}
