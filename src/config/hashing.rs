//! Settings of the hashing of client secrets: cost, threads and queue.

use clap::Args;

use super::{Count, Kibibytes, Millis};
use crate::domain::HashCost;

/// Cost of one hash. Used by nodes and by commands that create secrets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hashing of secrets")]
pub struct Argon2 {
    /// Memory of one argon2id hash, in KiB
    #[arg(long, value_name = "KIB", env = "JETON_ARGON2_MEMORY_KIB", default_value = "19456")]
    pub argon2_memory_kib: Kibibytes<7_168, 65_536>,

    /// Passes (iterations) of one argon2id hash
    #[arg(long, value_name = "N", env = "JETON_ARGON2_PASSES", default_value = "2")]
    pub argon2_passes: Count<1, 10>,
}

impl Argon2 {
    /// Cost of the hashes created with these settings, with one lane of argon2 each.
    #[must_use]
    pub const fn cost(&self) -> HashCost {
        let (memory_kib, passes) = (self.argon2_memory_kib.get(), self.argon2_passes.get());
        HashCost { memory_kib, passes, lanes: 1 }
    }
}

/// Hash pool and the hash queue in front of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hashing of secrets")]
pub struct HashPool {
    /// Threads that hash secrets [default: one less than the number of cores, at least one]
    ///
    /// Each thread keeps the memory of one hash.
    #[arg(long, value_name = "N", env = "JETON_HASH_THREADS")]
    pub hash_threads: Option<Count<1, 256>>,

    /// Maximum hashes in the hash queue of each lane: one lane issues tokens, the other introspects
    /// and revokes; equal requests share one hash; further requests are refused immediately and
    /// told to retry
    #[arg(long, value_name = "N", env = "JETON_HASH_QUEUE", default_value = "64")]
    pub hash_queue: Count<1, 10_000>,

    /// Maximum hashes of one client secret in a hash queue; one source address may use half of
    /// the queue
    #[arg(long, value_name = "N", env = "JETON_HASH_QUEUE_SHARE", default_value = "16")]
    pub hash_queue_share: Count<1, 10_000>,

    /// Timeout in the hash queue, in milliseconds, after which the request is refused and told to
    /// retry
    #[arg(long, value_name = "MS", env = "JETON_HASH_WAIT_MS", default_value = "2000")]
    pub hash_wait_ms: Millis<1, 600_000>,
}
