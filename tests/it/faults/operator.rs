//! One that disables, rotates and deletes clients while they call.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::{
    domain::{
        About, ClientId, ClientQuota, ClientSecret, ClientState, GrantType, OsRandom, Scope,
        SystemClock, TokenLifetime,
    },
    pb::v1::ClientAuthentication,
    registry::{NewClient, NewSecret, Registry, RegistryError},
    store::{Retirement, Store},
};

use super::{
    caller::{Credential, Dice, Held},
    history::{Change, History, Registration, Thing, Who},
};
use crate::support::node::{CHEAP, audiences, operator};

/// What becomes of a client. Each has scopes and an audience of its own, so that an answer that is
/// another's shows.
pub(super) const CLIENTS: [&str; 4] = ["orders", "stock", "bills", "mail"];
pub(super) const STEADY: usize = 0;
pub(super) const DISABLED: usize = 1;
const ROTATED: usize = 2;
const REPLACED: usize = 3;

/// Works straight on the database, as `jeton client` does: no fault comes between, so what failed
/// had its effect by then or has none.
pub(super) struct Operator {
    registry: Registry,
    history: Arc<History>,
    /// What the callers of each client hold.
    pub(super) held: Vec<Arc<Mutex<Held>>>,
    dice: Dice,
}

fn audience(name: &str) -> String {
    format!("https://{name}.test")
}

impl Operator {
    /// Registers all clients.
    pub(super) async fn new(store: Arc<dyn Store>, history: Arc<History>, seed: u64) -> Self {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
        let mut new = Self { registry, history, held: Vec::new(), dice: Dice::new(seed << 8) };
        for number in 0..CLIENTS.len() {
            let live = new.register(number).await.unwrap();
            new.held.push(Arc::new(Mutex::new(Held { live, former: Vec::new() })));
        }
        new
    }

    /// The client that nobody touches and that may ask about the tokens of all.
    pub(super) fn steady(&self) -> Credential {
        self.held[STEADY].lock().unwrap().live.clone()
    }

    /// The secret of a client that does not call: its tag is right, so it reaches the hash.
    pub(super) async fn foreign_secret(&self) -> String {
        let new = new_client("other", 0, false);
        let (_, secret) = self.registry.create_client(new, NewSecret::default()).await.unwrap();
        self.history.past().canaries.push(secret.expose().to_owned());
        secret.expose().to_owned()
    }

    pub(super) async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            match self.dice.roll() % 3 {
                0 => self.disable_and_enable().await,
                1 => self.rotate().await,
                _ => self.replace().await,
            }
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(10 + self.dice.roll() % 40)).await;
    }

    /// Notes a change with its beginning and end. Nothing that a caller began in between can be
    /// held against anybody.
    fn note(&self, things: &[Thing], to: bool, began: Instant, acknowledged: bool) {
        let ended = Instant::now();
        let change = |&thing| Change { thing, to, began, ended, acknowledged };
        self.history.past().changes.extend(things.iter().map(change));
    }

    fn live(&self, client: usize) -> Credential {
        self.held[client].lock().unwrap().live.clone()
    }

    /// Gives the callers another credential; they go on trying the last few now and then.
    fn hand_out(&self, client: usize, live: Credential) {
        let mut held = self.held[client].lock().unwrap();
        let former = std::mem::replace(&mut held.live, live);
        held.former.insert(0, former);
        held.former.truncate(3);
    }

    async fn disable_and_enable(&mut self) {
        let enabled = Thing::Enabled(self.live(DISABLED).who.registration);
        let client_id = ClientId::parse(CLIENTS[DISABLED]).unwrap();
        for state in [ClientState::Disabled, ClientState::Active] {
            let began = Instant::now();
            let changed = self.registry.set_client_state(&client_id, state).await;
            self.note(&[enabled], state == ClientState::Active, began, changed.is_ok());
            self.pause().await;
        }
    }

    async fn rotate(&mut self) {
        let client_id = ClientId::parse(CLIENTS[ROTATED]).unwrap();
        let Ok((_, secret)) = self.registry.add_secret(&client_id, NewSecret::default()).await
        else {
            return;
        };
        let old = self.live(ROTATED);
        let new = self.credential(ROTATED, old.who.registration, &secret);
        self.hand_out(ROTATED, new);
        self.pause().await;
        let (retirement, ends) = if self.dice.one_in(2) {
            (Retirement::Leaked, vec![Thing::InUse(old.who.secret), Thing::Trusted(old.who.secret)])
        } else {
            (Retirement::Retired, vec![Thing::InUse(old.who.secret)])
        };
        let began = Instant::now();
        let retired = self.registry.retire_secret(&client_id, old.who.secret, retirement).await;
        self.note(&ends, false, began, retired.is_ok());
    }

    /// Deletes a client and registers another of the same name.
    async fn replace(&mut self) {
        let client_id = ClientId::parse(CLIENTS[REPLACED]).unwrap();
        let registered = Thing::Registered(self.live(REPLACED).who.registration);
        let began = Instant::now();
        let deleted = match self.registry.delete_client(&client_id).await {
            // An attempt before this one, or what came of a registration that failed.
            Ok(()) | Err(RegistryError::NoSuchClient(_)) => true,
            Err(_) => false,
        };
        self.note(&[registered], false, began, deleted);
        self.pause().await;
        if deleted && let Some(live) = self.register(REPLACED).await {
            self.hand_out(REPLACED, live);
        }
    }

    async fn register(&self, client: usize) -> Option<Credential> {
        let registration = self.history.past().registrations.len();
        let (name, sees_all) = (CLIENTS[client], client == STEADY);
        let new = new_client(name, registration, sees_all);
        let scopes: Vec<_> = new.scopes.iter().map(ToString::to_string).collect();
        let (client_id, audience) = (name.to_owned(), audience(name));
        let registration = Registration { client_id, scopes, audience, sees_all };
        let number = {
            let mut past = self.history.past();
            past.registrations.push(registration);
            past.registrations.len() - 1
        };
        let (_, secret) = self.registry.create_client(new, NewSecret::default()).await.ok()?;
        Some(self.credential(client, number, &secret))
    }

    fn credential(&self, client: usize, registration: usize, secret: &ClientSecret) -> Credential {
        let mut past = self.history.past();
        past.canaries.push(secret.expose().to_owned());
        let who = Who { registration, secret: secret.id() };
        let client = ClientAuthentication {
            client_id: CLIENTS[client].to_owned(),
            client_secret: secret.expose().to_owned(),
        };
        Credential { who, client, scopes: past.registrations[registration].scopes.clone() }
    }
}

/// Scopes that no other registration has.
fn new_client(name: &str, number: usize, sees_all: bool) -> NewClient {
    let scopes = ["a", "b", "c"].map(|scope| format!("{name}.{number}.{scope}"));
    let all = CLIENTS.map(audience);
    NewClient {
        client_id: Some(ClientId::parse(name).unwrap()),
        name: String::new(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scope::parse_set(scopes.iter().map(String::as_str)).unwrap(),
        default_scopes: None,
        audiences: audiences(&[&audience(name)]),
        default_audience: None,
        several_audiences: false,
        serves: if sees_all {
            audiences(&all.each_ref().map(String::as_str))
        } else {
            BTreeSet::new()
        },
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::default(),
        about: About::default(),
    }
}
