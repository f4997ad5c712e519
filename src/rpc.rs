//! The gRPC face: protobuf to values, use case, values to protobuf.

mod basic;
mod caller;
mod request;
pub mod status;
mod token_service;

pub use self::token_service::TokenRpc;
