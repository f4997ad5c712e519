//! Recovery of access for administrators.

use async_trait::async_trait;

use crate::domain::{Actor, ClientId, Error};

/// Recovery of access for administrators.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait RecoveryStore: Send + Sync {
    /// Records in the audit trail that this client was made an administrator although there was
    /// one. Returns false if no client has this `client_id`.
    async fn record_recovery(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error>;
}
