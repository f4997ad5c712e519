//! Deleted clients, and requests that may come again.

use super::{Cell, Cells, cells::parsed};
use crate::{
    domain::{Audience, ClientId, ClientKey, Scope, SecretId},
    store::{DeletedClient, EarlierRequest, Readable},
};

/// Reads a row of `deleted_client`.
pub(in crate::store) fn deleted_client(row: &impl Cells) -> Readable<DeletedClient> {
    let read = || -> Cell<DeletedClient> {
        Ok(DeletedClient {
            key: ClientKey(row.uuid("id")?),
            scopes: parsed("scopes", Scope::parse_set(row.texts("scopes")?))?,
            audiences: parsed("audiences", Audience::parse_set(row.texts("audiences")?))?,
            serves: parsed("serves", Audience::parse_set(row.texts("serves")?))?,
            version: row.integer("version")?,
        })
    };
    read().map_err(|bad| bad.of("deleted_client"))
}

/// Reads a row of `request`, joined with its client if that is still there.
pub(in crate::store) fn earlier_request(row: &impl Cells) -> Readable<EarlierRequest> {
    let read = || -> Cell<EarlierRequest> {
        let client_id = row.maybe_text("client_id")?.map(|text| ClientId::parse(&text));
        Ok(EarlierRequest {
            digest: row.bytes("digest")?,
            client_id: client_id.map(|id| parsed("client_id", id)).transpose()?,
            secret: SecretId(row.uuid("secret")?),
        })
    };
    read().map_err(|bad| bad.of("request"))
}
