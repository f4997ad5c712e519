//! The gRPC face: protobuf to values, use case, values to protobuf.

mod arrival;
pub(crate) mod basic;
mod caller;
mod request;
pub mod status;
mod token_service;

pub use self::{arrival::Origin, token_service::TokenRpc};
