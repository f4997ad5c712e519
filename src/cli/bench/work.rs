//! Load profiles of the benchmark, and the calls that each makes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use clap::ValueEnum;

use super::load::Next;
use crate::pb::v1::ClientAuthentication;

/// Load profile: the kind of calls, and whether the node has cached what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// Issue tokens to clients whose secrets are in the cache.
    Issue,
    /// Introspect the same tokens repeatedly.
    Introspect,
    /// Issue one token for every nine introspections.
    Mixed,
    /// Issue one token to each client, then stop. Every call needs a hash if the node has just
    /// started.
    Cold,
    /// Introspect each token once, then stop. Every call queries the database.
    Misses,
    /// Revoke each token once, then stop. All were issued before the run.
    Revoke,
    /// Present secrets of this installation under the names of other clients.
    BadSecrets,
}

impl Profile {
    /// Name of the profile on the command line and in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Introspect => "introspect",
            Self::Mixed => "mixed",
            Self::Cold => "cold",
            Self::Misses => "misses",
            Self::Revoke => "revoke",
            Self::BadSecrets => "bad-secrets",
        }
    }

    /// Number of tokens to issue before the run; `asked` is the number for [`Self::Misses`] and
    /// [`Self::Revoke`].
    pub(super) const fn tokens(self, asked: usize) -> usize {
        match self {
            Self::Introspect | Self::Mixed => 100,
            Self::Misses | Self::Revoke => asked,
            Self::Issue | Self::Cold | Self::BadSecrets => 0,
        }
    }

    /// Whether a warm-up precedes the measurement. Profiles that measure uncached calls have none,
    /// because it would fill the caches, nor has one that uses its tokens up.
    pub(super) const fn has_warm_up(self) -> bool {
        !matches!(self, Self::Cold | Self::Misses | Self::Revoke)
    }
}

/// One call, with the credentials of the client that makes it.
pub(super) enum Call {
    Issue(ClientAuthentication),
    Introspect(ClientAuthentication, String),
    Revoke(ClientAuthentication, String),
}

/// Returns a function that yields the next call of a profile. A token is introspected or revoked
/// by the client that it was issued to.
pub(super) fn next(
    profile: Profile,
    clients: Vec<ClientAuthentication>,
    tokens: Vec<(ClientAuthentication, String)>,
) -> Arc<Next> {
    let count = AtomicUsize::new(0);
    Arc::new(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let client = || clients[number % clients.len()].clone();
        let introspect = |index: usize| {
            let (client, token) = tokens[index].clone();
            Call::Introspect(client, token)
        };
        Some(match profile {
            Profile::Issue => Call::Issue(client()),
            Profile::Mixed if number.is_multiple_of(10) => Call::Issue(client()),
            Profile::Introspect | Profile::Mixed => introspect(number % tokens.len()),
            Profile::Cold if number < clients.len() => Call::Issue(client()),
            Profile::Misses if number < tokens.len() => introspect(number),
            Profile::Revoke if number < tokens.len() => {
                let (client, token) = tokens[number].clone();
                Call::Revoke(client, token)
            }
            Profile::Cold | Profile::Misses | Profile::Revoke => return None,
            Profile::BadSecrets => {
                let client_id = format!("bench-guess-{}", number % 1_000_000);
                Call::Issue(ClientAuthentication { client_id, ..client() })
            }
        })
    })
}
