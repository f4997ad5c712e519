//! Actors: the originators of changes, as the audit trail names them.

use std::net::IpAddr;

use super::{ClientId, Malformed};

/// Originator of a change in the audit trail: `client`, `client:<id>`, `operator:<name>`,
/// `unix:uid=<number>`, `holder:<address>` or `jeton`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// The client that the changed row belongs to, which acts on its own behalf.
    #[must_use]
    pub fn owner() -> Self {
        Self("client".to_owned())
    }

    /// The operator who runs a command: 1 to 128 printable ASCII characters without a space.
    pub fn operator(name: &str) -> Result<Self, Malformed> {
        let is_name = (1..=128).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
        if !is_name {
            return Err(Malformed("a name has 1 to 128 printable ASCII characters and no space"));
        }
        Ok(Self(format!("operator:{name}")))
    }

    /// An administrator: a client that changes another one.
    #[must_use]
    pub fn administrator(client_id: &ClientId) -> Self {
        Self(format!("client:{client_id}"))
    }

    /// A user of this machine who calls through a Unix socket, as the kernel names him.
    #[must_use]
    pub fn local_user(uid: u32) -> Self {
        Self(format!("unix:uid={uid}"))
    }

    /// The holder of a secret, who reports it as leaked, by the source of the report.
    #[must_use]
    pub fn holder(source: Option<IpAddr>) -> Self {
        Self(source.map_or_else(|| "holder".to_owned(), |source| format!("holder:{source}")))
    }

    /// A node that runs upkeep on its database.
    #[must_use]
    pub fn node() -> Self {
        Self("jeton".to_owned())
    }

    /// Text form, as stored in the column `actor` of the audit trail.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
