//! What callers asked and were told, and what operators changed meanwhile.

use std::{
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jeton::domain::SecretId;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A client as it was registered once. A name that is given again is another registration.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) client_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) audience: String,
    /// It serves the audiences of all others.
    pub(super) sees_all: bool,
}

/// Who called: by which registration, and with which secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) registration: usize,
    pub(super) secret: SecretId,
}

/// What an operator can end, and mostly not begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Thing {
    /// The registration is there.
    Registered(usize),
    /// The client may act.
    Enabled(usize),
    /// The secret authenticates.
    InUse(SecretId),
    /// The tokens that were issued with the secret count.
    Trusted(SecretId),
}

/// One change by an operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) thing: Thing,
    pub(super) to: bool,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// If not, it may have happened or not.
    pub(super) acknowledged: bool,
}

/// What a caller asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// A token of these scopes.
    Issue(Vec<String>),
    /// What this token is worth.
    Introspect(String),
    /// The end of this token.
    Revoke(String),
}

/// What an active token is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) token_id: String,
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) audiences: Vec<String>,
    pub(super) scopes: Vec<String>,
}

/// What a caller was told.
#[derive(Debug)]
pub(super) enum Told {
    /// A token, and its scopes.
    Issued(String, Vec<String>),
    Active(Claims),
    Inactive,
    Revoked,
    /// Nothing, with this code. What was done is unknown.
    Failed(Code),
    /// That the node met a fault, which is no reason to come back.
    Fault,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) who: Who,
    pub(super) asked: Asked,
    pub(super) told: Told,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

#[derive(Default)]
pub(super) struct Past {
    pub(super) registrations: Vec<Registration>,
    pub(super) changes: Vec<Change>,
    pub(super) calls: Vec<Call>,
    /// Every secret and every token that was ever sent, also those of nobody.
    pub(super) canaries: Vec<String>,
    /// What failed calls said, as it is printed.
    pub(super) said: String,
}

#[derive(Default)]
pub(super) struct History(Mutex<Past>);

impl History {
    pub(super) fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one call, and says whether it was refused.
    pub(super) fn note(
        &self,
        who: Who,
        began: Instant,
        asked: Asked,
        told: Result<Told, Status>,
    ) -> bool {
        let ended = Instant::now();
        let mut past = self.past();
        let told = told.unwrap_or_else(|status| {
            writeln!(past.said, "{status:?}").unwrap();
            // A connection that breaks under a call has no code: tonic makes one up, without the
            // reason that a node would give.
            match status.code() {
                Code::Unknown | Code::Internal if status.get_details_error_info().is_some() => {
                    Told::Fault
                }
                code => Told::Failed(code),
            }
        });
        let is_refused = matches!(told, Told::Failed(Code::Unauthenticated));
        past.calls.push(Call { who, asked, told, began, ended });
        is_refused
    }

    /// Every token that was issued.
    pub(super) fn tokens(&self) -> Vec<String> {
        let past = self.past();
        let issued = past.calls.iter().filter_map(|call| match &call.told {
            Told::Issued(token, _) => Some(token.clone()),
            _ => None,
        });
        issued.collect()
    }

    /// How long the slowest hundredth of the calls took that ended in this time.
    pub(super) fn p99(&self, from: Instant, to: Instant) -> Duration {
        let past = self.past();
        let during = past.calls.iter().filter(|call| from <= call.ended && call.began <= to);
        let mut took: Vec<_> = during.map(|call| call.ended - call.began).collect();
        took.sort();
        took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }

    /// Calls that succeeded in this time, per second.
    pub(super) fn goodput(&self, from: Instant, to: Instant) -> f64 {
        let past = self.past();
        let good = past.calls.iter().filter(|call| {
            from <= call.ended
                && call.ended <= to
                && !matches!(call.told, Told::Failed(_) | Told::Fault)
        });
        f64::from(u32::try_from(good.count()).unwrap()) / (to - from).as_secs_f64()
    }

    /// When, after this moment, a call of each kind had succeeded again.
    pub(super) fn recovered(&self, from: Instant) -> Option<Duration> {
        let past = self.past();
        let first = |kind: fn(&Told) -> bool| {
            let good = past.calls.iter().filter(|call| call.began >= from && kind(&call.told));
            good.map(|call| call.ended - from).min()
        };
        let issued = first(|told| matches!(told, Told::Issued(..)))?;
        let introspected = first(|told| matches!(told, Told::Active(_) | Told::Inactive))?;
        let revoked = first(|told| matches!(told, Told::Revoked))?;
        Some(issued.max(introspected).max(revoked))
    }
}
