//! What holds for every answer of the HTTP face, whatever was sent.

use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
};
use serde_json::{Map, Value};
use tower::ServiceExt;

use super::CANARY;

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The errors of RFC 6749, section 5.2, RFC 8707 and the two of ours, with their statuses.
const ERRORS: [(&str, &[u16]); 8] = [
    ("invalid_request", &[400, 404, 405, 408, 413, 415]),
    ("invalid_client", &[401]),
    ("unauthorized_client", &[400]),
    ("unsupported_grant_type", &[400]),
    ("invalid_scope", &[400]),
    ("invalid_target", &[400]),
    ("temporarily_unavailable", &[429, 503]),
    ("server_error", &[500]),
];

impl Answer {
    pub(super) async fn of(router: Router, request: Request) -> Self {
        let Ok(response) = router.oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("an answer in memory does not break");
        Self { status: parts.status, headers: parts.headers, body: body.into() }
    }

    /// Checks what no answer may lack or hold.
    pub(super) fn check(&self, method: &Method) {
        assert!(!contains(&self.body, CANARY.as_bytes()), "the body echoes: {self:?}");
        for (name, value) in &self.headers {
            assert!(!contains(value.as_bytes(), CANARY.as_bytes()), "{name} echoes: {self:?}");
        }
        assert!(!contains(&self.body, b"refresh_token"), "{self:?}");
        self.check_headers();
        if self.status != StatusCode::OK {
            self.check_error(method);
        }
    }

    fn check_headers(&self) {
        let has = |name| self.headers.get_all(name).iter().count();
        let is_public = self.headers[header::CACHE_CONTROL] == "public, max-age=300";
        assert!(is_public || self.headers[header::CACHE_CONTROL] == "no-store", "{self:?}");
        assert!(is_public || self.headers[header::PRAGMA] == "no-cache", "{self:?}");
        assert!(!is_public || self.status == StatusCode::OK, "{self:?}");
        assert_eq!(has(header::CACHE_CONTROL), 1, "{self:?}");
        let status = self.status.as_u16();
        // There is none if the credentials were in the body.
        assert!(has(header::WWW_AUTHENTICATE) <= usize::from(status == 401), "{self:?}");
        assert_eq!(has(header::RETRY_AFTER), usize::from([429, 503].contains(&status)), "{self:?}");
        assert_eq!(has(header::ALLOW), usize::from(status == 405), "{self:?}");
    }

    /// Section 5.2: JSON with a known error, and a text of printable ASCII without `"` and `\`.
    fn check_error(&self, method: &Method) {
        if method == Method::HEAD && self.body.is_empty() {
            return;
        }
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json", "{self:?}");
        let members = self.members();
        let error = members["error"].as_str().expect("an error is a string");
        let known = ERRORS.iter().find(|(name, _)| *name == error);
        assert!(known.is_some_and(|row| row.1.contains(&self.status.as_u16())), "{self:?}");
        for (name, value) in &members {
            assert!(["error", "error_description"].contains(&name.as_str()), "{self:?}");
            let text = value.as_str().expect("every member is a string");
            let allowed = |c: char| (' '..='~').contains(&c) && !"\"\\".contains(c);
            assert!(!text.is_empty() && text.chars().all(allowed), "{self:?}");
        }
    }

    /// The body as the JSON object that it must be.
    pub(super) fn members(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
