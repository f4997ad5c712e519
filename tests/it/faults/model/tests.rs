use std::time::Duration;

use jeton::domain::{ClientSecret, OsRandom, SystemClock, TagKey};

use super::*;

fn token() -> String {
    use jeton::domain::Clock;
    let key = TagKey::from_bytes([0; 32]);
    TokenText::mint(SystemClock.now(), &OsRandom, &key).unwrap().expose().to_owned()
}

/// A past in which two clients get a token each, and what is told later.
struct Story {
    start: Instant,
    past: Past,
    who: [Who; 2],
    tokens: [String; 2],
}

impl Story {
    fn new() -> Self {
        let registration = |name: &str, sees_all| Registration {
            client_id: name.to_owned(),
            scopes: vec![format!("{name}.a"), format!("{name}.b")],
            audience: format!("https://{name}.test"),
            sees_all,
        };
        let key = TagKey::from_bytes([0; 32]);
        let who = [0, 1].map(|registration| {
            let secret = ClientSecret::generate(&OsRandom, &key).unwrap().id();
            Who { registration, secret }
        });
        let registrations = vec![registration("orders", true), registration("stock", false)];
        let past = Past { registrations, ..Past::default() };
        let mut told = Self { start: Instant::now(), past, who, tokens: [token(), token()] };
        for number in [0, 1] {
            let scopes = vec![told.past.registrations[number].scopes[0].clone()];
            let issued = Told::Issued(told.tokens[number].clone(), scopes.clone());
            told.call(number, Asked::Issue(scopes), issued, 0, 10);
        }
        told
    }

    fn call(&mut self, who: usize, asked: Asked, told: Told, began: u64, ended: u64) {
        let at = |millis| self.start + Duration::from_millis(millis);
        let (began, ended) = (at(began), at(ended));
        self.past.calls.push(Call { who: self.who[who], asked, told, began, ended });
    }

    fn change(&mut self, thing: Thing, to: bool, began: u64, ended: u64, acknowledged: bool) {
        let at = |millis| self.start + Duration::from_millis(millis);
        let (began, ended) = (at(began), at(ended));
        self.past.changes.push(Change { thing, to, began, ended, acknowledged });
    }

    fn claims(&self, number: usize) -> Claims {
        let registration = &self.past.registrations[number];
        claims(registration, &self.tokens[number], &registration.scopes[..1])
    }

    /// Client `who` asks about the token of `number`, which is said to be active or not.
    fn asks(&mut self, who: usize, number: usize, active: bool, began: u64, ended: u64) {
        let told = if active { Told::Active(self.claims(number)) } else { Told::Inactive };
        self.call(who, Asked::Introspect(self.tokens[number].clone()), told, began, ended);
    }

    fn revokes(&mut self, who: usize, told: Told, began: u64, ended: u64) {
        self.call(who, Asked::Revoke(self.tokens[who].clone()), told, began, ended);
    }

    fn verdict(&self) -> Verdict {
        judge(&self.past, self.start + Duration::from_secs(1))
    }
}

/// What is told after a past must be found out as exactly this.
fn assert_found(past: impl FnOnce(&mut Story), lie: impl FnOnce(&mut Story), is: fn(&mut Verdict)) {
    let mut told = Story::new();
    past(&mut told);
    let truth = told.verdict();
    assert!(truth.is_clean(), "{truth:?}");
    lie(&mut told);
    let found = told.verdict();
    let mut expected = Verdict {
        issued: found.issued,
        revoked: found.revoked,
        changed: found.changed,
        failed: found.failed,
        ..Verdict::default()
    };
    is(&mut expected);
    assert_eq!(found, expected);
}

#[test]
fn a_revocation_that_is_forgotten_or_made_up_is_found_out() {
    let past = |told: &mut Story| {
        told.asks(0, 0, true, 11, 12);
        told.revokes(0, Told::Failed(Code::Unavailable), 20, 30);
        told.asks(0, 0, false, 25, 35);
        told.asks(0, 0, true, 36, 39);
        told.revokes(0, Told::Revoked, 40, 50);
        told.asks(0, 0, true, 45, 60);
    };
    assert_found(past, |told| told.asks(0, 0, true, 51, 60), |is| is.dead_and_active = 1);
    assert_found(past, |told| told.asks(0, 0, false, 11, 19), |is| is.false_inactive = 1);
    assert_found(past, |told| told.asks(0, 0, true, 2_000, 2_001), |is| is.lost_or_revived = 1);
    assert_found(past, |told| told.asks(0, 1, false, 2_000, 2_001), |is| is.lost_or_revived = 1);
}

