//! Who changes something.

use super::{ClientId, Malformed};

/// Who changes something, as the audit trail names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// A client that acts for itself.
    #[must_use]
    pub fn client(client_id: &ClientId) -> Self {
        Self(format!("client:{client_id}"))
    }

    /// Who gives a command: 1 to 128 printable ASCII characters without a space.
    pub fn operator(name: &str) -> Result<Self, Malformed> {
        let is_name = (1..=128).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
        if !is_name {
            return Err(Malformed("a name has 1 to 128 printable ASCII characters and no space"));
        }
        Ok(Self(format!("operator:{name}")))
    }

    /// A node that looks after its store.
    #[must_use]
    pub fn node() -> Self {
        Self("jeton".to_owned())
    }

    /// The name, with its kind before it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
