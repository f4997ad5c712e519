//! The hash pool: dedicated threads that compute argon2, so that hashing never delays a request
//! that needs none, behind a bounded queue, so that waiting and memory are bounded.
//!
//! tokio's blocking pool would allow 512 hashes at the same time, with 19 MiB each, and its tasks
//! cannot reuse memory.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    SecretCredentials,
    foreign_lane::{Asking, ForeignLane, ForeignTurn},
    hash_queue::{Full, HashQueue, Job, Place, QueueLimits, Waiter},
    verified::Fingerprint,
};
use crate::{
    domain::{
        Cause, ClientSecret, Error, HashCost, HashCostCap, HashMemory, Lane, Malformed, OsRandom,
        Random, SecretHash, SecretId, TagKey,
    },
    request::RequestContext,
    stats::HashStats,
};

/// Options of the hash pool.
#[derive(Debug, Clone, Copy)]
pub struct HashPoolOptions {
    /// Number of hash threads. Each keeps the memory of one hash.
    pub threads: usize,
    /// Maximum queued comparisons in each lane.
    pub queue: usize,
    /// Maximum of these for one secret. One source may have half of `queue`.
    pub share: usize,
    /// Maximum wait of a caller. A comparison without waiting callers is dropped unhashed.
    pub patience: Duration,
    /// Cost of the hash for unknown clients: the same as that of stored hashes.
    pub cost: HashCost,
    /// Maximum cost of a stored hash.
    pub cap: HashCostCap,
}

/// The hash threads and their queue. Dropping it ends the threads.
pub struct HashPool {
    queue: Arc<HashQueue>,
    foreign: ForeignLane,
    patience: Duration,
}

impl HashPool {
    /// Starts the hash threads.
    ///
    /// # Errors
    /// If argon2 rejects the cost, or a thread cannot be started.
    pub fn start(options: HashPoolOptions) -> Result<Self, Cause> {
        // The dummy is made by the function that makes real hashes, so that their costs cannot
        // diverge. Its secret does not matter, because its outcome is never used.
        let began = Instant::now();
        let dummy = dummy_hash(options.cost, &OsRandom)?;
        let pace = began.elapsed();
        let threads = options.threads.max(1);
        let limits = QueueLimits { places: options.queue, share: options.share };
        let queue = HashQueue::new(limits, u32::try_from(threads)?, pace);
        let HashPoolOptions { cost, cap, patience, .. } = options;
        let foreign = ForeignLane::new(threads, options.queue, cost, cap, dummy.clone(), pace);
        let pool = Self { queue: Arc::new(queue), foreign, patience };
        for number in 0..threads {
            let (queue, dummy) = (Arc::clone(&pool.queue), dummy.clone());
            thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn(move || work(&queue, &dummy, options.cap))?;
        }
        Ok(pool)
    }

