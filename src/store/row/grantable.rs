//! What an administrator may give.

use super::cells::{Cell, Cells, parsed};
use crate::domain::Grantable;

/// Reads the limits of a client. Those of a row that cannot be read are not taken for none: nobody
/// administers with it.
pub(super) fn grantable(row: &impl Cells) -> Cell<Grantable> {
    let scopes = Grantable::parse_scopes(row.texts("grantable_scopes")?);
    let audiences = Grantable::parse_audiences(row.texts("grantable_audiences")?);
    Ok(Grantable {
        scopes: parsed("grantable_scopes", scopes)?,
        audiences: parsed("grantable_audiences", audiences)?,
    })
}
