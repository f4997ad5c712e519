//! Cache of clients and tokens, valid while the node holds a lease.
//!
//! A writer is not acknowledged until every node with a live lease has applied its change, so a
//! cache hit is as current as a database read.
//!
//! A change that the feed does not carry, such as an edit while the triggers were disabled, must
//! not be missed for ever, so every entry has a lifetime and is read again after it.

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
use self::entries::{CachedClient, CachedCredential, CachedToken, Seconds};
use super::CacheOptions;
use crate::{
    domain::{Client, ClientId, ClientKey, Clock, CredentialId, Granted, TagKeys, TokenId},
    stats::{CacheStats, Count},
    store::{Change, FoundClient, FoundToken},
};

/// Memory of one cached token with its share of the table, in bytes. Measured by `benches/limits`.
pub(super) const TOKEN_BYTES: usize = 160;

/// Maximum shared sets of scopes and audiences. Tokens with equal sets share one.
const SHARED_GRANTS: usize = 1_024;

/// The client and token cache of a node, with the tag keys.
pub(super) struct LeasedCache {
    clock: Arc<dyn Clock>,
    /// The uptime at which the node started.
    started: Duration,
    /// Maximum age of an entry.
    lifetime: Seconds,
    /// End of the lease as an uptime in microseconds, by a clock that runs during suspension.
    leased_until: AtomicU64,
    /// Wakes callers that wait for a lease.
    trusted: Notify,
    /// Number of the epoch. Locked for reading to insert an entry, for writing to apply changes.
    epoch: RwLock<u64>,
    clients: Cache<(ClientId, CredentialId), CachedCredential>,
    tokens: Cache<TokenId, CachedToken>,
    tag_keys: RwLock<Arc<TagKeys>>,
    /// Finds the client that a change concerns. Dead entries are removed when it has doubled.
    by_key: Mutex<ByKey>,
    grants: Cache<Arc<Granted>, Arc<Granted>>,
    hits: Count,
    misses: Count,
}

#[derive(Default)]
struct ByKey {
    clients: HashMap<ClientKey, Weak<CachedClient>>,
    swept_at: usize,
}

impl LeasedCache {
    /// A cache with the sizes and the lifetime from `options`. It holds no lease yet.
    pub(super) fn new(clock: Arc<dyn Clock>, tag_keys: TagKeys, options: CacheOptions) -> Self {
        let CacheOptions { clients, token_bytes, lifetime, .. } = options;
        Self {
            started: clock.uptime(),
            lifetime: Seconds::of(lifetime),
            clock,
            leased_until: AtomicU64::new(0),
            trusted: Notify::new(),
            epoch: RwLock::new(0),
            clients: Cache::new(clients),
            tokens: Cache::new(token_bytes / TOKEN_BYTES),
            tag_keys: RwLock::new(Arc::new(tag_keys)),
            by_key: Mutex::default(),
            grants: Cache::new(SHARED_GRANTS),
            hits: Count::default(),
            misses: Count::default(),
        }
    }