    /// Refuses a request that `verify` would refuse, before the database is queried for it.
    ///
    /// # Errors
    /// `TooManyRequests` if the queue is full, the share of the secret or of the source is used up,
    /// or the wait would exceed the deadline.
    pub(crate) fn check_place(
        &self,
        presented: &Fingerprint,
        secret: SecretId,
        is_suspect: bool,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<(), Error> {
        let (source, deadline) = (context.source, self.deadline(context));
        let place = Place { lane, secret, source, is_suspect, deadline };
        self.queue.check_place(presented, place).map_err(refused)
    }

    fn deadline(&self, context: &RequestContext) -> Instant {
        let patience = Instant::now() + self.patience;
        context.deadline.map_or(patience, |deadline| deadline.min(patience))
    }

    /// Whether `hash` is the hash of the presented secret. False for `None`, after the same time.
    ///
    /// # Errors
    /// `TooManyRequests` immediately for the reasons of `check_place`, or later if the wait exceeds
    /// the deadline; `Internal` if the stored hash cannot be used.
    pub(crate) async fn verify(
        &self,
        presented: Fingerprint,
        credentials: SecretCredentials,
        hash: Option<SecretHash>,
        is_suspect: bool,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<bool, Error> {
        let (answer, answered) = oneshot::channel();
        let (since, deadline) = (Instant::now(), self.deadline(context));
        let source = context.source;
        let job = Job { presented, credentials, source, is_suspect, hash, since };
        self.queue.push(lane, job, Waiter { deadline, answer }).map_err(refused)?;
        // A waiter that is dropped without an answer has waited too long.
        let too_late = |_| Error::queue_full(self.patience);
        answered.await.map_err(too_late)?.map_err(Error::internal)
    }

    /// Waits for a turn to compare secrets of other systems, apart from the hash queue.
    ///
    /// # Errors
    /// `TooManyRequests` if none is free and the source failed lately or waits already, if too many
    /// wait, or the wait would exceed the deadline.
    pub(crate) async fn foreign_turn(
        &self,
        is_suspect: bool,
        context: &RequestContext,
    ) -> Result<ForeignTurn, Error> {
        let (source, deadline) = (context.source, self.deadline(context));
        self.foreign.turn(Asking { source, is_suspect, deadline }).await
    }

    pub(crate) fn stats(&self) -> HashStats {
        self.queue.stats()
    }
}

fn refused(Full(retry_after): Full) -> Error {
    Error::queue_full(retry_after)
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashPool(patience {:?})", self.patience)
    }
}

fn dummy_hash(cost: HashCost, random: &dyn Random) -> Result<SecretHash, Cause> {
    let secret = ClientSecret::generate(random, &TagKey::from_bytes([0; 32]))?;
    SecretHash::compute(&secret, cost, random, &mut HashMemory::default())
}

/// Rest of a hash thread after a wrong secret, as a multiple of the time of the hash. A flood of
/// wrong secrets gets a fifth of a thread, and the rest of its core is left to requests that need
/// no hash. Callers with other secrets hardly wait longer, because secrets take turns in the queue.
/// A lower priority (setpriority) changed nothing: serving threads seldom use a whole time slice,
/// so a hash thread that can always run always does.
const REST: u32 = 4;

#[expect(clippy::disallowed_methods, reason = "a dedicated thread may sleep")]
fn work(queue: &HashQueue, dummy: &SecretHash, cap: HashCostCap) {
    // Grows to the size of one hash with the first job, and is reused.
    let mut memory = HashMemory::default();
    while let Some(job) = queue.pop() {
        let began = Instant::now();
        let secret = &job.credentials.secret;
        // A panic would end this thread for good, and a row edited by hand could cause one.
        let computed = catch_unwind(AssertUnwindSafe(|| match &job.hash {
            Some(hash) => hash.verify(secret, cap, &mut memory),
            None => dummy.verify(secret, cap, &mut memory).map(|_| false),
        }));
        let outcome = computed.unwrap_or(Err(Malformed("the stored hash cannot be computed")));
        let took = began.elapsed();
        let rest = if matches!(outcome, Ok(true)) { Duration::ZERO } else { took * REST };
        queue.finish(&job, &outcome, took, rest);
        thread::sleep(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials::verified::FingerprintKey,
        domain::{ClientId, SeededRandom},
    };

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
    const LONG: Duration = Duration::from_secs(10);

    fn options(queue: usize, patience: Duration) -> HashPoolOptions {
        let (cost, cap) = (CHEAP, HashCostCap::DEFAULT);
        HashPoolOptions { threads: 1, queue, share: queue, patience, cost, cap }
    }

    fn secret(random: &SeededRandom) -> ClientSecret {
        ClientSecret::generate(random, &TagKey::from_bytes([1; 32])).unwrap()
    }

    async fn ask(
        pool: &HashPool,
        secret: ClientSecret,
        hash: Option<SecretHash>,
        deadline: Option<Instant>,
    ) -> Result<bool, Error> {
        let context = RequestContext::new(None, deadline);
        let key = FingerprintKey::new(&OsRandom).unwrap();
        let credentials =
            SecretCredentials { client_id: ClientId::parse("orders").unwrap(), secret };
        pool.verify(key.of(&credentials), credentials, hash, false, Lane::Issue, &context).await
    }

    #[tokio::test]
    async fn the_right_secret_matches_and_nothing_matches_no_hash() {
        let random = SeededRandom::default();
        let pool = HashPool::start(options(4, LONG)).unwrap();
        let (right, wrong) = (secret(&random), secret(&random));
        let hash = SecretHash::compute(&right, CHEAP, &random, &mut HashMemory::default()).unwrap();
        assert!(!ask(&pool, wrong, Some(hash.clone()), None).await.unwrap());
        assert!(ask(&pool, right, Some(hash), None).await.unwrap());
        assert!(!ask(&pool, secret(&random), None, None).await.unwrap());
    }

    #[tokio::test]
    async fn who_has_no_time_left_is_turned_away_at_once() {
        let random = SeededRandom::default();
        let impatient = HashPool::start(options(4, Duration::ZERO)).unwrap();
        let outcome = ask(&impatient, secret(&random), None, None).await;
        assert!(matches!(outcome, Err(Error::TooManyRequests { .. })));

        let pool = HashPool::start(options(4, LONG)).unwrap();
        let outcome = ask(&pool, secret(&random), None, Some(Instant::now())).await;
        assert!(matches!(outcome, Err(Error::TooManyRequests { .. })));
    }

    #[tokio::test]
    async fn an_unusable_stored_hash_is_a_fault_and_the_thread_lives_on() {
        let random = SeededRandom::default();
        let pool = HashPool::start(options(4, LONG)).unwrap();
        let broken = SecretHash::from_stored("$argon2id$v=19$m=9999999,t=1,p=1$AA$AA".into());
        let outcome = ask(&pool, secret(&random), Some(broken), None).await;
        assert!(matches!(outcome, Err(Error::Internal { .. })));
        assert!(!ask(&pool, secret(&random), None, None).await.unwrap());
    }
}
