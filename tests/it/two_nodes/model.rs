//! What can have been the case, and when, by what was asked of the nodes and the registry.
//!
//! A change whose acknowledgement nobody got may have taken effect at any time since it was asked
//! for, also much later, or never.

use super::history::{Asked, Call, Moment, Told};

/// Between the clock of the nodes, by which tokens expire, and that of the history.
const CLOCKS_DIFFER: Moment = 100_000_000;

const SECOND: Moment = 1_000_000_000;

/// A change for good.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// From when it may have taken effect.
    may: Moment,
    /// From when it must have.
    must: Moment,
}

impl End {
    const NEVER: Self = Self { may: Moment::MAX, must: Moment::MAX };

    /// Takes note of a call that asks for it.
    fn asked(&mut self, call: &Call) {
        if call.told == Told::Refused {
            return;
        }
        self.may = self.may.min(call.began);
        if call.told == Told::Done {
            self.must = self.must.min(call.ended);
        }
    }

    /// Whether it was acknowledged before this call began.
    const fn precedes(self, call: &Call) -> bool {
        self.must < call.began
    }

    /// Whether it can have taken effect before this call ended.
    const fn may_concern(self, call: &Call) -> bool {
        self.may <= call.ended
    }
}

#[derive(Debug, Clone, Copy)]
struct Token {
    secret: u32,
    /// When its issue was acknowledged.
    issued: Moment,
    revoked: End,
    expired: End,
}

#[derive(Debug, Clone, Copy)]
struct Secret {
    client: u32,
    added: Moment,
    /// Retired or burnt.
    ended: End,
    burnt: End,
}

/// A change of a client's state.
#[derive(Debug, Clone, Copy)]
struct Switch {
    to_active: bool,
    is_acknowledged: bool,
    began: Moment,
    ended: Moment,
}

#[derive(Debug)]
struct Client {
    created: Moment,
    lifetime: Moment,
    deleted: End,
    switches: Vec<Switch>,
    /// When it surely was active, and when disabled.
    active: Vec<(Moment, Moment)>,
    disabled: Vec<(Moment, Moment)>,
}

/// Everything that was made, by its number.
#[derive(Default)]
pub(super) struct Model {
    tokens: Vec<Option<Token>>,
    secrets: Vec<Option<Secret>>,
    clients: Vec<Option<Client>>,
}

impl Model {
    /// Takes calls in the order in which they began. What is changed was made by a call that ended
    /// before, so one pass suffices.
    pub(super) fn of(calls: &[Call]) -> Self {
        let mut model = Self::default();
        for call in calls {
            model.learn(call);
        }
        for client in model.clients.iter_mut().flatten() {
            client.active = surely(&client.switches, true);
            client.disabled = surely(&client.switches, false);
        }
        model
    }

    fn learn(&mut self, call: &Call) {
        match (call.asked, call.told) {
            (Asked::Create { client, secret, lifetime }, Told::Done) => {
                let made = Client {
                    created: call.ended,
                    lifetime: Moment::from(lifetime) * SECOND,
                    deleted: End::NEVER,
                    switches: vec![Switch::of(call, true)],
                    active: Vec::new(),
                    disabled: Vec::new(),
                };
                put(&mut self.clients, client, made);
                put(&mut self.secrets, secret, Secret::new(client, call.ended));
            }
            (Asked::AddSecret { client, secret }, Told::Done) => {
                put(&mut self.secrets, secret, Secret::new(client, call.ended));
            }
            (Asked::Issue, Told::Issued { token }) => {
                let secret = call.caller.unwrap();
                let lifetime = self.client_of(secret).lifetime;
                let expired = End {
                    may: (call.began + lifetime).saturating_sub(CLOCKS_DIFFER),
                    must: call.ended + lifetime + CLOCKS_DIFFER,
                };
                let made = Token { secret, issued: call.ended, revoked: End::NEVER, expired };
                put(&mut self.tokens, token, made);
            }
            (Asked::Revoke { token }, _) => {
                self.tokens[token as usize].as_mut().unwrap().revoked.asked(call);
            }
            (Asked::Disable { client }, _) => {
                self.client_mut(client).switches.push(Switch::of(call, false));
            }
            (Asked::Enable { client }, _) => {
                self.client_mut(client).switches.push(Switch::of(call, true));
            }
            (Asked::Delete { client }, _) => self.client_mut(client).deleted.asked(call),
            (Asked::Retire { secret }, _) => self.secret_mut(secret).ended.asked(call),
            (Asked::Burn { secret }, _) => {
                let secret = self.secret_mut(secret);
                secret.ended.asked(call);
                secret.burnt.asked(call);
            }
            _ => {}
        }
    }

