//! What exists once per installation.

use crate::domain::{TagKeys, Timestamp};

/// Data that exists once per installation.
#[derive(Debug, Clone)]
pub struct Installation {
    /// HMAC keys of the tags in secrets and tokens.
    pub tag_keys: TagKeys,
}

/// Result of making the next tag key the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// The next key is now the current one.
    Adopted,
    /// So many nodes of earlier versions run, which know only the first key. Nothing was changed.
    EarlierNodes(u64),
    /// There is no next key.
    NotOffered,
}

/// How far a rotation of the tag key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagKeyRotation {
    /// Since when the current key is used; `None` if it is the first one.
    pub since: Option<Timestamp>,
    /// Whether a rotation was begun and not completed: a next key is offered.
    pub has_next: bool,
    /// Whether the previous key is still accepted.
    pub has_previous: bool,
    /// Number of live secrets that were created before the current key was used.
    pub earlier_secrets: u64,
}
