//! What a node remembers of clients and tokens, and whether that may be relied upon.
//!
//! Nothing here is believed but while a lease runs, and each change that the feed brings is applied
//! before the node says so: whoever made it is not answered earlier. So what is remembered is as
//! true as a look into the database.
//!
//! A change that the feed does not bring, such as an edit while the triggers were disabled, must
//! not be missed for ever: every entry has a lifetime, and is read anew after it.

mod entries;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::{sync::Notify, time::timeout};

pub(super) use self::entries::Epoch;
pub(crate) use self::entries::Watch;
use self::entries::{KnownClient, KnownSecret, KnownToken, Seconds};
use super::CacheOptions;
use crate::{
    domain::{Client, ClientId, ClientKey, Clock, Granted, SecretId, TokenId},
    stats::{CacheStats, Count},
    store::{Change, FoundClient, FoundToken},
};

/// What one remembered token takes, with its part of the table. Measured by `benches/limits`.
pub(super) const TOKEN_BYTES: usize = 160;

/// Sets of scopes and audiences that are shared by the tokens that carry them.
const SHARED_GRANTS: usize = 1_024;

/// The memory of a node.
pub(super) struct LeasedCache {
    clock: Arc<dyn Clock>,
    /// The uptime at which the node started.
    started: Duration,
    /// How long after it was read an entry counts.
    lifetime: Seconds,
    /// By the clock that runs through suspension, in microseconds.
    leased_until: AtomicU64,
    /// Wakes those who wait for trust.
    trusted: Notify,
    /// Held for reading by whoever puts something in, for writing by whoever applies a change.
    epoch: RwLock<u64>,
    clients: Cache<(ClientId, SecretId), KnownSecret>,
    tokens: Cache<TokenId, KnownToken>,
    token_capacity: usize,
    /// Where a change finds the client that it concerns. Swept when it has doubled.
    by_key: Mutex<ByKey>,
    grants: Cache<Arc<Granted>, Arc<Granted>>,
    hits: Count,
    misses: Count,
}

#[derive(Default)]
struct ByKey {
    clients: HashMap<ClientKey, Weak<KnownClient>>,
    swept_at: usize,
}

impl LeasedCache {
    /// A cache of this size, whose entries live for as long as the options say.
    pub(super) fn new(clock: Arc<dyn Clock>, options: CacheOptions) -> Self {
        let CacheOptions { clients, token_bytes, lifetime, .. } = options;
        let token_capacity = token_bytes / TOKEN_BYTES;
        Self {
            started: clock.uptime(),
            lifetime: Seconds::of(lifetime),
            clock,
            leased_until: AtomicU64::new(0),
            trusted: Notify::new(),
            epoch: RwLock::new(0),
            clients: Cache::new(clients),
            tokens: Cache::new(token_capacity),
            token_capacity,
            by_key: Mutex::default(),
            grants: Cache::new(SHARED_GRANTS),
            hits: Count::default(),
            misses: Count::default(),
        }
    }

    /// Whether there is anything that could be remembered.
    pub(super) fn is_off(&self) -> bool {
        self.clients.capacity() == 0 && self.token_capacity == 0
    }

