//! Secrets that another system made: texts without a tag, and hashes as such systems store them.
//!
//! The formats are those of Ory Hydra: `$pbkdf2-sha256$i=25000,l=32$salt$key`, with unpadded
//! base64, and bcrypt. argon2id as a PHC string is what such a hash is replaced with.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bcrypt::HashParts;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Cause, HashCost, HashCostCap, HashMemory, Malformed, Random, SecretHash};

/// Longest text of a foreign secret, in bytes.
const MAX_TEXT: usize = 256;

/// Longest stored hash, in bytes.
const MAX_HASH: usize = 256;

/// What each secret and each token of an installation of Jeton begins with.
const OUR_PREFIXES: [&str; 2] = ["jts_", "jta_"];

/// Maximum iterations of PBKDF2, for all blocks of the key together: each block costs as many.
const MAX_ITERATIONS: u32 = 2_000_000;

/// Maximum cost of bcrypt, as a power of two.
const MAX_BCRYPT_COST: u32 = 12;

/// Longest text that bcrypt compares as a whole, in bytes.
const MAX_BCRYPT_TEXT: usize = 72;

/// Shortest text in clear that is imported, in bytes.
const MIN_IMPORTED_TEXT: usize = 16;

/// A secret of another system in clear. Its `Debug` is redacted.
pub struct ForeignSecret(Zeroizing<String>);

impl ForeignSecret {
    /// Parses a presented text. One that begins like a secret of Jeton is a mistyped secret of
    /// Jeton, and costs no hash.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let is_text = (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control);
        if !is_text || OUR_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(Malformed(
                "a secret of another system has 1 to 256 bytes, no control characters, and does \
                 not begin with jts_ or jta_",
            ));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Parses a text to be imported. A short one could be guessed.
    pub fn parse_imported(text: &str) -> Result<Self, Malformed> {
        if text.len() < MIN_IMPORTED_TEXT {
            return Err(Malformed(
                "the secret is shorter than 16 characters and could be guessed: replace it there \
                 first, or leave it out and make one with `jeton client add-secret`",
            ));
        }
        Self::parse(text)
    }

    /// The text in clear, to be hashed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ForeignSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignSecret([redacted])")
    }
}

/// How a hash is computed.
enum Scheme {
    Argon2id,
    Bcrypt,
    Pbkdf2 { digest: Digest, iterations: u32, salt: Vec<u8>, key: Vec<u8> },
}

#[derive(Clone, Copy)]
enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

/// A hash of another system can be that of any [`ForeignSecret`], and has its own cost.
impl SecretHash {
    /// Parses a hash to be imported.
    ///
    /// # Errors
    /// If it is of a kind that is not supported, or costs more than a node computes.
    pub fn parse_foreign(text: &str) -> Result<Self, Malformed> {
        let hash = Self::from_stored(text.to_owned());
        match hash.scheme()? {
            Scheme::Argon2id => hash.read(HashCostCap::DEFAULT).map(|_| ())?,
            Scheme::Bcrypt | Scheme::Pbkdf2 { .. } => {}
        }
        Ok(hash)
    }

    /// Hashes a foreign secret with argon2id and a new salt.
    pub fn compute_foreign(
        secret: &ForeignSecret,
        cost: HashCost,
        random: &dyn Random,
        memory: &mut HashMemory,
    ) -> Result<Self, Cause> {
        Self::compute_text(secret.expose(), cost, random, memory)
    }

    /// Whether this is a hash that [`compute_foreign`](Self::compute_foreign) makes better.
    #[must_use]
    pub fn is_to_be_replaced(&self) -> bool {
        !self.as_str().starts_with("$argon2id$")
    }

    /// Whether this is the hash of `secret`, computed at the cost in the stored string.
    ///
    /// # Errors
    /// If the stored string cannot be used: it is malformed or costs more than is allowed.
    pub fn verify_foreign(
        &self,
        secret: &ForeignSecret,
        cap: HashCostCap,
        memory: &mut HashMemory,
    ) -> Result<bool, Malformed> {
        let text = secret.expose();
        match self.scheme()? {
            Scheme::Argon2id => self.verify_text(text, cap, memory),
            // bcrypt looks at 72 bytes alone, so a longer text would match by its beginning. It is
            // compared all the same, because a quick refusal would tell the kind of the hash.
            Scheme::Bcrypt => {
                let begins_alike = bcrypt::verify(text, self.as_str())
                    .map_err(|_| Malformed("the stored hash cannot be computed"))?;
                Ok(begins_alike && text.len() <= MAX_BCRYPT_TEXT)
            }
            Scheme::Pbkdf2 { digest, iterations, salt, key } => {
                let mut computed = Zeroizing::new(vec![0_u8; key.len()]);
                digest.derive(text.as_bytes(), &salt, iterations, &mut computed);
                Ok(computed[..].ct_eq(&key[..]).into())
            }
        }
    }

