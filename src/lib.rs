//! Jeton: access tokens for machines (RFC 6749, section 4.4), over gRPC and HTTP.
//!
//! One request walks down once:
//!
//! ```text
//! POST /oauth2/token ─ http ─ rpc ─ authority ─ store ─ Postgres or SQLite
//!                       form→proto  proto→values  the steps  SQL
//! gRPC IssueToken ────────────┘
//! ```
//!
//! The modules, in the order in which a request meets them; `ARCHITECTURE.md` is the map.

pub mod server;

pub mod request;

pub mod http;

pub mod pb;

pub mod rpc;

pub mod authority;

pub mod registry;

pub mod store;

pub mod domain;

pub mod cli;
pub mod config;
mod data_dir;
mod form_encoding;
pub mod telemetry;

/// Parsers that no public function hands its input to unchanged, for the targets in `fuzz/`. They
/// are reached here and not through a service, which would hide what they made of it.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::{
        form_encoding::{DecodeError, decode, decode_any_text},
        request::grpc_timeout,
        rpc::basic::{Basic, parse as parse_basic},
    };
}
