//! Requests that a caller may repeat: the id that it gave one, and the digest of what it asked for.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Malformed;

/// Identifies a request when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    id: Uuid,
    digest: [u8; 32],
}

impl RequestKey {
    /// The key of a request with this id. `content` is everything else in it: the same id with
    /// another content is a mistake of the caller.
    pub fn new(id: Uuid, content: &[u8]) -> Result<Self, Malformed> {
        if id.is_nil() {
            return Err(Malformed("is not the nil UUID: make a random one for each request"));
        }
        Ok(Self { id, digest: Sha256::digest(content).into() })
    }

    /// The id that the caller gave it.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// SHA-256 of its content.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_an_id_of_its_own_and_the_digest_of_its_content() {
        let id = Uuid::from_u128(7);
        let key = |content: &[u8]| RequestKey::new(id, content).unwrap();
        assert_eq!((key(b"a").id(), key(b"a")), (id, key(b"a")));
        assert_ne!(key(b"a").digest(), key(b"b").digest());
        RequestKey::new(Uuid::nil(), b"a").unwrap_err();
    }
}
