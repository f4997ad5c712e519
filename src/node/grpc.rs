//! The gRPC services of a listener: one service of the contract, health and reflection.

use axum::Router;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{codec::CompressionEncoding::Gzip, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use super::{StartError, health::Health};
use crate::{
    control::{ClientRpc, Gate},
    net::Limits,
    pb::{self, v1::token_service_server::TokenServiceServer},
    request::Method,
    rpc::{Calls, GrpcService, Streams, TokenRpc},
};

/// Maximum gRPC message in bytes, before and after it is inflated. A request holds a token and
/// credentials; as a form it is smaller.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Descriptors that reflection serves beside those of the service and of the details of errors:
/// health, and both versions of reflection itself.
const DESCRIPTORS: [&[u8]; 3] = [
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Builds the services for callers. Messages may be compressed, because some clients compress all
/// of theirs. Responses never are: the length of a compressed secret says something about it.
pub(super) fn service(
    rpc: TokenRpc,
    health: &Health,
    limits: &Limits,
    streams: Streams,
) -> Result<GrpcService<impl Calls>, StartError> {
    let tokens = TokenServiceServer::new(rpc)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(Gzip);
    let others = others(health, pb::TOKEN_SERVICE_DESCRIPTORS)?;
    Ok(GrpcService::new(tokens, &Method::TOKEN_SERVICE, others, limits.request_timeout, streams))
}

/// Builds the services for administrators, whose messages may be compressed as well.
pub(super) fn control(
    rpc: ClientRpc,
    health: &Health,
    limits: &Limits,
    streams: Streams,
) -> Result<GrpcService<impl Calls>, StartError> {
    let others = others(health, pb::CLIENT_SERVICE_DESCRIPTORS)?;
    let clients = Gate::new(rpc);
    Ok(GrpcService::new(clients, &Method::CLIENT_SERVICE, others, limits.request_timeout, streams))
}

/// Health, and reflection of the service with these descriptors.
fn others(health: &Health, own: &'static [u8]) -> Result<Router, StartError> {
    let health = HealthServer::new(health.service())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(Gzip);
    let reflection_v1 = reflection(own)?
        .build_v1()?
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(Gzip);
    // Older clients, Python's among them, know this version alone.
    let reflection_v1alpha = reflection(own)?
        .build_v1alpha()?
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(Gzip);
    let others = Routes::new(health).add_service(reflection_v1).add_service(reflection_v1alpha);
    Ok(others.prepare().into_axum_router())
}

fn reflection(own: &'static [u8]) -> Result<Builder<'static>, StartError> {
    // Both versions list both, so the builder adds none by itself.
    let builder = Builder::configure().include_reflection_service(false);
    let builder = builder.register_file_descriptor_set(error_details()?);
    let builder = builder.register_encoded_file_descriptor_set(own);
    Ok(DESCRIPTORS.into_iter().fold(builder, Builder::register_encoded_file_descriptor_set))
}

/// The files of `google.rpc` under the names by which clients that have their own copies know them.
/// tonic has them without a folder.
fn error_details() -> Result<FileDescriptorSet, StartError> {
    let decoded = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET);
    let mut set = decoded.map_err(tonic_reflection::server::Error::from)?;
    for name in set.file.iter_mut().filter_map(|file| file.name.as_mut()) {
        if !name.contains('/') {
            name.insert_str(0, "google/rpc/");
        }
    }
    Ok(set)
}
