//! Randomness, the trait through which it is read, and the UUIDs made from it.

use std::sync::Mutex;

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::{Error, Timestamp};

/// The operating system returned no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system returned no randomness")]
pub struct RandomFailed;

impl From<RandomFailed> for Error {
    fn from(failed: RandomFailed) -> Self {
        Self::internal(failed)
    }
}

/// Source of randomness. Its output must be fit for secrets.
pub trait Random: Send + Sync {
    /// Fills `bytes`. A failure is an error and never falls back to a weaker source.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed>;
}

/// Randomness of the operating system, read for each value. A generator within the process would be
/// faster, but a fork or a snapshot of the machine would copy its state.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads system randomness")]
        getrandom::fill(bytes).map_err(|_| RandomFailed)
    }
}

/// A repeatable sequence for test vectors. Never fit for secrets.
#[derive(Debug, Default)]
pub struct SeededRandom(Mutex<u64>);

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        let mut counter = self.0.lock().map_err(|_| RandomFailed)?;
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::digest(counter.to_be_bytes());
            *counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

/// A UUID of version 4, which is random.
pub fn uuid_v4(random: &dyn Random) -> Result<Uuid, RandomFailed> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(Builder::from_random_bytes(bytes).into_uuid())
}

/// A UUID of version 7, which sorts by its time of creation (RFC 9562, section 5.7).
pub fn uuid_v7(now: Timestamp, random: &dyn Random) -> Result<Uuid, RandomFailed> {
    let mut bytes = [0; 10];
    random.fill(&mut bytes)?;
    let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
    Ok(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
}
