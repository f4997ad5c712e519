//! One who looks after a client: disables and enables it, changes its secrets, deletes it and
//! makes another, and looks each time at once whether the nodes know.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jeton::{
    domain::{Client, ClientId, ClientSecret, ClientState, Error, TokenLifetime},
    registry::{NewClient, NewSecret, Registry, RegistryError},
    store::Retirement,
};
use tonic::Code;

use super::{
    actor::{Actor, Dice, Secret, Shared},
    history::{Asked, Call, History, Told},
};
use crate::support::node::{audiences, new_client};

/// Numbers clients and secrets, and gives clients names that nobody had.
#[derive(Default)]
pub(super) struct Numbers {
    clients: AtomicU32,
    secrets: AtomicU32,
}

/// The registry, with everything written down that is asked of it.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) registry: Arc<Registry>,
    pub(super) numbers: Arc<Numbers>,
}

impl Recorded {
    async fn change<T>(
        &self,
        history: &History,
        asked: Asked,
        change: impl Future<Output = Result<T, RegistryError>>,
    ) -> (Told, Option<T>) {
        let began = history.now();
        let outcome = change.await;
        let ended = history.now();
        let told = match &outcome {
            Ok(_) => Told::Done,
            Err(RegistryError::NoSuchClient(_) | RegistryError::NoSuchSecret(..)) => Told::Missing,
            Err(RegistryError::Store(Error::Unavailable { .. })) => Told::Failed(Code::Unavailable),
            Err(RegistryError::ClientIdTaken(_)) => Told::Fault(Code::AlreadyExists),
            Err(_) => Told::Fault(Code::Internal),
        };
        history.add(Call { node: None, caller: None, asked, told, began, ended });
        (told, outcome.ok())
    }

    /// Makes a change of a secret or of its client.
    async fn carry_out(&self, asked: Asked, secret: &Secret) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let client_id = &secret.client_id;
        let end = |retirement| registry.retire_secret(client_id, secret.id, retirement);
        match asked {
            Asked::Disable { .. } => {
                registry.set_client_state(client_id, ClientState::Disabled).await
            }
            Asked::Enable { .. } => registry.set_client_state(client_id, ClientState::Active).await,
            Asked::Delete { .. } => registry.delete_client(client_id).await,
            Asked::Retire { .. } => end(Retirement::Retired).await,
            Asked::Burn { .. } => end(Retirement::Leaked).await,
            _ => unreachable!("{asked:?} has a function of its own"),
        }
    }

    /// Makes a client, by this name or a new one. None if it is unknown whether it was made.
    pub(super) async fn create(
        &self,
        history: &History,
        name: Option<ClientId>,
        new: NewClient,
    ) -> Option<(u32, Arc<Secret>)> {
        let client = self.numbers.clients.fetch_add(1, Ordering::Relaxed);
        let number = self.numbers.secrets.fetch_add(1, Ordering::Relaxed);
        let name = name.unwrap_or_else(|| ClientId::parse(&format!("client{client}")).unwrap());
        let lifetime = u32::try_from(new.token_lifetime.duration().as_secs()).unwrap();
        let asked = Asked::Create { client, secret: number, lifetime };
        let new = NewClient { client_id: Some(name), ..new };
        let created = self.registry.create_client(new, NewSecret::default());
        let (_, created) = self.change(history, asked, created).await;
        created.map(|(made, secret)| (client, known(number, &made, &secret)))
    }
}

fn known(number: u32, client: &Client, secret: &ClientSecret) -> Arc<Secret> {
    let client_id = client.client_id.clone();
    Arc::new(Secret { number, id: secret.id(), client_id, text: secret.expose().to_owned() })
}

pub(super) struct Steward {
    actor: Arc<Actor>,
    recorded: Recorded,
    /// Which of the clients is its own.
    slot: usize,
    lifetime: TokenLifetime,
    dice: Dice,
}

/// The client of a steward, as it is now.
struct Kept {
    number: u32,
    client_id: ClientId,
    /// A change of unknown outcome may still come, so that this one and its name are given up.
    is_unsure: bool,
}

impl Steward {
    pub(super) fn new(shared: &Arc<Shared>, recorded: Recorded, seed: u64, slot: usize) -> Self {
        // The first has tokens that expire while the others are asked about.
        let lifetime = TokenLifetime::from_seconds(if slot == 0 { 2 } else { 3_600 }).unwrap();
        let actor = Actor::new(Arc::clone(shared), Duration::from_secs(20));
        Self { actor, recorded, slot, lifetime, dice: Dice::of(seed, 1_000 + slot) }
    }

