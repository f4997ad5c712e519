//! Whether what callers were told can have been the truth.

use std::{collections::HashMap, time::Instant};

use tonic::Code;

use super::history::{Asked, Call, Change, Claims, Past, Registration, Thing, Told, Who};
use jeton::domain::TokenText;

/// What a history shows. All but the first four must be 0.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) issued: usize,
    pub(super) revoked: usize,
    /// Changes by operators that were acknowledged.
    pub(super) changed: usize,
    pub(super) failed: usize,
    /// Told wrongly when every token was asked for once more at the end (I1, I2, I3).
    pub(super) lost_or_revived: usize,
    /// Said to be active by a call that began after its end was acknowledged: its revocation (I2),
    /// or that of its client or secret (I3).
    pub(super) dead_and_active: usize,
    /// Anything but a refusal for a call that began after the end of the caller's client or secret
    /// was acknowledged (I3).
    pub(super) stopped_and_served: usize,
    /// Said to be inactive by a call that ended before anything could end it (I1, I5).
    pub(super) false_inactive: usize,
    /// Told of a token that nobody issued, that this caller may not see, or something else than
    /// was asked for (I4, I6).
    pub(super) mixed_up: usize,
    /// Failed with a code that does not tell what is the case: a false refusal, a fault of the
    /// node's own, or one that does not say to come back (I5).
    pub(super) dishonest: usize,
}

impl Verdict {
    pub(super) fn is_clean(self) -> bool {
        let Self { issued, revoked, changed, failed, .. } = self;
        self == Self { issued, revoked, changed, failed, ..Self::default() }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.issued += other.issued;
        self.revoked += other.revoked;
        self.changed += other.changed;
        self.failed += other.failed;
        self.lost_or_revived += other.lost_or_revived;
        self.dead_and_active += other.dead_and_active;
        self.stopped_and_served += other.stopped_and_served;
        self.false_inactive += other.false_inactive;
        self.mixed_up += other.mixed_up;
        self.dishonest += other.dishonest;
    }
}

/// Something that is on at first, and the changes of it in their order.
#[derive(Default)]
struct Switch(Vec<(Instant, Option<Instant>, bool)>);

impl Switch {
    /// Whether it may have been so at some time between these. A change that is under way may have
    /// happened or not; one that failed, at any time after it began.
    fn may_be(&self, on: bool, from: Instant, to: Instant) -> bool {
        let mut possible = vec![true];
        for (began, acknowledged, to_on) in &self.0 {
            if acknowledged.is_some_and(|at| at < from) {
                possible.clear();
            }
            if *began <= to {
                possible.push(*to_on);
            }
        }
        possible.contains(&on)
    }
}

struct Token {
    who: Who,
    issued: Instant,
    claims: Claims,
    revocation: Switch,
}

struct Model<'a> {
    registrations: &'a [Registration],
    switches: HashMap<Thing, Switch>,
    tokens: HashMap<&'a str, Token>,
}

/// Judges a history whose last calls, from `settled` on, ask for every token once more.
pub(super) fn judge(past: &Past, settled: Instant) -> Verdict {
    let changed = past.changes.iter().filter(|change| change.acknowledged).count();
    let mut verdict = Verdict { changed, ..Verdict::default() };
    let model = Model::of(past, &mut verdict);
    for call in &past.calls {
        let before = verdict;
        model.judge(call, &mut verdict);
        if call.began >= settled && verdict != before {
            verdict = Verdict { lost_or_revived: before.lost_or_revived + 1, ..before };
        }
    }
    verdict
}

impl<'a> Model<'a> {
    fn of(past: &'a Past, verdict: &mut Verdict) -> Self {
        let registrations = &past.registrations;
        let mut switches = HashMap::<Thing, Switch>::new();
        for Change { thing, to, began, ended, acknowledged } in past.changes.iter().copied() {
            let ended = acknowledged.then_some(ended);
            switches.entry(thing).or_default().0.push((began, ended, to));
        }
        let mut tokens = HashMap::new();
        for call in &past.calls {
            let Told::Issued(text, scopes) = &call.told else { continue };
            let claims = claims(&registrations[call.who.registration], text, scopes);
            let (who, issued) = (call.who, call.ended);
            let token = Token { who, issued, claims, revocation: Switch::default() };
            if tokens.insert(text.as_str(), token).is_some() {
                verdict.mixed_up += 1;
            }
        }
        for Call { asked, told, began, ended, .. } in &past.calls {
            if let Asked::Revoke(text) = asked
                && let Some(token) = tokens.get_mut(text.as_str())
            {
                let ended = matches!(told, Told::Revoked).then_some(*ended);
                token.revocation.0.push((*began, ended, false));
            }
        }
        Self { registrations, switches, tokens }
    }

