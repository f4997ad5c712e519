//! What is fuzzed. A target takes bytes and panics if a promise is broken; it knows no fuzzer.
//!
//! libFuzzer drives them from `fuzz/main.rs`, and `tests/fuzz.rs` replays the corpus on every
//! `cargo test`, so that what was found once stays found on machines without a fuzzer.

mod basic;
mod config;
mod database_url;
mod draft;
mod edge;
mod error_body;
mod form;
mod form_encoding;
mod forwarded;
mod grpc;
mod grpc_timeout;
mod http_answer;
mod message;
mod played_node;
mod request;
mod secret_hash;
mod text;
mod world;

/// A name, which is also that of its folder in `fuzz/corpus`, and what is done with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target. The parsers come first, each alone and quick; then the faces as a whole.
pub(crate) const TARGETS: [Target; 13] = [
    ("text", text::target),
    ("form_encoding", form_encoding::target),
    ("basic", basic::target),
    ("grpc_timeout", grpc_timeout::target),
    ("forwarded", forwarded::target),
    ("secret_hash", secret_hash::target),
    ("database_url", database_url::target),
    ("message", message::target),
    ("config", config::target),
    ("error_body", error_body::target),
    ("form", form::target),
    ("grpc", grpc::target),
    ("edge", edge::target),
];

/// What must never come back or be printed. It is no word of any answer.
const CANARY: &str = "kanarienvogel";
