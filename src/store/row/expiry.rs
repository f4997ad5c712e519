//! When secrets end.

use super::{Cell, Cells, cells::parsed};
use crate::{
    domain::{ClientId, ClientKey, SecretId},
    store::{EndingSecret, LiveSecrets},
};

/// Reads a summary of the live secrets of a client.
pub(in crate::store) fn live_secrets(row: &impl Cells) -> Cell<(ClientKey, LiveSecrets)> {
    let number = |column| row.integer(column).map(|count| u64::try_from(count).unwrap_or(0));
    let live = LiveSecrets {
        count: number("live")?,
        endless: number("endless")?,
        first_end: row.maybe_moment("first_end")?,
    };
    Ok((ClientKey(row.uuid("client")?), live))
}

/// Reads a secret that ends soon.
pub(in crate::store) fn ending_secret(row: &impl Cells) -> Cell<EndingSecret> {
    Ok(EndingSecret {
        client_id: parsed("client_id", ClientId::parse(&row.text("client_id")?))?,
        id: SecretId(row.uuid("id")?),
        expires_at: row.moment("expires_at")?,
    })
}
