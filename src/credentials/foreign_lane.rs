//! The lane of secrets that other systems made. Their texts have no tag, so anybody can make this
//! node compute a hash for one. Therefore they have few turns of their own and never wait in the
//! hash queue: guesses at an imported client take nothing from the others.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{sleep, timeout_at},
};
use uuid::Uuid;

use super::verified::Fingerprint;
use crate::domain::{
    Cause, Error, ForeignSecret, HashCost, HashCostCap, HashMemory, Malformed, Random, SecretHash,
    SecretId,
};

/// One turn for so many hash threads.
const THREADS_PER_TURN: usize = 4;

/// Rest of a turn after a wrong secret, as a multiple of the time of its hashes, as in the hash
/// pool.
const REST: u32 = 4;

/// How long a refused caller should wait.
const RETRY: Duration = Duration::from_secs(1);

/// Turns for comparing secrets of other systems, and the places of those who wait for one.
pub(super) struct ForeignLane {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    cost: HashCost,
    cap: HashCostCap,
    dummy: SecretHash,
}

/// A turn. It ends when it is dropped.
pub(crate) struct ForeignTurn {
    permit: OwnedSemaphorePermit,
    cost: HashCost,
    cap: HashCostCap,
    dummy: SecretHash,
}

/// A secret that matched.
pub(crate) struct ForeignMatch {
    /// Position of the hash that it matched.
    pub(crate) index: usize,
    /// Hash to replace that one with, if it is not of argon2id.
    pub(crate) better: Option<SecretHash>,
}

impl ForeignLane {
    /// A lane beside so many hash threads, in which at most `places` callers wait.
    pub(super) fn new(
        threads: usize,
        places: usize,
        cost: HashCost,
        cap: HashCostCap,
        dummy: SecretHash,
    ) -> Self {
        let turns = (threads / THREADS_PER_TURN).max(1);
        let (turns, places) = (Arc::new(Semaphore::new(turns)), Arc::new(Semaphore::new(places)));
        Self { turns, places, cost, cap, dummy }
    }

    /// Waits for a turn until `deadline`.
    ///
    /// # Errors
    /// `TooManyRequests` if there is no place to wait, or no turn in time.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<ForeignTurn, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let _place = place.map_err(|_| Error::queue_full(RETRY))?;
        let turn = timeout_at(deadline.into(), Arc::clone(&self.turns).acquire_owned()).await;
        let permit = turn.map_err(|_| Error::queue_full(RETRY))?.map_err(Error::internal)?;
        Ok(ForeignTurn { permit, cost: self.cost, cap: self.cap, dummy: self.dummy.clone() })
    }
}

impl ForeignTurn {
    /// The first of `hashes` that is a hash of `secret`. Without any, a hash is computed as well
    /// and its outcome is ignored.
    ///
    /// # Errors
    /// `Internal` if none matches and one cannot be used.
    pub(crate) async fn first_match(
        self,
        secret: ForeignSecret,
        hashes: Vec<SecretHash>,
        random: Arc<dyn Random>,
    ) -> Result<Option<ForeignMatch>, Error> {
        let Self { permit, cost, cap, dummy } = self;
        let began = Instant::now();
        let computing = spawn_blocking(move || {
            let mut memory = HashMemory::default();
            if hashes.is_empty() {
                let _ = dummy.verify_foreign(&secret, cap, &mut memory);
            }
            let Some(index) = first_match(&secret, &hashes, cap, &mut memory)? else {
                return Ok(None);
            };
            let better = hashes[index]
                .is_to_be_replaced()
                .then(|| SecretHash::compute_foreign(&secret, cost, random.as_ref(), &mut memory));
            Ok::<_, Cause>(Some(ForeignMatch { index, better: better.transpose()? }))
        });
        let matched = computing.await.unwrap_or_else(|panicked| Err(panicked.into()));
        if !matches!(matched, Ok(Some(_))) {
            let rest = began.elapsed() * REST;
            tokio::spawn(async move {
                sleep(rest).await;
                drop(permit);
            });
        }
        matched.map_err(Error::internal)
    }
}

fn first_match(
    secret: &ForeignSecret,
    hashes: &[SecretHash],
    cap: HashCostCap,
    memory: &mut HashMemory,
) -> Result<Option<usize>, Malformed> {
    let mut fault = None;
    for (index, hash) in hashes.iter().enumerate() {
        match hash.verify_foreign(secret, cap, memory) {
            Ok(true) => return Ok(Some(index)),
            Ok(false) => {}
            Err(unusable) => fault = Some(unusable),
        }
    }
    fault.map_or(Ok(None), Err)
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
mod tests {
    use super::*;
    use crate::domain::OsRandom;

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
    const TEXT: &str = "a secret from elsewhere";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG";

    fn secret(text: &str) -> ForeignSecret {
        ForeignSecret::parse(text).unwrap()
    }

    fn lane(places: usize) -> ForeignLane {
        let hash = SecretHash::compute_foreign(
            &secret("dummy"),
            CHEAP,
            &OsRandom,
            &mut HashMemory::default(),
        );
        ForeignLane::new(1, places, CHEAP, HashCostCap::DEFAULT, hash.unwrap())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    async fn matched(text: &str, hashes: &[&str]) -> Result<Option<ForeignMatch>, Error> {
        let turn = lane(1).turn(soon()).await.unwrap();
        let hashes = hashes.iter().map(|hash| SecretHash::from_stored((*hash).into())).collect();
        turn.first_match(secret(text), hashes, Arc::new(OsRandom)).await
    }

    #[tokio::test]
    async fn the_hash_that_matches_is_found_and_a_weak_one_made_better() {
        let found = matched(TEXT, &["$2b$broken", BCRYPT]).await.unwrap().unwrap();
        let better = found.better.unwrap();
        assert_eq!((found.index, better.as_str().starts_with("$argon2id$")), (1, true));
        let again = matched(TEXT, &[better.as_str()]).await.unwrap().unwrap();
        assert_eq!((again.index, again.better.is_none()), (0, true));
        assert!(matched("another text", &[BCRYPT]).await.unwrap().is_none());
        assert!(matched(TEXT, &[]).await.unwrap().is_none());
        assert!(matched(TEXT, &["$2b$broken"]).await.is_err());
    }

    #[tokio::test]
    async fn turns_and_places_are_bounded() {
        let lane = lane(1);
        let held = lane.turn(soon()).await.unwrap();
        let is_full =
            |turn: Result<ForeignTurn, Error>| matches!(turn, Err(Error::TooManyRequests { .. }));
        let (first, second) = tokio::join!(lane.turn(soon()), lane.turn(soon()));
        assert!(is_full(first) && is_full(second));
        drop(held);
        assert!(lane.turn(soon()).await.is_ok());
    }

    #[test]
    fn a_source_stands_for_itself_alone() {
        let id = |text: &str| in_place_of_secret(Some(text.parse().unwrap()));
        assert_eq!(id("192.0.2.1"), id("192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_ne!(id("2001:db8::"), id("2001:db8:1::"));
        assert_ne!(in_place_of_secret(None), id("192.0.2.1"));
    }
}
