//! Where secrets are hashed: threads of their own, so that argon2 never holds up a request that
//! needs none, and a queue of bounded length, so that waiting is bounded and so is memory.
//!
//! The blocking pool of tokio would allow 512 hashes at once, with 19 MiB each; and its tasks
//! cannot be given memory to reuse.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::domain::{
    Cause, ClientSecret, Error, HashCost, HashCostCap, HashMemory, Malformed, OsRandom, Random,
    SecretHash, TagKey,
};

/// What callers are asked to wait when the queue is full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many threads hash, how long the queue is, and what a hash costs.
#[derive(Debug, Clone, Copy)]
pub struct HashPoolOptions {
    /// Threads that hash; each keeps the memory of one hash.
    pub threads: usize,
    /// Requests that may wait.
    pub queue: usize,
    /// How long one may wait; a request that waited longer is dropped unhashed.
    pub patience: Duration,
    /// What the hash for unknown clients costs: the cost of those that are stored.
    pub cost: HashCost,
    /// The most that a stored hash may cost.
    pub cap: HashCostCap,
}

struct Job {
    secret: ClientSecret,
    /// None where there is nothing to compare with.
    hash: Option<SecretHash>,
    deadline: Instant,
    answer: oneshot::Sender<Result<bool, Malformed>>,
}

/// The threads and the queue before them. Dropping it ends the threads.
#[derive(Debug, Clone)]
pub struct HashPool {
    queue: SyncSender<Job>,
    patience: Duration,
}

impl HashPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the cost is not one that argon2 knows, or no thread can be started.
    pub fn start(options: HashPoolOptions) -> Result<Self, Cause> {
        // The dummy is made by the very function that makes real ones, so it cannot come to cost
        // something else. Whose hash it is does not matter: its outcome never counts.
        let dummy = dummy_hash(options.cost, &OsRandom)?;
        let (queue, jobs) = sync_channel(options.queue);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..options.threads.max(1) {
            let (jobs, dummy) = (Arc::clone(&jobs), dummy.clone());
            thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn(move || work(&jobs, &dummy, options.cap))?;
        }
        Ok(Self { queue, patience: options.patience })
    }

    /// Whether `hash` is the hash of `secret`; always false for none, after the same time.
    ///
    /// # Errors
    /// `TooManyRequests` at once if the queue is full, or if the wait was too long; `Internal` if
    /// the stored hash cannot be used.
    pub async fn verify(
        &self,
        secret: ClientSecret,
        hash: Option<SecretHash>,
    ) -> Result<bool, Error> {
        const FULL: Error = Error::TooManyRequests { retry_after: RETRY_AFTER };
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.patience;
        self.queue.try_send(Job { secret, hash, deadline, answer }).map_err(|_| FULL)?;
        // A job that is dropped unanswered waited too long.
        answered.await.map_err(|_| FULL)?.map_err(Error::internal)
    }
}

fn dummy_hash(cost: HashCost, random: &dyn Random) -> Result<SecretHash, Cause> {
    let secret = ClientSecret::generate(random, &TagKey::from_bytes([0; 32]))?;
    SecretHash::compute(&secret, cost, random, &mut HashMemory::default())
}

fn work(jobs: &Mutex<Receiver<Job>>, dummy: &SecretHash, cap: HashCostCap) {
    // Grows to the size of one hash at the first, and is kept.
    let mut memory = HashMemory::default();
    loop {
        // The lock is held while waiting: the other threads wait for the lock instead. It cannot
        // be poisoned, since nothing under it panics.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if job.answer.is_closed() || Instant::now() > job.deadline {
            continue;
        }
        let outcome = match &job.hash {
            Some(hash) => hash.verify(&job.secret, cap, &mut memory),
            None => dummy.verify(&job.secret, cap, &mut memory).map(|_| false),
        };
        // The caller may have gone away meanwhile.
        let _ = job.answer.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SeededRandom;

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn options(queue: usize, patience: Duration) -> HashPoolOptions {
        HashPoolOptions { threads: 1, queue, patience, cost: CHEAP, cap: HashCostCap::DEFAULT }
    }

    fn secret(random: &SeededRandom) -> ClientSecret {
        ClientSecret::generate(random, &TagKey::from_bytes([1; 32])).unwrap()
    }

    #[tokio::test]
    async fn the_right_secret_matches_and_nothing_matches_no_hash() {
        let random = SeededRandom::default();
        let pool = HashPool::start(options(4, Duration::from_secs(10))).unwrap();
        let (right, wrong) = (secret(&random), secret(&random));
        let hash = SecretHash::compute(&right, CHEAP, &random, &mut HashMemory::default()).unwrap();
        assert!(!pool.verify(wrong, Some(hash.clone())).await.unwrap());
        assert!(pool.verify(right, Some(hash)).await.unwrap());
        assert!(!pool.verify(secret(&random), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_answers_at_once_and_a_stale_job_is_not_hashed() {
        let random = SeededRandom::default();
        let pool = HashPool::start(options(1, Duration::ZERO)).unwrap();
        let outcome = pool.verify(secret(&random), None).await;
        assert!(matches!(outcome, Err(Error::TooManyRequests { .. })));

        let (queue, _jobs) = sync_channel(1);
        let stuck = HashPool { queue, patience: Duration::from_secs(10) };
        let waiting = tokio::spawn({
            let (stuck, secret) = (stuck.clone(), secret(&random));
            async move { stuck.verify(secret, None).await }
        });
        tokio::task::yield_now().await;
        let outcome = stuck.verify(secret(&random), None).await;
        assert!(matches!(outcome, Err(Error::TooManyRequests { .. })));
        waiting.abort();
    }

    #[tokio::test]
    async fn an_unusable_stored_hash_is_a_fault_and_the_thread_lives_on() {
        let random = SeededRandom::default();
        let pool = HashPool::start(options(4, Duration::from_secs(10))).unwrap();
        let broken = SecretHash::from_stored("$argon2id$v=19$m=9999999,t=1,p=1$AA$AA".into());
        let outcome = pool.verify(secret(&random), Some(broken)).await;
        assert!(matches!(outcome, Err(Error::Internal { .. })));
        assert!(!pool.verify(secret(&random), None).await.unwrap());
    }
}
