//! The registry against a model: random creations, updates with right and stale etags, edits by
//! hand, and deletions, of a few clients on both databases.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jeton::{
    domain::{
        ClientId, ClientRecord, ClientState, Etag, Labels, OsRandom, Scope, SystemClock,
        TokenLifetime,
    },
    registry::{ClientUpdate, NewSecret, Registry, RegistryError},
    store::ClientFilter,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use uuid::Uuid;

use crate::support::{
    Database, Kind,
    node::{CHEAP, new_client, operator},
};

const SCOPES: [&str; 3] = ["read", "write", "admin"];
const LABELS: [&str; 3] = ["team=a", "tier=1", "x="];

/// What is known of a client. Sets are bits.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    key: Uuid,
    active: bool,
    scopes: u8,
    defaults: u8,
    labels: u8,
    owner: u8,
    lifetime: u32,
}

#[derive(Debug, Clone)]
struct Edit {
    scopes: Option<u8>,
    defaults: Option<u8>,
    labels: Option<u8>,
    owner: Option<u8>,
    lifetime: Option<u32>,
}

/// Which etag an update names.
#[derive(Debug, Clone)]
enum Stamp {
    Nothing,
    Fresh,
    Earlier(prop::sample::Index),
}

#[derive(Debug, Clone)]
enum Act {
    Create,
    Update(Edit, Stamp),
    SetState(bool),
    EditByHand(u8),
    Delete,
}

fn bits() -> impl Strategy<Value = Option<u8>> {
    option::of(0..8_u8)
}

fn act() -> impl Strategy<Value = Act> {
    let edit = (bits(), bits(), bits(), option::of(0..3_u8), option::of(1..4_u32)).prop_map(
        |(scopes, defaults, labels, owner, lifetime)| Edit {
            scopes,
            defaults,
            labels,
            owner,
            lifetime,
        },
    );
    let stamp = prop_oneof![
        Just(Stamp::Nothing),
        Just(Stamp::Fresh),
        any::<prop::sample::Index>().prop_map(Stamp::Earlier),
    ];
    prop_oneof![
        2 => Just(Act::Create),
        8 => (edit, stamp).prop_map(|(edit, stamp)| Act::Update(edit, stamp)),
        2 => any::<bool>().prop_map(Act::SetState),
        2 => (0..3_u8).prop_map(Act::EditByHand),
        1 => Just(Act::Delete),
    ]
}

fn members(bits: u8, all: [&str; 3]) -> Vec<String> {
    let is_in = |at: &usize| bits & (1 << at) != 0;
    (0..3).filter(is_in).map(|at| all[at].to_owned()).collect()
}

fn scopes(bits: u8) -> BTreeSet<Scope> {
    Scope::parse_set(members(bits, SCOPES)).unwrap()
}

fn owner(number: u8) -> String {
    if number == 0 { String::new() } else { format!("owner {number}") }
}

fn lifetime(minutes: u32) -> TokenLifetime {
    TokenLifetime::from_seconds(minutes * 60).unwrap()
}

impl Edit {
    fn update(&self) -> ClientUpdate {
        ClientUpdate {
            scopes: self.scopes.map(scopes),
            default_scopes: self.defaults.map(scopes),
            labels: self.labels.map(|bits| Labels::parse(members(bits, LABELS)).unwrap()),
            owner: self.owner.map(owner),
            token_lifetime: self.lifetime.map(lifetime),
            ..ClientUpdate::default()
        }
    }

    fn of(&self, known: &Known) -> Known {
        Known {
            scopes: self.scopes.unwrap_or(known.scopes),
            defaults: self.defaults.unwrap_or(known.defaults),
            labels: self.labels.unwrap_or(known.labels),
            owner: self.owner.unwrap_or(known.owner),
            lifetime: self.lifetime.unwrap_or(known.lifetime),
            ..known.clone()
        }
    }
}

/// Whether the stored client is what is known of it.
fn assert_is(record: &ClientRecord, known: &Known) {
    let ClientRecord { client, about } = record;
    assert_eq!(client.key.0, known.key);
    assert_eq!(client.state == ClientState::Active, known.active);
    assert_eq!(client.scopes, scopes(known.scopes));
    assert_eq!(client.default_scopes, scopes(known.defaults));
    assert_eq!(client.token_lifetime, lifetime(known.lifetime));
    let mut labels = about.labels.texts();
    labels.sort_unstable();
    assert_eq!(labels, members(known.labels, LABELS));
    assert_eq!(about.owner, owner(known.owner));
}

