//! When secrets end.

use crate::domain::{ClientId, SecretId, Timestamp};

/// Summary of the secrets of a client that are not retired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveSecrets {
    /// Number of live secrets.
    pub count: u64,
    /// How many of them never end.
    pub endless: u64,
    /// When the first of the others ends; `None` if all are endless.
    pub first_end: Option<Timestamp>,
    /// Number of secrets that have ended, without having been retired.
    pub expired: u64,
}

/// A secret that ends soon, or has ended, without having been retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingSecret {
    /// Public id of its client.
    pub client_id: ClientId,
    /// Id of the secret.
    pub id: SecretId,
    /// Its expiry.
    pub expires_at: Timestamp,
}
