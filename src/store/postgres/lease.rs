//! The lease of this node, which proves that a session reads from the primary.

use sqlx::PgConnection;
use uuid::Uuid;

use super::fault::fault;
use crate::domain::Error;

/// The lease of this node as last written. Each statement that answers a request carries it, and
/// the database refuses the statement if it does not find the lease: on a standby, on a server that
/// was cut off and is behind, or after another node has ended the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// Id of the row in `node`.
    pub(super) node: Uuid,
    /// Number of renewals.
    pub(super) renewals: i64,
}

impl Lease {
    /// SQLSTATE with which `require_lease` fails if it does not find the lease.
    pub(super) const NOT_FOUND: &str = "JT001";
}

/// Fails unless the session finds the lease.
pub(super) async fn check(
    connection: &mut PgConnection,
    lease: Option<Lease>,
) -> Result<(), Error> {
    sqlx::query("select require_lease($1, $2)")
        .bind(lease.map(|lease| lease.node))
        .bind(lease.map(|lease| lease.renewals))
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}
