//! The lane of secrets that other systems made. Their texts have no tag, so anybody can make this
//! node compute a hash for one. Therefore they have few turns of their own and never wait in the
//! hash queue: guesses at an imported client take nothing from the others.

mod refusal;

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::spawn_blocking,
    time::{sleep, sleep_until, timeout_at},
};
use uuid::Uuid;

use self::refusal::Refusal;
use super::verified::Fingerprint;
use crate::domain::{
    Cause, Error, ForeignSecret, HashCost, HashCostCap, HashMemory, Malformed, Random, SecretHash,
    SecretId,
};

/// One turn for so many hash threads.
const THREADS_PER_TURN: usize = 4;

/// Rest of a turn after a wrong secret, as a multiple of the time of its refusal, as in the hash
/// pool.
const REST: u32 = 4;

/// Maximum rest. It is shorter than callers wait for a turn, so that the dearest hash that is
/// accepted does not keep them out.
const MAX_REST: Duration = Duration::from_secs(1);

/// How long a refused caller should wait.
const RETRY: Duration = Duration::from_secs(1);

/// Turns for comparing secrets of other systems, and the sources that wait for one.
pub(super) struct ForeignLane {
    turns: Arc<Semaphore>,
    waiting: Mutex<HashSet<Option<IpAddr>>>,
    places: usize,
    cost: HashCost,
    cap: HashCostCap,
    refusal: Arc<Refusal>,
}

/// A caller that asks for a turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) source: Option<IpAddr>,
    /// Whether this source failed lately.
    pub(super) is_suspect: bool,
    /// When the caller gives up.
    pub(super) deadline: Instant,
}

/// The place of a source among those that wait. It is free again when this is dropped.
struct Place<'a> {
    lane: &'a ForeignLane,
    source: Option<IpAddr>,
}

/// A turn. It ends when it is dropped.
pub(crate) struct ForeignTurn {
    permit: OwnedSemaphorePermit,
    cost: HashCost,
    cap: HashCostCap,
    refusal: Arc<Refusal>,
}

/// Outcome of a comparison with several hashes.
pub(crate) struct Compared {
    /// The first hash that matched.
    pub(crate) matched: Option<ForeignMatch>,
    /// Positions of the hashes before it that cannot be used, and why.
    pub(crate) unusable: Vec<(usize, Malformed)>,
}

/// A secret that matched.
pub(crate) struct ForeignMatch {
    /// Position of the hash that it matched.
    pub(crate) index: usize,
    /// Hash to replace that one with, if it is not of argon2id.
    pub(crate) better: Option<SecretHash>,
}

impl ForeignLane {
    /// A lane beside so many hash threads, in which at most `places` sources wait. `dummy` is a
    /// hash of no client, which took `pace` to compute.
    pub(super) fn new(
        threads: usize,
        places: usize,
        cost: HashCost,
        cap: HashCostCap,
        dummy: SecretHash,
        pace: Duration,
    ) -> Self {
        let turns = Arc::new(Semaphore::new((threads / THREADS_PER_TURN).max(1)));
        let refusal = Arc::new(Refusal::new(dummy, pace));
        Self { turns, waiting: Mutex::default(), places, cost, cap, refusal }
    }

    /// Takes a turn that is free, or waits for one in the order of arrival. A suspect source never
    /// waits and any other has one place, so guesses from many addresses fill the lane only once,
    /// and a caller that waits has at most `places` turns ahead.
    ///
    /// # Errors
    /// `TooManyRequests` if no turn is free and the source is suspect or waits already, if there is
    /// no place to wait, or if no turn is free in time.
    pub(super) async fn turn(&self, asking: Asking) -> Result<ForeignTurn, Error> {
        let full = || Error::queue_full(RETRY);
        // None is free while somebody waits: a turn that ends goes to the first who waits.
        let permit = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if asking.is_suspect => return Err(full()),
            Err(_) => {
                let _place = self.place(asking.source).ok_or_else(full)?;
                let turn = Arc::clone(&self.turns).acquire_owned();
                let turn = timeout_at(asking.deadline.into(), turn).await;
                turn.map_err(|_| full())?.map_err(Error::internal)?
            }
        };
        let refusal = Arc::clone(&self.refusal);
        Ok(ForeignTurn { permit, cost: self.cost, cap: self.cap, refusal })
    }

    fn place(&self, source: Option<IpAddr>) -> Option<Place<'_>> {
        let mut waiting = self.waiting();
        let is_new = waiting.len() < self.places && waiting.insert(source);
        if is_new { Some(Place { lane: self, source }) } else { None }
    }

    /// Nothing under the lock panics, so it cannot be poisoned.
    fn waiting(&self) -> MutexGuard<'_, HashSet<Option<IpAddr>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.waiting().remove(&self.source);
    }
}

impl ForeignTurn {
    /// The first of `hashes` that is a hash of `secret`. A refusal takes as long for every client,
    /// with or without hashes. The turn goes on if the caller goes away, because its work does.
    ///
    /// # Errors
    /// `Internal` if a better hash cannot be computed.
    pub(crate) async fn first_match(
        self,
        secret: ForeignSecret,
        hashes: Vec<SecretHash>,
        random: Arc<dyn Random>,
    ) -> Result<Compared, Error> {
        let Self { permit, cost, cap, refusal } = self;
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let began = Instant::now();
            let usual = Arc::clone(&refusal);
            let computing = spawn_blocking(move || {
                let mut memory = HashMemory::default();
                let (index, unusable) = usual.first_match(&secret, &hashes, cap, &mut memory);
                let Some(index) = index else { return Ok(Compared { matched: None, unusable }) };
                let better = hashes[index].is_to_be_replaced().then(|| {
                    SecretHash::compute_foreign(&secret, cost, random.as_ref(), &mut memory)
                });
                let matched = Some(ForeignMatch { index, better: better.transpose()? });
                Ok::<_, Cause>(Compared { matched, unusable })
            });
            let compared = computing.await.unwrap_or_else(|panicked| Err(panicked.into()));
            let is_right = matches!(&compared, Ok(compared) if compared.matched.is_some());
            if !is_right {
                sleep_until((began + refusal.time()).into()).await;
            }
            let took = began.elapsed();
            // The caller may have gone away.
            let _ = answer.send(compared);
            if !is_right {
                sleep((took * REST).min(MAX_REST)).await;
            }
            drop(permit);
        });
        answered.await.map_err(Error::internal)?.map_err(Error::internal)
    }
}

/// Which secret a presented text matched last. A text does not name its secret, and this saves the
/// search for it; whether it still matches, the cache of verified secrets and the store tell.
pub(crate) struct KnownForeign(Cache<Fingerprint, SecretId>);

impl KnownForeign {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    pub(crate) fn of(&self, presented: &Fingerprint) -> Option<SecretId> {
        self.0.get(presented)
    }

    pub(crate) fn insert(&self, presented: Fingerprint, secret: SecretId) {
        self.0.insert(presented, secret);
    }
}

/// What the failures of such a secret are counted for, in place of its id: the source. A guesser
/// never presents the same text twice, and must not lock out the client everywhere.
pub(crate) fn in_place_of_secret(source: Option<IpAddr>) -> SecretId {
    SecretId(match source {
        None => Uuid::nil(),
        Some(IpAddr::V4(source)) => Uuid::from_u128(source.to_ipv6_mapped().to_bits()),
        Some(IpAddr::V6(source)) => Uuid::from_u128(source.to_bits()),
    })
}

#[cfg(test)]
mod tests;