    fn judge(&self, call: &Call, verdict: &mut Verdict) {
        if !matches!(call.told, Told::Failed(_) | Told::Fault) {
            let served = self.may_act(call.who, true, call);
            verdict.stopped_and_served += usize::from(!served);
        }
        match (&call.asked, &call.told) {
            (_, Told::Failed(code)) => {
                verdict.failed += 1;
                verdict.dishonest += usize::from(!self.is_honest(*code, call));
            }
            (_, Told::Fault) => {
                verdict.failed += 1;
                verdict.dishonest += 1;
            }
            (Asked::Issue(asked), Told::Issued(_, told)) => {
                verdict.issued += 1;
                let is_registered = self.are_registered(call.who, told);
                verdict.mixed_up += usize::from(told != asked || !is_registered);
            }
            (Asked::Introspect(text), Told::Active(claims)) => {
                let token = self.visible(call.who, text);
                let is_it = token.is_some_and(|token| token.claims == *claims);
                verdict.mixed_up += usize::from(!is_it);
                let lives = token.is_none_or(|token| self.may_live(token, true, call));
                verdict.dead_and_active += usize::from(!lives);
            }
            (Asked::Introspect(text), Told::Inactive) => {
                let token = self.visible(call.who, text);
                let is_dead = token.is_none_or(|token| {
                    token.issued >= call.began || self.may_live(token, false, call)
                });
                verdict.false_inactive += usize::from(!is_dead);
            }
            (Asked::Revoke(_), Told::Revoked) => verdict.revoked += 1,
            _ => verdict.mixed_up += 1,
        }
    }

    /// A token that was issued and that this caller may see.
    fn visible(&self, who: Who, text: &str) -> Option<&Token> {
        let token = self.tokens.get(text)?;
        let sees_all = self.registrations[who.registration].sees_all;
        (sees_all || who.registration == token.who.registration).then_some(token)
    }

    fn may(&self, thing: Thing, on: bool, call: &Call) -> bool {
        let switch = self.switches.get(&thing);
        switch.map_or(on, |switch| switch.may_be(on, call.began, call.ended))
    }

    /// On if all of these may be, off if one of them may.
    fn may_all(&self, things: [Thing; 3], on: bool, call: &Call) -> bool {
        let mut may = things.into_iter().map(|thing| self.may(thing, on, call));
        if on { may.all(|may| may) } else { may.any(|may| may) }
    }

    fn may_act(&self, Who { registration, secret }: Who, on: bool, call: &Call) -> bool {
        let client = [Thing::Registered(registration), Thing::Enabled(registration)];
        self.may_all([client[0], client[1], Thing::InUse(secret)], on, call)
    }

    fn may_live(&self, token: &Token, on: bool, call: &Call) -> bool {
        let Who { registration, secret } = token.who;
        let client = [Thing::Registered(registration), Thing::Enabled(registration)];
        let lives = self.may_all([client[0], client[1], Thing::Trusted(secret)], on, call);
        let stands = token.revocation.may_be(on, call.began, call.ended);
        if on { lives && stands } else { lives || stands }
    }

    fn are_registered(&self, who: Who, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.registrations[who.registration].scopes.contains(scope))
    }

    fn is_honest(&self, code: Code, call: &Call) -> bool {
        match code {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::ResourceExhausted
            // A connection that breaks under a call has no code: tonic makes one up.
            | Code::Unknown
            | Code::Internal => true,
            Code::Unauthenticated => self.may_act(call.who, false, call),
            Code::InvalidArgument => {
                matches!(&call.asked, Asked::Issue(scopes) if !self.are_registered(call.who, scopes))
            }
            _ => false,
        }
    }
}

fn claims(registration: &Registration, token: &str, scopes: &[String]) -> Claims {
    Claims {
        token_id: TokenText::parse(token).unwrap().id().0.to_string(),
        client_id: registration.client_id.clone(),
        subject: registration.client_id.clone(),
        audiences: vec![registration.audience.clone()],
        scopes: scopes.to_vec(),
    }
}

#[cfg(test)]
mod tests;
