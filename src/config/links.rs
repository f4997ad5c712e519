//! Setting of the connections that lead to other machines.

use clap::{ArgAction, Args};

/// What protects connections to other machines.
#[derive(Debug, Clone, Copy, Args)]
pub struct Links {
    /// Connect to other machines without verified TLS, because the network itself protects the
    /// connections
    ///
    /// Without this, the URL of a node must be https, a database on another machine must be
    /// verified (sslmode=verify-full), spans go to a collector on this machine, and the issuer is
    /// https. Connections within this machine need no TLS.
    #[arg(long, value_name = "BOOL", env = "JETON_TRUSTED_NETWORK", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set,
          help_heading = "TLS")]
    pub trusted_network: bool,
}
