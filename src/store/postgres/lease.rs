//! The proof that a session reads from the primary: a lease that this node has written there.

use sqlx::PgConnection;
use uuid::Uuid;

use super::fault::fault;
use crate::domain::Error;

/// A lease of this node, as it was written last. A statement that answers a request carries it, and
/// the database refuses the statement where the lease is not to be found: on a standby, on a server
/// that was cut off and is behind, and where another node has ended the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// The row of `node`.
    pub(super) node: Uuid,
    /// How many times it was renewed.
    pub(super) renewals: i64,
}

impl Lease {
    /// SQLSTATE of `require_lease` for a session on which the lease is not to be found.
    pub(super) const NOT_FOUND: &str = "JT001";
}

/// Whether a session finds the lease.
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
