//! Settings of the quotas: limits on issuing tokens to one client.

use clap::Args;

use super::Count;

/// Limits on issuing tokens to one client.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Quota")]
pub struct Quota {
    /// What happens when a client exceeds its quota of tokens: nothing is counted (`off`), it is
    /// counted and logged (`monitor`), or the client is refused and told when to retry (`enforce`)
    #[arg(long, value_name = "MODE", env = "JETON_QUOTA", default_value = "monitor")]
    pub quota: QuotaMode,

    /// Tokens per second that this node issues to one client for as long as it likes, unless the
    /// client has a limit of its own
    ///
    /// A client that uses each token until it expires needs far less: at 50 tokens per second and a
    /// lifetime of an hour it has 180,000 of them.
    #[arg(long, value_name = "N", env = "JETON_CLIENT_TOKENS_PER_SECOND", default_value = "50")]
    pub client_tokens_per_second: Count<1, 1_000_000>,

    /// Tokens that this node issues to one client at once after a pause, unless the client has a
    /// limit of its own
    ///
    /// The default lets 500 processes of one client start at the same time.
    #[arg(long, value_name = "N", env = "JETON_CLIENT_TOKEN_BURST", default_value = "500")]
    pub client_token_burst: Count<1, 10_000_000>,

    /// Tokens of one client that may live at the same time, counted on each node, unless the client
    /// has a limit of its own
    #[arg(long, value_name = "N", env = "JETON_CLIENT_LIVE_TOKENS", default_value = "1000000")]
    pub client_live_tokens: Count<1, 30_000_000>,
}

/// What happens when a client exceeds its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QuotaMode {
    /// Nothing is counted
    Off,
    /// It is counted and logged
    Monitor,
    /// The client is refused
    Enforce,
}
