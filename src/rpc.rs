//! The gRPC side: protobuf to values, use case, values to protobuf. Both transports come through
//! here: a form becomes one of these messages first.

mod admission;
pub(crate) mod basic;
mod caller;
mod grpc_service;
mod parse;
mod remote;
pub mod status;
mod token_service;

pub use self::{
    admission::Admission, grpc_service::GrpcService, remote::RemoteTokens, token_service::TokenRpc,
};