/// The registry, and what ought to be in it.
struct World {
    database: Database,
    registry: Registry,
    clients: BTreeMap<ClientId, Known>,
    /// Etags that were read, each with the content that it was made of.
    etags: Vec<(Etag, Known)>,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let store = database.migrated().await;
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
        Self { database, registry, clients: BTreeMap::new(), etags: Vec::new() }
    }

    async fn act(&mut self, id: &ClientId, act: &Act) {
        match act {
            Act::Create => self.create(id).await,
            Act::Update(edit, stamp) => self.update(id, edit, stamp).await,
            Act::SetState(active) => {
                let state = if *active { ClientState::Active } else { ClientState::Disabled };
                let done = self.registry.set_client_state(id, state).await;
                assert_eq!(done.is_ok(), self.clients.contains_key(id));
                if let Some(known) = self.clients.get_mut(id) {
                    known.active = *active;
                }
            }
            Act::EditByHand(number) => {
                let owner = owner(*number);
                let edit = format!("update client set owner = '{owner}' where client_id = '{id}'");
                self.database.execute_all(&edit).await;
                if let Some(known) = self.clients.get_mut(id) {
                    known.owner = *number;
                }
            }
            Act::Delete => {
                let done = self.registry.delete_client(id).await;
                assert_eq!(done.is_ok(), self.clients.remove(id).is_some());
            }
        }
    }

    async fn create(&mut self, id: &ClientId) {
        let created = self.registry.create_client(new_client(id.as_str()), NewSecret::default());
        match created.await {
            Ok((client, _)) => {
                let known = Known {
                    key: client.key.0,
                    active: true,
                    scopes: 0b011,
                    defaults: 0b011,
                    labels: 0,
                    owner: 0,
                    lifetime: 60,
                };
                assert!(self.clients.insert(id.clone(), known).is_none(), "{id} was there");
            }
            Err(RegistryError::ClientIdTaken(_)) => assert!(self.clients.contains_key(id)),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn update(&mut self, id: &ClientId, edit: &Edit, stamp: &Stamp) {
        let now = self.clients.get(id).cloned();
        let (etag, seen) = match stamp {
            Stamp::Fresh if now.is_some() => {
                (Some(Etag::of(&self.registry.record(id).await.unwrap())), now.clone())
            }
            Stamp::Earlier(index) if !self.etags.is_empty() => {
                let (etag, seen) = index.get(&self.etags);
                (Some(*etag), Some(seen.clone()))
            }
            _ => (None, now.clone()),
        };
        let updated = self.registry.update_client(id, &edit.update(), etag.as_ref()).await;
        let Some(now) = now else {
            assert!(matches!(updated, Err(RegistryError::NoSuchClient(_))), "{updated:?}");
            return;
        };
        if seen.as_ref() != Some(&now) {
            assert!(matches!(updated, Err(RegistryError::EtagMismatch(..))), "{updated:?}");
            return;
        }
        let after = edit.of(&now);
        if after.defaults & !after.scopes != 0 {
            assert!(matches!(updated, Err(RegistryError::Malformed(_))), "{updated:?}");
            return;
        }
        let updated = updated.unwrap();
        assert_is(&updated.before, &now);
        assert_is(&updated.after, &after);
        assert_eq!(updated.changes().is_empty(), after == now);
        self.clients.insert(id.clone(), after);
    }

    /// Every client is there as it is known, and no other one.
    async fn check(&mut self) {
        let listed = self.registry.list_clients(&ClientFilter::default()).await.unwrap();
        assert_eq!(listed.len(), self.clients.len());
        for record in listed {
            let record = record.unwrap();
            let known = &self.clients[&record.client.client_id];
            assert_is(&record, known);
            self.etags.push((Etag::of(&record), known.clone()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_does_what_a_model_says() {
    let acts = vec((0..3_usize, act()), 30);
    let names = ["orders", "stock", "billing"].map(|name| ClientId::parse(name).unwrap());
    for kind in Kind::BOTH {
        let mut runner = TestRunner::deterministic();
        let mut world = World::new(kind).await;
        let mut made = 0;
        for _ in 0..8 {
            let acts = acts.new_tree(&mut runner).unwrap().current();
            for (number, act) in &acts {
                world.act(&names[*number], act).await;
                world.check().await;
                made += 1;
            }
        }
        assert_eq!(made, 240);
    }
}
