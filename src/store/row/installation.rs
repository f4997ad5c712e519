//! The only row of `installation`.

use super::{BadCell, Cell, Cells};
use crate::{
    domain::{Error, TagKey, TagKeys},
    store::{Readable, TagKeyRotation},
};

/// Reads the tag keys. The schema allows a next key or a previous one, but not both.
pub(in crate::store) fn tag_keys(row: &impl Cells) -> Readable<TagKeys> {
    let keys = || {
        let [next, previous] = [tag_key(row, "next_tag_key")?, tag_key(row, "previous_tag_key")?];
        let current = tag_key(row, "tag_key")?.ok_or_else(|| BadCell::null("tag_key"))?;
        Ok(TagKeys::new(current, next.or(previous)))
    };
    keys().map_err(|bad: BadCell| bad.of("installation"))
}

fn tag_key(row: &impl Cells, column: &'static str) -> Cell<Option<TagKey>> {
    let Some(bytes) = row.maybe_bytes(column)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| BadCell::new(column, "a tag key has 32 bytes"))?;
    Ok(Some(TagKey::from_bytes(bytes)))
}

/// Reads how far a rotation of the tag key is.
pub(in crate::store) fn tag_key_rotation(row: &impl Cells) -> Readable<TagKeyRotation> {
    let rotation = || {
        Ok(TagKeyRotation {
            since: row.maybe_moment("tag_key_since")?,
            has_next: row.flag("has_next")?,
            has_previous: row.flag("has_previous")?,
            earlier_secrets: u64::try_from(row.integer("earlier_secrets")?).unwrap_or(0),
        })
    };
    rotation().map_err(|bad: BadCell| bad.of("installation"))
}

/// Fault for a missing row. Its `not_before` is unknown then, so no token can be reported as
/// active.
pub(in crate::store) fn no_installation() -> Error {
    Error::internal("the table installation has no row: restore it from a backup")
}
