//! Requests with structure: a request that would succeed, and edits to it, all chosen by the input.
//! Bytes alone would hardly ever get past the credentials.

use arbitrary::Arbitrary;
use axum::http::Method;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};

use super::{
    CANARY,
    world::{AUDIENCE, Who},
};

#[derive(Debug, Arbitrary)]
pub(super) struct Input<'a> {
    pub(super) base: Base,
    pub(super) edits: Vec<Edit<'a>>,
    /// Bytes behind the last parameter.
    pub(super) tail: &'a [u8],
    /// The most bytes of one frame of the body.
    pub(super) frame: u8,
    /// Whether the body breaks off with an error instead of ending.
    pub(super) breaks_off: bool,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Base {
    IssueByHeader,
    IssueByForm,
    Introspect,
    Revoke,
    Metadata,
    /// Without credentials: all that is presented is what the edits add.
    Nobody,
}

#[derive(Debug, Arbitrary)]
pub(super) enum Edit<'a> {
    Add { name: Name<'a>, value: Value<'a>, spelling: Spelling },
    Respell { which: u8, spelling: Spelling },
    Replace { which: u8, value: Value<'a>, spelling: Spelling },
    Repeat { which: u8 },
    Remove { which: u8 },
    Authorize { id: Value<'a>, secret: Value<'a>, spelling: Spelling, garble: Garble },
    ContentType(u8),
    Header { which: u8, value: Value<'a> },
    RemoveHeader { which: u8 },
    Method(u8),
    Path(Path<'a>),
    Query { name: Name<'a>, value: Value<'a> },
    Separator(u8),
}

#[derive(Debug, Arbitrary)]
pub(super) enum Name<'a> {
    Known(u8),
    Canary,
    Bytes(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
pub(super) enum Value<'a> {
    Id(Who),
    Secret(Who),
    /// A secret with one byte changed.
    Almost(Who, u8, u8),
    Live,
    Revoked,
    Word(u8),
    Canary,
    Bytes(&'a [u8]),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Spelling {
    Careful,
    Raw,
    AllUpper,
    AllLower,
    Twice,
    BarePercent,
    HalfPercent,
    NotUtf8,
    Overlong,
    Nul,
    LineBreak,
    ByteOrderMark,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Garble {
    No,
    ManySpaces,
    OtherCase,
    NoPadding,
    UrlAlphabet,
    Halved,
    Bearer,
    NotBase64,
    TwoInOne,
    HighBytes,
}

#[derive(Debug, Arbitrary)]
pub(super) enum Path<'a> {
    Known(u8),
    Text(&'a str),
}

pub(super) const NAMES: [&str; 10] = [
    "grant_type",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
    "unknown",
];

pub(super) const WORDS: [&str; 11] = [
    "client_credentials",
    "read",
    "read write",
    "write  read",
    "admin",
    AUDIENCE,
    "https://other.test",
    "access_token",
    "password",
    "",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
];

pub(super) const CONTENT_TYPES: [&str; 7] = [
    "application/x-www-form-urlencoded",
    "Application/X-WWW-Form-Urlencoded; charset=\"UTF-8\"",
    "application/x-www-form-urlencoded; charset=utf-16",
    "application/json",
    "multipart/form-data; boundary=a",
    "application/x-www-form-urlencoded, application/json",
    ";",
];

pub(super) const HEADERS: [&str; 16] = [
    "authorization",
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "expect",
    "host",
    "x-forwarded-for",
    "forwarded",
    "x-http-method-override",
    "grpc-timeout",
    "te",
    "accept",
    "origin",
    "cookie",
    "dpop",
];

pub(super) const METHODS: [Method; 6] =
    [Method::POST, Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS, Method::DELETE];

pub(super) const PATHS: [&str; 8] = [
    "/oauth2/token",
    "/oauth2/introspect",
    "/oauth2/revoke",
    "/.well-known/oauth-authorization-server",
    "/",
    "/oauth2/token/",
    "//oauth2/token",
    "/oauth2/%74oken",
];

impl Name<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Known(which) => NAMES[usize::from(*which) % NAMES.len()].into(),
            Self::Canary => CANARY.into(),
            Self::Bytes(bytes) => bytes.to_vec(),
        }
    }
}

impl Spelling {
    pub(super) fn of(self, text: &[u8]) -> Vec<u8> {
        let careful = || form_urlencoded::byte_serialize(text).collect::<String>().into_bytes();
        let with = |more: &[u8]| [&careful(), more].concat();
        let all =
            |spell: fn(u8) -> String| text.iter().flat_map(|b| spell(*b).into_bytes()).collect();
        match self {
            Self::Careful => careful(),
            Self::Raw => text.to_vec(),
            Self::AllUpper => all(|byte| format!("%{byte:02X}")),
            Self::AllLower => all(|byte| format!("%{byte:02x}")),
            Self::Twice => Self::AllUpper.of(&Self::AllUpper.of(text)),
            Self::BarePercent => with(b"%zz"),
            Self::HalfPercent => with(b"%2"),
            Self::NotUtf8 => with(b"%ff"),
            Self::Overlong => with(b"%c0%80"),
            Self::Nul => with(b"%00"),
            Self::LineBreak => with(b"\r\n"),
            Self::ByteOrderMark => [b"\xef\xbb\xbf", &*careful()].concat(),
        }
    }
}

/// The header of these credentials, which a garble spoils or only spells otherwise.
pub(super) fn basic(id: Vec<u8>, secret: Vec<u8>, garble: Garble) -> Vec<u8> {
    let credentials = [id, b":".into(), secret].concat();
    let encoded = STANDARD.encode(&credentials);
    match garble {
        Garble::No => format!("Basic {encoded}").into_bytes(),
        Garble::ManySpaces => format!("Basic    {encoded} ").into_bytes(),
        Garble::OtherCase => format!("bASIC {encoded}").into_bytes(),
        Garble::NoPadding => format!("Basic {}", encoded.trim_end_matches('=')).into_bytes(),
        Garble::UrlAlphabet => format!("Basic {}", URL_SAFE.encode(&credentials)).into_bytes(),
        Garble::Halved => format!("Basic {}", &encoded[..encoded.len() / 2]).into_bytes(),
        Garble::Bearer => format!("Bearer {encoded}").into_bytes(),
        Garble::NotBase64 => [b"Basic ", &*credentials].concat(),
        Garble::TwoInOne => format!("Basic {encoded}, Basic {encoded}").into_bytes(),
        Garble::HighBytes => [format!("Basic {encoded}").as_bytes(), b"\xe9\xff"].concat(),
    }
}
