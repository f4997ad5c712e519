//! Jeton: access tokens for machines (RFC 6749, section 4.4), over gRPC and HTTP.
//!
//! A request walks down through these modules and its answer walks back up:
//!
//! ```text
//! bytes ─ net ─ request ─ oauth_http ─ rpc ─ authority ─ credentials ─ cache ─ store ─ database
//!                         form→message  message→values   secrets       rows    SQL
//! ```
//!
//! They stand here in that order. `ARCHITECTURE.md` is the map.

pub mod node;

pub mod net;

pub mod request;

pub mod oauth_http;

pub mod pb;

pub mod rpc;

pub mod authority;

pub mod credentials;

pub mod cache;

pub mod registry;

pub mod store;

pub mod domain;

pub mod cli;
pub mod config;
mod data_dir;
mod form_encoding;
pub mod stats;
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
