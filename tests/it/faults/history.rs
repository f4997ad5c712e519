//! What callers asked and were told, and whether it can have been the truth.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tonic::Code;

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// A token was issued.
    Issued,
    /// The token is active, or is not.
    Active(bool),
    /// The token is revoked.
    Revoked,
    /// Nothing, with this code. What was done is unknown.
    Failed(Code),
}

/// One call. The token is that which was issued, or asked about.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) token: Option<String>,
    pub(super) is_revocation: bool,
    pub(super) told: Told,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

#[derive(Default)]
pub(super) struct History(Mutex<Vec<Call>>);

/// What is known of one token.
#[derive(Default)]
struct Token {
    issued: Option<Instant>,
    /// From when some revocation may have been under way.
    revocation_began: Option<Instant>,
    /// By when one was acknowledged.
    revoked: Option<Instant>,
}

/// What a history shows. All but the first three must be 0.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) issued: usize,
    pub(super) revoked: usize,
    pub(super) failed: usize,
    /// Said to be active by a call that began after its revocation was acknowledged (I2).
    pub(super) revoked_and_active: usize,
    /// Said to be inactive by a call that began after it was issued and ended before anybody
    /// asked to revoke it (I1, I5).
    pub(super) false_inactive: usize,
    /// Failed with another code than those that tell a caller to come back.
    pub(super) dishonest: usize,
}

impl Verdict {
    pub(super) const fn is_clean(self) -> bool {
        self.revoked_and_active == 0 && self.false_inactive == 0 && self.dishonest == 0
    }
}

impl History {
    pub(super) fn add(&self, call: Call) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Those tokens that were issued and that nobody ever asked to revoke, and those whose
    /// revocation was acknowledged.
    pub(super) fn settled(&self) -> (Vec<String>, Vec<String>) {
        let calls = self.0.lock().unwrap();
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        for (name, token) in tokens(&calls) {
            if token.revoked.is_some() {
                dead.push(name.to_owned());
            } else if token.revocation_began.is_none() && token.issued.is_some() {
                living.push(name.to_owned());
            }
        }
        (living, dead)
    }

    pub(super) fn judge(&self) -> Verdict {
        let calls = self.0.lock().unwrap();
        let tokens = tokens(&calls);
        let mut verdict = Verdict::default();
        for call in calls.iter() {
            let token = call.token.as_deref().and_then(|name| tokens.get(name));
            match (&call.told, token) {
                (Told::Issued, _) => verdict.issued += 1,
                (Told::Revoked, _) => verdict.revoked += 1,
                (Told::Failed(code), _) => {
                    verdict.failed += 1;
                    let honest = [
                        Code::Unavailable,
                        Code::DeadlineExceeded,
                        Code::Cancelled,
                        Code::ResourceExhausted,
                    ];
                    // A connection that breaks under a call has no code: tonic makes one up.
                    let broken = [Code::Unknown, Code::Internal];
                    verdict.dishonest +=
                        usize::from(!honest.contains(code) && !broken.contains(code));
                }
                (Told::Active(true), Some(token)) => {
                    let after = token.revoked.is_some_and(|revoked| revoked < call.began);
                    verdict.revoked_and_active += usize::from(after);
                }
                (Told::Active(false), Some(token)) => {
                    let known = token.issued.is_some_and(|issued| issued < call.began);
                    let spared = token.revocation_began.is_none_or(|began| call.ended < began);
                    verdict.false_inactive += usize::from(known && spared);
                }
                (Told::Active(_), None) => {}
            }
        }
        verdict
    }

    /// How long the slowest hundredth of the calls took that ended in this time.
    pub(super) fn p99(&self, from: Instant, to: Instant) -> Duration {
        let calls = self.0.lock().unwrap();
        let during = calls.iter().filter(|call| from <= call.ended && call.began <= to);
        let mut took: Vec<_> = during.map(|call| call.ended - call.began).collect();
        took.sort();
        took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }

    /// When, after this moment, a call of each kind had succeeded again.
    pub(super) fn recovered(&self, from: Instant) -> Option<Duration> {
        let calls = self.0.lock().unwrap();
        let first = |kind: fn(&Told) -> bool| {
            let good = calls.iter().filter(|call| call.began >= from && kind(&call.told));
            good.map(|call| call.ended - from).min()
        };
        let issued = first(|told| *told == Told::Issued)?;
        let introspected = first(|told| matches!(told, Told::Active(_)))?;
        let revoked = first(|told| *told == Told::Revoked)?;
        Some(issued.max(introspected).max(revoked))
    }
}

fn tokens(calls: &[Call]) -> HashMap<&str, Token> {
    let mut tokens = HashMap::<&str, Token>::new();
    for call in calls {
        let Some(name) = &call.token else { continue };
        let token = tokens.entry(name).or_default();
        match call.told {
            Told::Issued => token.issued = Some(call.ended),
            Told::Revoked => {
                token.revoked = Some(token.revoked.map_or(call.ended, |at| at.min(call.ended)));
            }
            _ => {}
        }
        if call.is_revocation {
            let began = token.revocation_began.map_or(call.began, |at| at.min(call.began));
            token.revocation_began = Some(began);
        }
    }
    tokens
}

#[test]
fn a_history_that_lies_is_found_out() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let history = History::default();
    let call = |name: &str, is_revocation, told, began, ended| {
        let token = Some(name.to_owned());
        history.add(Call { token, is_revocation, told, began: at(began), ended: at(ended) });
    };
    call("a", false, Told::Issued, 0, 10);
    call("a", false, Told::Active(true), 11, 12);
    call("a", true, Told::Failed(Code::Unavailable), 20, 30);
    call("a", false, Told::Active(false), 25, 35);
    call("a", true, Told::Revoked, 40, 50);
    call("a", false, Told::Active(true), 45, 60);
    assert!(history.judge().is_clean(), "{:?}", history.judge());
    call("a", false, Told::Active(true), 51, 60);
    call("a", false, Told::Active(false), 11, 19);
    call("a", false, Told::Failed(Code::Unauthenticated), 70, 80);
    let verdict = history.judge();
    assert_eq!((verdict.revoked_and_active, verdict.false_inactive, verdict.dishonest), (1, 1, 1));
}
