//! Settings of the caches: capacity, lifetime and lease.

use clap::Args;

use super::{Count, Mebibytes, Millis, Seconds};

/// Caches of a node.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cache")]
pub struct Cache {
    /// How long a verified secret stays in the cache and is not hashed again, in seconds; 0 to hash
    /// it for each request
    #[arg(long, value_name = "S", env = "JETON_VERIFIED_SECONDS", default_value = "300")]
    pub verified_seconds: Seconds<0, 3_600>,

    /// Maximum verified secrets in the cache
    #[arg(long, value_name = "N", env = "JETON_VERIFIED_SECRETS", default_value = "10000")]
    pub verified_secrets: Count<1, 10_000_000>,

    /// Maximum clients in the cache, each with one secret; 0 to cache none
    #[arg(
        long,
        alias = "remembered-clients",
        value_name = "N",
        env = "JETON_CACHE_CLIENTS",
        default_value = "10000"
    )]
    pub cache_clients: Count<0, 10_000_000>,

    /// Maximum memory for tokens in the cache, in MiB; 0 to cache none
    #[arg(
        long,
        alias = "remembered-tokens-mib",
        value_name = "MIB",
        env = "JETON_CACHE_TOKENS_MIB",
        default_value = "32"
    )]
    pub cache_tokens_mib: Mebibytes<0, 65_536>,

    /// How long a client or a token stays in the cache after it was read, in seconds
    ///
    /// A node applies every change in the change feed immediately. This setting bounds how long it
    /// misses a change that is not in the feed, for example because the triggers of a table were
    /// disabled.
    #[arg(long, value_name = "S", env = "JETON_CACHE_SECONDS", default_value = "300")]
    pub cache_seconds: Seconds<1, 3_600>,

    /// Lease, in milliseconds: how long a node may answer without hearing from the database, and
    /// how long at most a revocation waits for a node that has died; on Postgres only
    #[arg(long, value_name = "MS", env = "JETON_LEASE_MS", default_value = "2000")]
    pub lease_ms: Millis<500, 4_000>,
}
