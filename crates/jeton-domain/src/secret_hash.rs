//! The stored form of a client secret: an argon2id hash as a PHC string. What other systems store
//! instead is in `foreign_secret.rs`.

use std::{fmt, sync::Arc};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::{Cause, ClientSecret, Malformed, Random};

/// Longest PHC string that is parsed, in bytes; ours have 97.
const MAX_LENGTH: usize = 256;

/// Cost parameters of one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes (argon2 `p`). They are computed one after the other.
    pub lanes: u32,
}

impl HashCost {
    /// The minimum that OWASP recommends for argon2id: 19 MiB, two passes, one lane.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };

    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
    }
}

/// Maximum cost of a stored hash. A hash is verified with its own parameters, so without this bound
/// one edited row could take all memory, or a core for hours.
#[derive(Debug, Clone, Copy)]
pub struct HashCostCap(pub HashCost);

impl HashCostCap {
    /// 64 MiB, 10 passes, 4 lanes: above every recommendation in use.
    pub const DEFAULT: Self = Self(HashCost { memory_kib: 65_536, passes: 10, lanes: 4 });

    fn allows(self, params: &Params) -> bool {
        params.m_cost() <= self.0.memory_kib
            && params.t_cost() <= self.0.passes
            && params.p_cost() <= self.0.lanes
    }
}

/// Working memory of argon2, reused by its thread. With a fresh allocation per hash, half of the
/// time goes into page faults.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    /// Memory for hashes of this cost.
    #[must_use]
    pub fn for_cost(cost: HashCost) -> Self {
        let blocks = cost.params().map_or(0, |params| params.block_count());
        Self(vec![Block::new(); blocks])
    }

    fn hash(&mut self, params: Params, text: &str, salt: &[u8]) -> Result<[u8; 32], argon2::Error> {
        let blocks = params.block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::new());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut out = [0; 32];
        argon2.hash_password_into_with_memory(
            text.as_bytes(),
            salt,
            &mut out,
            &mut self.0[..blocks],
        )?;
        Ok(out)
    }
}

impl fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashMemory({} KiB)", self.0.len())
    }
}

/// argon2id hash of a client secret, as a PHC string, or the hash that another system stored for a
/// secret of its own. Its `Debug` is redacted although the hash is
/// not the secret: a hash that is not in a log cannot be attacked from there.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(Arc<str>);

impl SecretHash {
    /// Wraps a stored string. It is validated when it is used, so that a bad row fails only its own
    /// client.
    #[must_use]
    pub fn from_stored(phc: String) -> Self {
        Self(phc.into())
    }

    /// What is stored in place of a hash that was erased. It is the hash of no secret, and a string
    /// that every version of the schema accepts.
    pub const ERASED: &str = "$argon2id$";

    /// The PHC string, for the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes a secret with a new salt.
    pub fn compute(
        secret: &ClientSecret,
        cost: HashCost,
        random: &dyn Random,
        memory: &mut HashMemory,
    ) -> Result<Self, Cause> {
        Self::compute_text(secret.expose(), cost, random, memory)
    }

    pub(super) fn compute_text(
        text: &str,
        cost: HashCost,
        random: &dyn Random,
        memory: &mut HashMemory,
    ) -> Result<Self, Cause> {
        let mut salt = [0; 16];
        random.fill(&mut salt)?;
        let params = cost.params()?;
        let phc_params = ParamsString::try_from(&params)?;
        let hash = memory.hash(params, text, &salt)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc_params,
            salt: Some(Salt::new(&salt)?),
            hash: Some(Output::new(&hash)?),
        };
        Ok(Self(phc.to_string().into()))
    }

    /// Whether this is the hash of `secret`. Takes one argon2id computation, at the cost in the
    /// stored string.
    ///
    /// # Errors
    /// If the stored string cannot be used: it is malformed or costs more than `cap`.
    pub fn verify(
        &self,
        secret: &ClientSecret,
        cap: HashCostCap,
        memory: &mut HashMemory,
    ) -> Result<bool, Malformed> {
        self.verify_text(secret.expose(), cap, memory)
    }

    pub(super) fn verify_text(
        &self,
        text: &str,
        cap: HashCostCap,
        memory: &mut HashMemory,
    ) -> Result<bool, Malformed> {
        let (params, salt, stored) = self.read(cap)?;
        let computed = memory
            .hash(params, text, &salt)
            .map_err(|_| Malformed("the stored hash cannot be computed"))?;
        // `Output` compares in constant time.
        Ok(Output::new(&computed).is_ok_and(|computed| computed == stored))
    }

    pub(super) fn read(&self, cap: HashCostCap) -> Result<(Params, Salt, Output), Malformed> {
        const SHAPE: Malformed = Malformed("the stored hash is not an argon2id PHC string");
        if self.0.len() > MAX_LENGTH {
            return Err(SHAPE);
        }
        let phc = PasswordHash::new(&self.0).map_err(|_| SHAPE)?;
        if phc.algorithm != Algorithm::Argon2id.ident()
            || phc.version != Some(Version::V0x13.into())
        {
            return Err(SHAPE);
        }
        let params = Params::try_from(&phc).map_err(|_| SHAPE)?;
        if !cap.allows(&params) {
            return Err(Malformed("the stored hash costs more than this server allows"));
        }
        match (phc.salt, phc.hash) {
            (Some(salt), Some(hash)) if hash.len() == 32 => Ok((params, salt, hash)),
            _ => Err(SHAPE),
        }
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SeededRandom, TagKey};

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn secret(random: &SeededRandom) -> ClientSecret {
        ClientSecret::generate(random, &TagKey::from_bytes([1; 32])).unwrap()
    }

    #[test]
    fn a_hash_verifies_its_own_secret_and_no_other() {
        let random = SeededRandom::default();
        let mut memory = HashMemory::for_cost(CHEAP);
        let (right, wrong) = (secret(&random), secret(&random));
        let hash = SecretHash::compute(&right, CHEAP, &random, &mut memory).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        assert_eq!(hash.verify(&right, HashCostCap::DEFAULT, &mut memory), Ok(true));
        assert_eq!(hash.verify(&wrong, HashCostCap::DEFAULT, &mut memory), Ok(false));
    }

    #[test]
    fn a_stored_cost_above_the_cap_is_refused_before_anything_is_allocated() {
        let random = SeededRandom::default();
        let mut memory = HashMemory::default();
        let tail = "c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for params in ["m=4194304,t=2,p=1", "m=19456,t=1000000,p=1", "m=19456,t=2,p=64"] {
            let hash = SecretHash::from_stored(format!("$argon2id$v=19${params}${tail}"));
            assert!(hash.verify(&secret(&random), HashCostCap::DEFAULT, &mut memory).is_err());
            assert!(memory.0.is_empty(), "{params} allocated memory");
        }
    }

    #[test]
    fn a_stored_string_of_another_kind_is_refused() {
        let random = SeededRandom::default();
        let mut memory = HashMemory::default();
        let strings = [
            "",
            "plain",
            SecretHash::ERASED,
            "$2b$10$abcdefghijklmnopqrstuv",
            "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ];
        for phc in strings {
            let hash = SecretHash::from_stored(phc.to_owned());
            assert!(hash.verify(&secret(&random), HashCostCap::DEFAULT, &mut memory).is_err());
        }
    }
}
