//! What is asked: the profiles.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use clap::ValueEnum;

use super::load::Next;
use crate::pb::v1::ClientAuthentication;

/// What a node is asked, and how much of it it has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// Tokens for clients whose secrets were verified lately.
    Issue,
    /// The same tokens again and again.
    Introspect,
    /// One token issued for nine introspections.
    Mixed,
    /// Each client once: every call needs a hash, if the node has just started. Ends with the
    /// clients.
    Cold,
    /// Each token once: every call asks the database. Ends with the tokens.
    Misses,
    /// Secrets that this installation made, under the names of others.
    BadSecrets,
}

impl Profile {
    /// How many tokens are issued before, to be asked about.
    pub(super) const fn tokens(self, asked: usize) -> usize {
        match self {
            Self::Introspect | Self::Mixed => 100,
            Self::Misses => asked,
            Self::Issue | Self::Cold | Self::BadSecrets => 0,
        }
    }

    /// Whether calls of it are made before it counts: what is to be new must not be worn off.
    pub(super) const fn has_warm_up(self) -> bool {
        !matches!(self, Self::Cold | Self::Misses)
    }
}

/// One call.
pub(super) enum Call {
    Issue(ClientAuthentication),
    Introspect(ClientAuthentication, String),
}

/// What each caller asks next. A token is asked about by the client that it was issued to.
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
            Profile::Cold | Profile::Misses => return None,
            Profile::BadSecrets => {
                let client_id = format!("bench-guess-{}", number % 1_000_000);
                Call::Issue(ClientAuthentication { client_id, ..client() })
            }
        })
    })
}
