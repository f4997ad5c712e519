//! Authorization server metadata (RFC 8414), from which a client learns the endpoints.

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{
    Response,
    endpoint::{INTROSPECTION_PATH, LEAK_REPORT_PATH, REVOCATION_PATH, TOKEN_PATH},
    json,
};

/// Path of the document for an issuer without a path.
const WELL_KNOWN_PATH: &str = "/.well-known/oauth-authorization-server";

/// Unlike every other response, this one is public, and each client fetches it when it starts.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Authentication methods of the three endpoints that authenticate clients. The header comes first,
/// because RFC 6749 recommends it.
const AUTH_METHODS: &[&str] = &["client_secret_basic", "client_secret_post"];

/// The members of RFC 8414, section 2, that apply, and one of our own.
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    /// Where anybody reports a leaked secret. No standard has a name for it.
    leak_report_endpoint: String,
    /// Must be sent: the default lists grants that this server does not support.
    grant_types_supported: &'static [&'static str],
    /// Empty, because there is no authorization endpoint. The RFC requires the member and also says
    /// that empty ones must be omitted; clients fail if it is missing.
    response_types_supported: &'static [&'static str],
    token_endpoint_auth_methods_supported: &'static [&'static str],
    introspection_endpoint_auth_methods_supported: &'static [&'static str],
    revocation_endpoint_auth_methods_supported: &'static [&'static str],
}

/// The document. It is built from the configured issuer alone: if it used the Host header, a
/// request could choose where clients send their secrets.
pub(super) fn document(issuer: &str) -> Response {
    let metadata = Metadata {
        issuer,
        token_endpoint: format!("{issuer}{TOKEN_PATH}"),
        introspection_endpoint: format!("{issuer}{INTROSPECTION_PATH}"),
        revocation_endpoint: format!("{issuer}{REVOCATION_PATH}"),
        leak_report_endpoint: format!("{issuer}{LEAK_REPORT_PATH}"),
        grant_types_supported: &["client_credentials"],
        response_types_supported: &[],
        token_endpoint_auth_methods_supported: AUTH_METHODS,
        introspection_endpoint_auth_methods_supported: AUTH_METHODS,
        revocation_endpoint_auth_methods_supported: AUTH_METHODS,
    };
    let mut response = json(StatusCode::OK, &metadata);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}

/// Paths of the document: the plain one, and the one with the issuer's path appended (section 3.1).
pub(super) fn paths(issuer: &str) -> Vec<String> {
    let mut paths = vec![WELL_KNOWN_PATH.to_owned()];
    let authority = issuer.split_once("://").map_or(issuer, |(_scheme, rest)| rest);
    if let Some((_host, path)) = authority.split_once('/') {
        let path = path.trim_end_matches('/');
        if !path.is_empty() {
            paths.push(format!("{WELL_KNOWN_PATH}/{path}"));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_issuer_stands_behind_the_well_known_one() {
        let table = [
            ("https://auth.example.org", None),
            ("https://auth.example.org:8443", None),
            ("https://auth.example.org/", None),
            ("https://auth.example.org/a", Some("/.well-known/oauth-authorization-server/a")),
            ("https://auth.example.org/a/b", Some("/.well-known/oauth-authorization-server/a/b")),
        ];
        for (issuer, second) in table {
            let paths = paths(issuer);
            assert_eq!(paths.first().map(String::as_str), Some(WELL_KNOWN_PATH));
            assert_eq!(paths.get(1).map(String::as_str), second, "{issuer}");
        }
    }
}
