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

/// Minimum memory in KiB for a number of passes: the pairs that OWASP recommends for argon2id with
/// one lane, all of which take an attacker about the same time.
const MINIMA: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

impl Argon2 {
    /// Cost of the hashes created with these settings, with one lane of argon2 each.
    ///
    /// # Errors
    /// If a hash would be easier to attack than with any pair that OWASP recommends.
    pub fn cost(&self) -> anyhow::Result<HashCost> {
        let (memory_kib, passes) = (self.argon2_memory_kib.get(), self.argon2_passes.get());
        let is_enough = |(memory, least): &(u32, u32)| memory_kib >= *memory && passes >= *least;
        if MINIMA.iter().any(is_enough) {
            return Ok(HashCost { memory_kib, passes, lanes: 1 });
        }
        // Both exist: the smallest memory is the minimum of the setting, and so is one pass.
        let memory = MINIMA.iter().rfind(|(_, least)| passes >= *least).map_or(0, |pair| pair.0);
        let more = MINIMA.iter().find(|(memory, _)| memory_kib >= *memory).map_or(0, |pair| pair.1);
        anyhow::bail!(
            "--argon2-memory-kib {memory_kib} with --argon2-passes {passes} is below what OWASP \
             recommends for argon2id: use --argon2-memory-kib {memory} or --argon2-passes {more}"
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_below_every_pair_of_owasp_is_refused_with_the_nearest_ones() {
        let cost = |memory: u32, passes: u32| {
            let argon2 = Argon2 {
                argon2_memory_kib: memory.to_string().parse().unwrap(),
                argon2_passes: passes.to_string().parse().unwrap(),
            };
            argon2.cost().map_err(|refused| refused.to_string())
        };
        for (memory, passes) in MINIMA {
            assert!(cost(memory, passes).is_ok() && cost(memory, passes + 1).is_ok());
            for (memory, passes) in [(memory - 1, passes), (memory, passes - 1)] {
                let is_in_range = memory >= 7_168 && passes >= 1;
                assert!(!is_in_range || cost(memory, passes).is_err(), "{memory}, {passes}");
            }
        }
        for (memory, passes, [more_memory, more_passes]) in [
            (7_168, 1, ["--argon2-memory-kib 47104", "--argon2-passes 5"]),
            (46_000, 1, ["--argon2-memory-kib 47104", "--argon2-passes 2"]),
            (9_216, 2, ["--argon2-memory-kib 19456", "--argon2-passes 4"]),
            (12_287, 3, ["--argon2-memory-kib 12288", "--argon2-passes 4"]),
        ] {
            let refused = cost(memory, passes).unwrap_err();
            assert!(refused.contains(more_memory) && refused.contains(more_passes), "{refused}");
        }
    }
}
