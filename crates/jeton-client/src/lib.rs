//! Clients of Jeton over both transports, for commands, benchmarks and third-party programs.
//!
//! [`endpoint`] connects over gRPC, where `jeton_proto` has the generated client.
//! [`HttpConnection`] posts forms as any OAuth library does, and gets pages. [`request`] makes the
//! messages of both.

mod grpc;
mod http;
pub mod request;

use std::path::PathBuf;

pub use self::{
    grpc::{Identity, endpoint, endpoint_as},
    http::{HttpAnswer, HttpConnection},
};

/// Why a node could not be called.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not one of this transport.
    #[error("{0} is not a URL such as https://tokens.example.com:50051")]
    Url(String),
    /// The file with the certificate authorities cannot be used.
    #[error("{} cannot be read as certificates in PEM", .0.display())]
    Authorities(PathBuf, #[source] BoxError),
    /// The client certificate and its key cannot be used.
    #[error("{} and its key cannot be used as a client certificate in PEM", .0.display())]
    Identity(PathBuf, #[source] BoxError),
    /// There is no connection to the node.
    #[error("no node answers at {0}")]
    Connect(String, #[source] BoxError),
    /// The connection failed during a call, or the answer was larger than any of ours.
    #[error("the connection failed during a call")]
    Broken(#[source] BoxError),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
