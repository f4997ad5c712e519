//! Jeton: an OAuth 2.0 authorization server for client credentials (RFC 6749, section 4.4), over
//! gRPC and HTTP.
//!
//! A request passes down through these modules, and its response passes back up:
//!
//! ```text
//!                                                              secrets
//! bytes ─ net ─ request ─ oauth_http ─── rpc ─── authority ─┬─ credentials
//!                         form→message   message→values     └─ cache ─ store ─ database
//!                                                              rows    SQL
//! ```
//!
//! They are declared here in that order. `ARCHITECTURE.md` gives the overview.

pub mod node;

pub mod net;

pub mod request;

pub mod oauth_http;

pub mod control;

pub use jeton_proto as pb;

pub mod rpc;

pub mod authority;

pub mod credentials;

pub mod cache;

pub mod registry;

pub mod store;

pub use jeton_domain as domain;

pub mod cli;
pub mod config;
mod data_dir;
mod form_encoding;
pub mod stats;
pub mod telemetry;

/// Parsers for the fuzz targets in `fuzz/`. They are exposed because no public function passes its
/// input to them unchanged, and calling them through a service would hide their result.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::{
        form_encoding::{DecodeError, decode, decode_any_text},
        net::forwarded_source_of,
        request::grpc_timeout,
        rpc::basic::{Basic, parse as parse_basic},
    };
}
