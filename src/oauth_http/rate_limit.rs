//! The `RateLimit` fields: metadata of an RPC becomes header fields of the HTTP response.

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

use crate::pb::RATE_LIMIT_FIELDS;

/// The values of the fields, where the RPC has them.
#[derive(Debug)]
pub(super) struct RateLimit([Option<HeaderValue>; 2]);

impl RateLimit {
    /// The fields in the metadata of an RPC.
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let headers: &HeaderMap = metadata.as_ref();
        Self(RATE_LIMIT_FIELDS.map(|field| headers.get(field).cloned()))
    }

    /// Adds the fields to a response.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        for (field, value) in RATE_LIMIT_FIELDS.into_iter().zip(self.0) {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(field), value);
            }
        }
    }
}
