//! The endpoints: their paths and methods.

use http::{HeaderValue, Method};

pub(super) const TOKEN_PATH: &str = "/oauth2/token";
pub(super) const INTROSPECTION_PATH: &str = "/oauth2/introspect";
pub(super) const REVOCATION_PATH: &str = "/oauth2/revoke";
pub(super) const LEAK_REPORT_PATH: &str = "/oauth2/report-leak";

/// Paths of the endpoints that take a form.
pub(super) const PATHS: [&str; 4] =
    [TOKEN_PATH, INTROSPECTION_PATH, REVOCATION_PATH, LEAK_REPORT_PATH];

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Token,
    Introspection,
    Revocation,
    LeakReport,
    Metadata,
}

impl Endpoint {
    /// The endpoint at a path of a URI, which is compared as it is, without decoding.
    pub(super) fn at(path: &str, metadata_paths: &[String]) -> Option<Self> {
        match path {
            TOKEN_PATH => Some(Self::Token),
            INTROSPECTION_PATH => Some(Self::Introspection),
            REVOCATION_PATH => Some(Self::Revocation),
            LEAK_REPORT_PATH => Some(Self::LeakReport),
            path => metadata_paths.iter().any(|known| known == path).then_some(Self::Metadata),
        }
    }

    /// Whether the endpoint supports a method. Methods are case-sensitive (RFC 9110, section 9.1).
    pub(super) fn supports(self, method: &Method) -> bool {
        match self {
            Self::Metadata => method == Method::GET || method == Method::HEAD,
            Self::Token | Self::Introspection | Self::Revocation | Self::LeakReport => {
                method == Method::POST
            }
        }
    }

    /// The supported methods, as `Allow` names them.
    pub(super) const fn allow(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Metadata => "GET,HEAD",
            Self::Token | Self::Introspection | Self::Revocation | Self::LeakReport => "POST",
        })
    }
}
