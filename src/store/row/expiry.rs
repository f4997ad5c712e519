//! When secrets end.

use super::{Cell, Cells, cells::parsed};
use crate::{
    domain::{ClientId, ClientKey, SecretId},
    store::{EndingSecret, LiveSecrets},
};

/// Reads a summary of the secrets of a client.
pub(in crate::store) fn live_secrets(row: &impl Cells) -> Cell<(ClientKey, LiveSecrets)> {
    let number = |column| row.integer(column).map(|count| u64::try_from(count).unwrap_or(0));
    let live = LiveSecrets {
        count: number("live")?,
        endless: number("endless")?,
        first_end: row.maybe_moment("first_end")?,
        expired: number("expired")?,
    };
    Ok((ClientKey(row.uuid("client")?), live))
}

/// Reads how many secrets of a client end with the previous tag key.
pub(in crate::store) fn earlier_secrets(row: &impl Cells) -> Cell<(ClientId, u64)> {
    let client_id = parsed("client_id", ClientId::parse(&row.text("client_id")?))?;
    Ok((client_id, u64::try_from(row.integer("earlier_secrets")?).unwrap_or(0)))
}

/// Reads a secret that ends soon.
pub(in crate::store) fn ending_secret(row: &impl Cells) -> Cell<EndingSecret> {
    Ok(EndingSecret {
        client_id: parsed("client_id", ClientId::parse(&row.text("client_id")?))?,
        id: SecretId(row.uuid("id")?),
        expires_at: row.moment("expires_at")?,
    })
}