    pub(super) async fn run(mut self) {
        let mut name = None;
        while !self.actor.shared.is_over() {
            let new = NewClient { token_lifetime: self.lifetime, ..new_client("named-later") };
            let Some((number, secret)) =
                self.recorded.create(self.history(), name.take(), new).await
            else {
                self.pause(50).await;
                continue;
            };
            let client_id = secret.client_id.clone();
            let mut kept = Kept { number, client_id, is_unsure: false };
            self.probe_issue(&secret).await;
            *self.live() = vec![secret];
            let actions = 3 + self.dice.below(12);
            for _ in 0..actions {
                if self.actor.shared.is_over() {
                    return;
                }
                self.pause(60).await;
                if kept.is_unsure {
                    break;
                }
                match self.dice.below(5) {
                    0..3 => self.switch(&mut kept).await,
                    3 => self.rotate(&mut kept, Retirement::Retired).await,
                    _ => self.rotate(&mut kept, Retirement::Leaked).await,
                }
            }
            self.delete(&mut kept).await;
            if !kept.is_unsure && self.dice.below(2) == 0 {
                name = Some(kept.client_id);
            }
        }
    }

    /// Disables the client, looks, and enables it again.
    async fn switch(&mut self, kept: &mut Kept) {
        let client = kept.number;
        self.make(kept, Asked::Disable { client }).await;
        self.pause(20).await;
        self.make(kept, Asked::Enable { client }).await;
    }

    /// Adds a secret and takes the oldest out of use.
    async fn rotate(&mut self, kept: &mut Kept, retirement: Retirement) {
        let client = kept.number;
        let number = self.recorded.numbers.secrets.fetch_add(1, Ordering::Relaxed);
        let asked = Asked::AddSecret { client, secret: number };
        let registry = Arc::clone(&self.recorded.registry);
        let added = registry.add_secret(&kept.client_id, NewSecret::default());
        let (_, added) = self.recorded.change(self.history(), asked, added).await;
        // One of which nobody knows is of no use to anybody.
        let Some((stored, secret)) = added else { return };
        let secret = Secret {
            number,
            id: stored.id,
            client_id: kept.client_id.clone(),
            text: secret.expose().to_owned(),
        };
        let secret = Arc::new(secret);
        self.probe_issue(&secret).await;
        // The oldest remains in use while it is taken out.
        let oldest = {
            let mut live = self.live();
            live.push(secret);
            live[0].number
        };
        let asked = match retirement {
            Retirement::Retired | Retirement::At(_) => Asked::Retire { secret: oldest },
            Retirement::Leaked => Asked::Burn { secret: oldest },
        };
        self.make(kept, asked).await;
        self.live().retain(|secret| secret.number != oldest);
    }

    async fn delete(&mut self, kept: &mut Kept) {
        self.make(kept, Asked::Delete { client: kept.number }).await;
        self.live().clear();
    }

    /// Makes a change while the nodes are asked about a token of the oldest secret, again until it
    /// is acknowledged, and looks at once whether they know.
    async fn make(&mut self, kept: &mut Kept, asked: Asked) {
        let oldest = self.live()[0].clone();
        let token = self.actor.issue(self.dice.below(2), &oldest).await;
        loop {
            let change = self.recorded.carry_out(asked, &oldest);
            let changed = async { self.recorded.change(self.history(), asked, change).await.0 };
            let told = match &token {
                Some(token) => self.actor.amid_questions(token, changed).await,
                None => changed.await,
            };
            let first = self.dice.below(2);
            for node in [first, 1 - first] {
                if let Some(token) = &token {
                    self.actor.introspect(node, token).await;
                }
                self.actor.issue(node, &oldest).await;
            }
            if !matches!(told, Told::Failed(_)) {
                return;
            }
            kept.is_unsure = true;
            if self.actor.shared.is_over() {
                return;
            }
            self.pause(50).await;
        }
    }

    async fn probe_issue(&mut self, secret: &Arc<Secret>) {
        let first = self.dice.below(2);
        for node in [first, 1 - first] {
            self.actor.issue(node, secret).await;
        }
    }

    async fn pause(&mut self, below: usize) {
        let millis = self.dice.below(below) as u64;
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Secret>>> {
        self.actor.shared.live[self.slot].lock().unwrap()
    }

    fn history(&self) -> &History {
        &self.actor.shared.history
    }
}

/// One that may ask about every token and asks for none.
pub(super) fn resource_server() -> NewClient {
    NewClient {
        grants: BTreeSet::new(),
        scopes: BTreeSet::new(),
        audiences: BTreeSet::new(),
        serves: audiences(&["https://api.test"]),
        ..new_client("named-later")
    }
}
