//! Whose a secret is.

use super::{Cells, client, secret};
use crate::store::OwnedSecret;

/// Reads a secret, without its hash, and its client.
pub(in crate::store) fn owned_secret(row: &impl Cells) -> OwnedSecret {
    OwnedSecret { client: client(row), secret: secret(row) }
}