    /// The state of the database that is remembered; none while that may not be relied upon.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        let leased_until = Duration::from_micros(self.leased_until.load(Ordering::Acquire));
        (self.clock.uptime() < leased_until).then(|| self.current())
    }

    /// Whether what is remembered may be relied upon now.
    pub(super) fn is_leased(&self) -> bool {
        self.epoch().is_some()
    }

    /// The state of the database that is remembered, as soon as it may be relied upon; none if that
    /// does not come about in time.
    pub(super) async fn epoch_within(&self, patience: Duration) -> Option<Epoch> {
        let until_trusted = async {
            loop {
                let trusted = self.trusted.notified();
                if let Some(epoch) = self.epoch() {
                    return epoch;
                }
                trusted.await;
            }
        };
        timeout(patience, until_trusted).await.ok()
    }

    /// Whether nothing that was acknowledged until now has changed what was read of this client.
    pub(super) fn is_current(&self, watch: &Watch) -> bool {
        !watch.has_changed() && self.is_leased()
    }

    fn current(&self) -> Epoch {
        let number = *self.epoch.read().unwrap_or_else(PoisonError::into_inner);
        Epoch { number, began: self.seconds() }
    }

    /// How long the node has been running, also while the machine was suspended.
    fn seconds(&self) -> Seconds {
        Seconds::of(self.clock.uptime().saturating_sub(self.started))
    }

    /// Whether what was read then still counts. Entries that were read together, after a start or a
    /// change of everything, are not all to be read again together: by the last byte of its id,
    /// each lives for up to an eighth less.
    fn is_fresh(&self, read_at: Seconds, id: uuid::Uuid) -> bool {
        let spread = u32::from(id.as_bytes()[15]);
        self.seconds().since(read_at) < self.lifetime.less_an_eighth_of(spread)
    }

    /// A client and the secret that was asked for. Only for whoever has an epoch.
    pub(super) fn client(
        &self,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Option<(FoundClient, Watch)> {
        let known = self.clients.get(&(client_id.clone(), secret));
        let known = known
            .filter(|known| self.is_fresh(known.read_at, secret.0) && !known.client.has_changed());
        self.count(known.is_some());
        known.map(KnownSecret::found)
    }

    /// A token. Only for whoever has an epoch.
    pub(super) fn token(&self, id: TokenId) -> Option<FoundToken> {
        let known = self.tokens.get(&id);
        let known =
            known.filter(|known| self.is_fresh(known.read_at, id.0) && !known.client.has_changed());
        self.count(known.is_some());
        known.map(|known| known.found(id))
    }

    fn count(&self, is_hit: bool) {
        if is_hit { self.hits.add_one() } else { self.misses.add_one() }
    }

    /// Remembers a client that was read in this epoch. That it has no such secret is not
    /// remembered, nor that there is no such client. None if the epoch is over.
    pub(super) fn keep_client(&self, epoch: Epoch, found: &FoundClient) -> Option<Watch> {
        let secret = found.secret.as_ref()?;
        self.keep(epoch, || {
            let client = self.known(&found.client);
            let watch = Watch(Arc::clone(&client));
            let known = KnownSecret { client, secret: Arc::clone(secret), read_at: epoch.began };
            self.clients.insert((found.client.client_id.clone(), secret.id), known);
            watch
        })
    }

    /// Remembers a token that was read in this epoch.
    pub(super) fn keep_token(&self, epoch: Epoch, found: &FoundToken) {
        self.keep(epoch, || {
            let token = &found.token;
            let known = KnownToken {
                digest: token.digest,
                secret: token.secret,
                client: self.known(&found.client),
                granted: self.shared(&token.granted),
                issued_at: token.issued_at,
                expires_at: token.expires_at,
                not_before: found.not_before,
                revoked: found.revoked,
                secret_leaked: found.secret_leaked,
                superseded: found.superseded,
                read_at: epoch.began,
            };
            self.tokens.insert(token.id, known);
        });
    }

    /// What was read before a change was applied must not outlive it: the change has swept the
    /// memory already and will not come again.
    fn keep<T>(&self, read_in: Epoch, put: impl FnOnce() -> T) -> Option<T> {
        let epoch = self.epoch.read().unwrap_or_else(PoisonError::into_inner);
        (*epoch == read_in.number).then(put)
    }

    /// The entry that all share who know this client. One that was read otherwise before has
    /// changed, even if nobody said so, and so have the tokens that hang on it.
    fn known(&self, client: &Arc<Client>) -> Arc<KnownClient> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_key.clients.get(&client.key).and_then(Weak::upgrade) {
            if !known.has_changed() && known.client == *client {
                return known;
            }
            known.change();
        }
        let known = Arc::new(KnownClient::new(Arc::clone(client)));
        by_key.clients.insert(known.client.key, Arc::downgrade(&known));
        if by_key.clients.len() > 2 * by_key.swept_at + 16 {
            by_key.clients.retain(|_, known| known.strong_count() > 0);
            by_key.swept_at = by_key.clients.len();
        }
        known
    }

    fn shared(&self, granted: &Arc<Granted>) -> Arc<Granted> {
        if let Some(shared) = self.grants.get(granted) {
            return shared;
        }
        self.grants.insert(Arc::clone(granted), Arc::clone(granted));
        Arc::clone(granted)
    }

    /// Forgets what changes make doubtful.
    pub(super) fn apply(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut epoch = self.epoch.write().unwrap_or_else(PoisonError::into_inner);
        *epoch += 1;
        for change in changes {
            match change {
                Change::Client(key) => self.client_changed(*key),
                Change::Token(id) => drop(self.tokens.remove(id)),
                Change::Everything => self.everything_changed(),
            }
        }
    }

    fn client_changed(&self, key: ClientKey) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        changed(by_key.clients.remove(&key));
    }

    fn everything_changed(&self) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        changed(by_key.clients.drain().map(|(_, known)| known));
        self.clients.clear();
        self.tokens.clear();
    }

    /// From now on everything is read anew, until there is trust again.
    pub(super) fn end_lease(&self) {
        self.leased_until.store(0, Ordering::Release);
    }

    /// What is remembered may be relied upon until then. Every change is applied.
    pub(super) fn lease_until(&self, uptime: Duration) {
        let micros = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        self.leased_until.store(micros, Ordering::Release);
        self.trusted.notify_waiters();
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            clients: self.clients.len(),
            tokens: self.tokens.len(),
            token_bytes: self.tokens.len() * TOKEN_BYTES,
            is_leased: self.is_leased(),
        }
    }
}

/// Ends what hangs on these clients.
fn changed(clients: impl IntoIterator<Item = Weak<KnownClient>>) {
    clients.into_iter().filter_map(|known| known.upgrade()).for_each(|known| known.change());
}

#[cfg(test)]
mod tests;