    /// Whether a token must have been dead all through this call.
    pub(super) fn must_be_dead(&self, token: u32, call: &Call) -> bool {
        let (token, secret) = self.token(token);
        let client = self.client(secret.client);
        [token.revoked, token.expired, secret.burnt, client.deleted]
            .into_iter()
            .any(|end| end.precedes(call))
            || holds_all_through(&client.disabled, call)
    }

    /// Whether a token must have lived all through this call.
    pub(super) fn must_live(&self, token: u32, call: &Call) -> bool {
        let (token, secret) = self.token(token);
        let client = self.client(secret.client);
        token.issued < call.began
            && [token.revoked, token.expired, secret.burnt, client.deleted]
                .into_iter()
                .all(|end| !end.may_concern(call))
            && holds_all_through(&client.active, call)
    }

    /// Whether this token expires by itself around this call.
    pub(super) fn may_expire(&self, token: u32, call: &Call) -> bool {
        self.token(token).0.expired.may_concern(call)
    }

    /// Whether a caller with this secret must have been turned away all through this call.
    pub(super) fn must_be_refused(&self, secret: u32, call: &Call) -> bool {
        let client = self.client_of(secret);
        self.secret(secret).ended.precedes(call)
            || client.deleted.precedes(call)
            || holds_all_through(&client.disabled, call)
    }

    /// Whether a caller with this secret must have been let in all through this call.
    pub(super) fn must_be_admitted(&self, secret: u32, call: &Call) -> bool {
        let client = self.client_of(secret);
        self.secret(secret).added < call.began
            && !self.secret(secret).ended.may_concern(call)
            && !client.deleted.may_concern(call)
            && holds_all_through(&client.active, call)
    }

    /// Whether a client must have existed all through this call.
    pub(super) fn must_exist(&self, client: u32, call: &Call) -> bool {
        let client = self.client(client);
        client.created < call.began && !client.deleted.may_concern(call)
    }

    pub(super) fn secret_of(&self, token: u32) -> u32 {
        self.token(token).0.secret
    }

    pub(super) fn client_number(&self, secret: u32) -> u32 {
        self.secret(secret).client
    }

    fn token(&self, token: u32) -> (&Token, &Secret) {
        let token = self.tokens[token as usize].as_ref().unwrap();
        (token, self.secret(token.secret))
    }

    fn secret(&self, secret: u32) -> &Secret {
        self.secrets[secret as usize].as_ref().unwrap()
    }

    fn client(&self, client: u32) -> &Client {
        self.clients[client as usize].as_ref().unwrap()
    }

    fn client_of(&self, secret: u32) -> &Client {
        self.client(self.secret(secret).client)
    }

    fn secret_mut(&mut self, secret: u32) -> &mut Secret {
        self.secrets[secret as usize].as_mut().unwrap()
    }

    fn client_mut(&mut self, client: u32) -> &mut Client {
        self.clients[client as usize].as_mut().unwrap()
    }
}

impl Secret {
    const fn new(client: u32, added: Moment) -> Self {
        Self { client, added, ended: End::NEVER, burnt: End::NEVER }
    }
}

impl Switch {
    fn of(call: &Call, to_active: bool) -> Self {
        let is_acknowledged = call.told == Told::Done;
        Self { to_active, is_acknowledged, began: call.began, ended: call.ended }
    }
}

fn put<T>(table: &mut Vec<Option<T>>, number: u32, made: T) {
    let number = number as usize;
    if table.len() <= number {
        table.resize_with(number + 1, || None);
    }
    assert!(table[number].replace(made).is_none(), "two have the number {number}");
}

/// When a client surely was in this state: from each acknowledged change to it until the next
/// change away from it was asked for. Nothing is sure any more after a change away whose outcome
/// is unknown, since it may take effect late.
fn surely(switches: &[Switch], active: bool) -> Vec<(Moment, Moment)> {
    let one_by_one = switches.windows(2).all(|pair| pair[0].ended <= pair[1].began);
    assert!(one_by_one, "changes of one client's state that overlap have no order");
    let mut spans = Vec::new();
    let mut since = None;
    for switch in switches {
        if switch.to_active == active {
            since = since.or(switch.is_acknowledged.then_some(switch.ended));
            continue;
        }
        spans.extend(since.take().map(|since| (since, switch.began)));
        if !switch.is_acknowledged {
            return spans;
        }
    }
    spans.extend(since.map(|since| (since, Moment::MAX)));
    spans
}

/// Whether one of these spans, which are in order, holds the whole of a call.
fn holds_all_through(spans: &[(Moment, Moment)], call: &Call) -> bool {
    let later = spans.partition_point(|(since, _)| *since < call.began);
    later.checked_sub(1).is_some_and(|last| call.ended < spans[last].1)
}
