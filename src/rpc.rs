//! The gRPC API: parses messages into domain values, runs the use case and renders its result as a
//! message. HTTP requests take the same path: the shim turns each form into one of these messages.

mod admission;
mod arriving;
pub(crate) mod basic;
mod caller;
mod grpc_rules;
mod grpc_service;
mod parse;
mod permits;
mod rate_limit;
mod remote;
pub mod status;
mod streams;
mod token_service;
mod upstream_link;

pub use self::{
    admission::Admission,
    grpc_service::{Calls, GrpcService},
    remote::RemoteTokens,
    streams::Streams,
    token_service::TokenRpc,
    upstream_link::UpstreamLink,
};