    /// The current epoch; `None` without a lease.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.is_leased().then(|| self.current())
    }

    /// Whether this node holds a lease, so that entries may be used.
    pub(super) fn is_leased(&self) -> bool {
        self.clock.uptime() < Duration::from_micros(self.leased_until.load(Ordering::Acquire))
    }

    /// The tag keys. The caller must have checked before that there is a lease.
    pub(super) fn tag_keys(&self) -> Arc<TagKeys> {
        Arc::clone(&self.tag_keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_tag_keys(&self, keys: TagKeys) {
        *self.tag_keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Waits up to `patience` for a lease and returns the epoch; `None` if there is still no lease.
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

    /// Whether no change acknowledged so far concerns this client. False without a lease.
    pub(super) fn is_current(&self, watch: &Watch) -> bool {
        !watch.has_changed() && self.is_leased()
    }

    fn current(&self) -> Epoch {
        let number = *self.epoch.read().unwrap_or_else(PoisonError::into_inner);
        Epoch { number, began: self.seconds() }
    }

    /// Time since the node started, including time while the machine was suspended.
    fn seconds(&self) -> Seconds {
        Seconds::of(self.clock.uptime().saturating_sub(self.started))
    }

    /// Whether an entry that was read at `read_at` is within its lifetime. Entries that were read
    /// together, after a start or a full invalidation, must not all expire together, so each lives
    /// up to an eighth less, depending on the last byte of its id.
    fn is_fresh(&self, read_at: Seconds, id: uuid::Uuid) -> bool {
        let spread = u32::from(id.as_bytes()[15]);
        self.seconds().since(read_at) < self.lifetime.less_an_eighth_of(spread)
    }

    /// A cached client with this credential. The caller must hold an epoch: no lease is checked.
    pub(super) fn client(
        &self,
        client_id: &ClientId,
        credential: CredentialId,
    ) -> Option<(FoundClient, Watch)> {
        let known = self.clients.get(&(client_id.clone(), credential));
        let known = known.filter(|known| {
            self.is_fresh(known.read_at, credential.0) && !known.client.has_changed()
        });
        self.count(known.is_some());
        known.map(CachedCredential::found)
    }

    /// A cached token. The caller must hold an epoch: no lease is checked.
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

    /// Caches a client that was read in this epoch. Missing clients and missing credentials are not
    /// cached. `None` if nothing was cached, also because the epoch is over.
    pub(super) fn keep_client(&self, epoch: Epoch, found: &FoundClient) -> Option<Watch> {
        let credential = found.credential.as_ref()?;
        self.keep(epoch, || {
            let client = self.known(&found.client);
            let watch = Watch(Arc::clone(&client));
            let (id, credential) = (credential.id(), Arc::clone(credential));
            let known = CachedCredential { client, credential, read_at: epoch.began };
            self.clients.insert((found.client.client_id.clone(), id), known);
            watch
        })
    }

    /// Caches a token that was read in this epoch, unless the epoch is over.
    pub(super) fn keep_token(&self, epoch: Epoch, found: &FoundToken) {
        self.keep(epoch, || {
            let facts = &found.facts;
            let known = CachedToken {
                digest: found.digest,
                credential: found.credential,
                client: self.known(&facts.client),
                granted: facts.granted.as_ref().map(|granted| self.shared(granted)),
                issued_at: facts.issued_at,
                expires_at: facts.expires_at,
                not_before: facts.not_before,
                revoked: facts.revoked,
                credential_leaked: facts.credential_leaked,
                superseded: facts.superseded,
                read_at: epoch.began,
            };
            self.tokens.insert(facts.id, known);
        });
    }

    /// Runs `put` if the epoch `read_in` is still current. An entry that was read before a change
    /// must not outlive it: the change has been applied already and will not come again.
    fn keep<T>(&self, read_in: Epoch, put: impl FnOnce() -> T) -> Option<T> {
        let epoch = self.epoch.read().unwrap_or_else(PoisonError::into_inner);
        (*epoch == read_in.number).then(put)
    }

    /// The shared entry of this client. If the cached client differs from the one just read, a
    /// change was missed, so the old entry and the tokens that refer to it are invalidated.
    fn known(&self, client: &Arc<Client>) -> Arc<CachedClient> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_key.clients.get(&client.key).and_then(Weak::upgrade) {
            if !known.has_changed() && known.client == *client {
                return known;
            }
            known.change();
        }
        let known = Arc::new(CachedClient::new(Arc::clone(client)));
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

    /// Invalidates the entries that these changes concern, and starts a new epoch.
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

    /// Ends the lease: no entry is used until there is a new one.
    pub(super) fn end_lease(&self) {
        self.leased_until.store(0, Ordering::Release);
    }

    /// Starts or extends the lease. The caller has applied every change up to now.
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
        }
    }
}

/// Invalidates these clients, and with them the entries that refer to them.
fn changed(clients: impl IntoIterator<Item = Weak<CachedClient>>) {
    clients.into_iter().filter_map(|known| known.upgrade()).for_each(|known| known.change());
}

#[cfg(test)]
mod tests;
