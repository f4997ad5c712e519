//! Tokens as operators see them.

use super::{BadCell, Cells, UnreadableRow, cells::parsed, found_token, token_cells};
use crate::{
    domain::{Error, Malformed, TokenDigest},
    store::{Readable, StoredToken},
};

/// Reads a token with the columns of its client, which are null if the client was deleted.
pub(in crate::store) fn stored_token(row: &impl Cells) -> Result<StoredToken, Error> {
    let of_token =
        |bad: BadCell| UnreadableRow { id: row.uuid("token_id").ok(), ..bad.of("access_token") };
    let token = token_cells(row).map_err(of_token)?;
    let facts = match row.maybe_uuid("id") {
        Ok(None) => None,
        _ => Some(found_token(row)?.facts),
    };
    Ok(StoredToken {
        id: token.id,
        client: token.client,
        credential: token.credential,
        issued: token.granted,
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        is_revoked: row.flag("revoked").map_err(of_token)?,
        // These say only when, so one that cannot be read is not known.
        revoked_at: row.maybe_moment("revoked_at").ok().flatten(),
        leaked_at: row.maybe_moment("burnt_at").ok().flatten(),
        facts,
    })
}

/// Reads several tokens, each on its own.
pub(in crate::store) fn stored_tokens(
    rows: &[impl Cells],
) -> Result<Vec<Readable<StoredToken>>, Error> {
    let read = |row| match stored_token(row) {
        Ok(token) => Ok(Ok(token)),
        Err(error) => UnreadableRow::behind(error).map(Err),
    };
    rows.iter().map(read).collect()
}

/// Reads the digest of a token.
pub(in crate::store) fn token_digest(row: &impl Cells) -> Readable<TokenDigest> {
    let digest = || {
        let bytes = row.bytes("digest")?.try_into();
        parsed("digest", bytes.map_err(|_| Malformed("a digest has 32 bytes")))
    };
    let digest = digest().map_err(|bad: BadCell| bad.of("access_token"))?;
    Ok(TokenDigest::from_bytes(digest))
}