    fn scheme(&self) -> Result<Scheme, Malformed> {
        let text = self.as_str();
        if text.starts_with("$argon2id$") {
            return Ok(Scheme::Argon2id);
        }
        if let Some(rest) = text.strip_prefix("$pbkdf2-").filter(|_| text.len() <= MAX_HASH) {
            return read_pbkdf2(rest);
        }
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return read_bcrypt(text);
        }
        Err(Malformed(
            "the hash is of no known kind: it begins with $pbkdf2-sha256$, $pbkdf2-sha512$, \
             $pbkdf2-sha1$, $2a$, $2b$, $2y$ or $argon2id$",
        ))
    }
}

fn read_bcrypt(text: &str) -> Result<Scheme, Malformed> {
    let parts: HashParts =
        text.parse().map_err(|_| Malformed("the hash begins like bcrypt and is malformed"))?;
    if !(4..=MAX_BCRYPT_COST).contains(&parts.get_cost()) {
        return Err(Malformed(
            "the cost of a bcrypt hash is 4 to 12, because a node computes a higher one for \
             seconds: replace the secret there, or make one with `jeton client add-secret`",
        ));
    }
    Ok(Scheme::Bcrypt)
}

fn read_pbkdf2(rest: &str) -> Result<Scheme, Malformed> {
    const SHAPE: Malformed = Malformed(
        "the pbkdf2 hash is malformed: it is $pbkdf2-sha256$i=25000,l=32$salt$key, with unpadded \
         base64",
    );
    let parts: Vec<_> = rest.split('$').collect();
    let &[name, cost, salt, key] = &parts[..] else { return Err(SHAPE) };
    let digest = match name {
        "sha1" => Digest::Sha1,
        "sha256" => Digest::Sha256,
        "sha512" => Digest::Sha512,
        "sha224" | "sha384" => {
            return Err(Malformed(
                "pbkdf2-sha224 and pbkdf2-sha384 of Ory are computed with SHA3 and not with what \
                 they name: replace the secret there, or make one with `jeton client add-secret`",
            ));
        }
        _ => return Err(Malformed("the digest of a pbkdf2 hash is sha1, sha256 or sha512")),
    };
    let (iterations, length) = cost
        .strip_prefix("i=")
        .and_then(|cost| cost.split_once(",l="))
        .and_then(|(i, l)| Some((i.parse::<u64>().ok()?, l.parse::<usize>().ok()?)))
        .ok_or(SHAPE)?;
    let decoded = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| SHAPE);
    let (salt, key) = (decoded(salt)?, decoded(key)?);
    if salt.is_empty() || key.len() != length {
        return Err(SHAPE);
    }
    if !(16..=64).contains(&length) {
        return Err(Malformed("the key of a pbkdf2 hash has 16 to 64 bytes"));
    }
    let iterations = u32::try_from(iterations).unwrap_or(u32::MAX);
    let blocks = u32::try_from(length.div_ceil(digest.block())).unwrap_or(u32::MAX);
    if !(1..=MAX_ITERATIONS).contains(&iterations.saturating_mul(blocks)) {
        return Err(Malformed(
            "a pbkdf2 hash has 1 to 2000000 iterations, counted for each block of its key: a node \
             would compute more for seconds; replace the secret there, or make one with \
             `jeton client add-secret`",
        ));
    }
    Ok(Scheme::Pbkdf2 { digest, iterations, salt, key })
}

impl Digest {
    /// Bytes of the key that are computed at a time.
    const fn block(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn derive(self, text: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(text, salt, iterations, key),
            Self::Sha256 => pbkdf2_hmac::<Sha256>(text, salt, iterations, key),
            Self::Sha512 => pbkdf2_hmac::<Sha512>(text, salt, iterations, key),
        }
    }
}

#[cfg(test)]
mod tests;