#[test]
fn a_client_that_was_stopped_and_acts_is_found_out() {
    let enabled = Thing::Enabled(1);
    let past = move |told: &mut Story| {
        told.change(enabled, false, 20, 30, true);
        told.asks(0, 1, true, 25, 35);
        told.asks(0, 1, false, 31, 40);
        told.change(enabled, true, 50, 60, false);
        told.asks(0, 1, true, 55, 56);
        told.asks(0, 1, false, 70, 71);
        told.change(enabled, true, 80, 90, true);
        told.asks(1, 1, true, 91, 92);
    };
    assert_found(past, |told| told.asks(0, 1, true, 31, 45), |is| is.dead_and_active = 1);
    assert_found(past, |told| told.asks(0, 1, false, 91, 95), |is| is.false_inactive = 1);
    let served = |told: &mut Story| {
        let scopes = vec!["stock.b".to_owned()];
        let issued = Told::Issued(token(), scopes.clone());
        told.call(1, Asked::Issue(scopes), issued, 31, 45);
    };
    assert_found(past, served, |is| is.stopped_and_served = 1);
    let refused = |told: &mut Story| {
        told.revokes(1, Told::Failed(Code::Unauthenticated), 91, 95);
    };
    assert_found(past, refused, |is| is.dishonest = 1);
    let faulty = |told: &mut Story| told.revokes(1, Told::Fault, 91, 95);
    assert_found(past, faulty, |is| is.dishonest = 1);
}

#[test]
fn a_secret_that_was_retired_ends_its_tokens_only_if_it_leaked() {
    let past = |told: &mut Story| {
        let secret = told.who[1].secret;
        told.change(Thing::InUse(secret), false, 20, 30, true);
        told.asks(0, 1, true, 31, 40);
        told.call(1, Asked::Revoke(token()), Told::Failed(Code::Unauthenticated), 31, 40);
    };
    assert_found(past, |told| told.asks(1, 1, true, 31, 40), |is| is.stopped_and_served = 1);
    assert_found(past, |told| told.asks(0, 1, false, 31, 40), |is| is.false_inactive = 1);
    let leaked = move |told: &mut Story| {
        past(told);
        let secret = told.who[1].secret;
        told.change(Thing::Trusted(secret), false, 50, 60, true);
        told.asks(0, 1, false, 51, 61);
    };
    assert_found(leaked, |told| told.asks(0, 1, true, 61, 62), |is| is.dead_and_active = 1);
}

#[test]
fn an_answer_of_another_is_found_out() {
    let nothing = |_: &mut Story| {};
    let other = |told: &mut Story| {
        let claims = told.claims(1);
        told.call(0, Asked::Introspect(told.tokens[0].clone()), Told::Active(claims), 20, 30);
    };
    assert_found(nothing, other, |is| is.mixed_up = 1);
    assert_found(nothing, |told| told.asks(1, 0, true, 20, 30), |is| is.mixed_up = 1);
    let forged = |told: &mut Story| {
        let claims = told.claims(0);
        told.call(0, Asked::Introspect(token()), Told::Active(claims), 20, 30);
    };
    assert_found(nothing, forged, |is| is.mixed_up = 1);
    let too_much = |told: &mut Story| {
        let scopes = vec!["orders.a".to_owned()];
        told.call(1, Asked::Issue(scopes.clone()), Told::Issued(token(), scopes), 20, 30);
    };
    assert_found(nothing, too_much, |is| is.mixed_up = 1);
    let twice = |told: &mut Story| {
        let scopes = vec!["orders.a".to_owned()];
        let issued = Told::Issued(told.tokens[0].clone(), scopes.clone());
        told.call(0, Asked::Issue(scopes), issued, 20, 30);
    };
    assert_found(nothing, twice, |is| is.mixed_up = 1);
}
