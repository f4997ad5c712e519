//! Rules of HTTP/1.1 for the header of a request, without which a proxy in front of us could read a
//! request otherwise than we do (RFC 9112, sections 3.2 and 6.1).

use axum::{
    extract::Request,
    http::{Version, header},
};

use super::error_response::ErrorResponse;

/// Refuses a request without `Host` or with several, and one with a transfer coding other than
/// `chunked`. HTTP/2 has neither. Content-Length beside Transfer-Encoding is not seen here: hyper
/// removes it, as section 6.3 allows.
pub(super) fn check(request: &Request) -> Result<(), ErrorResponse> {
    let headers = request.headers();
    let is_http1 = request.version() < Version::HTTP_2;
    if !is_http1 {
        return Ok(());
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    // HTTP/1.0 knows no Host.
    if hosts > 1 || hosts == 0 && request.version() == Version::HTTP_11 {
        return Err(ErrorResponse::malformed_header("there must be exactly one Host header"));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !is_chunked || codings.next().is_some() {
            let text = "the only transfer coding supported is chunked";
            return Err(ErrorResponse::malformed_header(text));
        }
    }
    Ok(())
}
