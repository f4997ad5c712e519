//! The queue without threads: which comparisons it accepts and refuses, and their order.

use super::*;
use crate::domain::{ClientId, ClientSecret, SeededRandom, TagKey};
use crate::{credentials::verified::FingerprintKey, domain::OsRandom};

const LONG: Duration = Duration::from_mins(1);

struct Asking {
    queue: HashQueue,
    key: FingerprintKey,
    random: SeededRandom,
}

impl Asking {
    fn new(places: usize, share: usize) -> Self {
        let limits = QueueLimits { places, share };
        let queue = HashQueue::new(limits, 1, Duration::from_millis(20));
        let key = FingerprintKey::new(&OsRandom).unwrap();
        Self { queue, key, random: SeededRandom::default() }
    }

    fn secret(&self) -> ClientSecret {
        ClientSecret::generate(&self.random, &TagKey::from_bytes([1; 32])).unwrap()
    }

    /// A comparison of a secret that nobody else presents.
    fn job(&self, client_id: &str, source: u8) -> Job {
        self.job_of(&self.secret(), client_id, source)
    }

    fn job_of(&self, secret: &ClientSecret, client_id: &str, source: u8) -> Job {
        let credentials = SecretCredentials {
            client_id: ClientId::parse(client_id).unwrap(),
            secret: ClientSecret::parse(secret.expose()).unwrap(),
        };
        let source = Some(IpAddr::from([127, 0, 0, source]));
        let (presented, since) = (self.key.of(&credentials), Instant::now());
        Job { presented, credentials, source, is_suspect: false, hash: None, since }
    }

    fn push(&self, lane: Lane, job: Job) -> Result<oneshot::Receiver<Outcome>, Full> {
        self.push_until(lane, job, Instant::now() + LONG)
    }

    fn push_until(
        &self,
        lane: Lane,
        job: Job,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Outcome>, Full> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(lane, job, Waiter { deadline, answer }).map(|()| answered)
    }

    fn popped(&self) -> String {
        self.queue.pop().unwrap().credentials.client_id.to_string()
    }
}

#[test]
fn equal_comparisons_are_computed_once_and_answered_together() {
    let asking = Asking::new(4, 4);
    let job = asking.job("orders", 1);
    let presented = job.presented;
    let again = || {
        let credentials = SecretCredentials {
            client_id: job.credentials.client_id.clone(),
            secret: ClientSecret::parse(job.credentials.secret.expose()).unwrap(),
        };
        Job {
            presented,
            credentials,
            source: None,
            is_suspect: false,
            hash: None,
            since: Instant::now(),
        }
    };
    let mut waiting: Vec<_> =
        (0..100).map(|_| asking.push(Lane::Issue, again()).unwrap()).collect();
    assert_eq!(asking.popped(), "orders");
    waiting.push(asking.push(Lane::Inspect, again()).unwrap());
    asking.queue.finish(&again(), &Ok(true), Duration::from_millis(20), Duration::ZERO);
    assert!(waiting.iter_mut().all(|answer| answer.try_recv() == Ok(Ok(true))));
    assert!(asking.push(Lane::Issue, again()).is_ok(), "a finished comparison is not joined");
}

#[test]
fn the_lanes_take_turns() {
    let asking = Asking::new(8, 8);
    let _issuing: Vec<_> =
        (0..4).map(|_| asking.push(Lane::Issue, asking.job("issue", 1))).collect();
    let _inspecting: Vec<_> =
        (0..2).map(|_| asking.push(Lane::Inspect, asking.job("inspect", 2))).collect();
    let order: Vec<_> = (0..6).map(|_| asking.popped()).collect();
    assert_eq!(order, ["issue", "inspect", "issue", "inspect", "issue", "issue"]);
}

/// A caller with one secret, old or of another client, waits behind itself, whatever
/// client ids and addresses it uses.
#[test]
fn secrets_take_turns() {
    let asking = Asking::new(16, 8);
    let [flood, few] = [asking.secret(), asking.secret()];
    let push = |secret, client_id: &str, source| {
        asking.push(Lane::Issue, asking.job_of(secret, client_id, source)).unwrap()
    };
    let _flood: Vec<_> =
        (1..4).map(|number| push(&flood, &format!("flood-{number}"), number)).collect();
    let _few: Vec<_> = (1..3).map(|number| push(&few, &format!("few-{number}"), 1)).collect();
    let _one = push(&asking.secret(), "one", 1);
    let order: Vec<_> = (0..6).map(|_| asking.popped()).collect();
    assert_eq!(order, ["flood-1", "few-1", "one", "flood-2", "few-2", "flood-3"]);
}

/// A few dozen old secrets hold up nobody who starts with a right one.
#[test]
fn a_secret_that_failed_lately_comes_after_all_others() {
    let asking = Asking::new(64, 8);
    let suspect = |number: u8| Job { is_suspect: true, ..asking.job("old", number) };
    let _old: Vec<_> =
        (0..30).map(|number| asking.push(Lane::Issue, suspect(number)).unwrap()).collect();
    let soon = Instant::now() + Duration::from_millis(50);
    assert!(asking.push_until(Lane::Issue, suspect(99), soon).is_err());
    let _new = asking.push_until(Lane::Issue, asking.job("new", 1), soon).unwrap();
    assert_eq!([asking.popped(), asking.popped()], ["new", "old"]);
}

#[test]
fn nobody_takes_more_than_a_share() {
    let asking = Asking::new(8, 2);
    let old = asking.secret();
    let mut kept = Vec::new();
    let mut push = |job| asking.push(Lane::Issue, job).map(|answer| kept.push(answer));
    assert!(push(asking.job_of(&old, "victim", 1)).is_ok());
    assert!(push(asking.job_of(&old, "invented", 2)).is_ok());
    assert!(push(asking.job_of(&old, "another", 3)).is_err(), "two of one secret");
    assert!(push(asking.job("victim", 1)).is_ok(), "its own secret, from the same address");
    assert!(push(asking.job("b", 1)).is_ok() && push(asking.job("c", 1)).is_ok());
    assert!(push(asking.job("d", 1)).is_err(), "half of all places for one source");
    assert!(push(asking.job("e", 4)).is_ok() && push(asking.job("f", 5)).is_ok());
    assert!(push(asking.job("g", 6)).is_ok());
    assert!(push(asking.job("h", 7)).is_err(), "the lane is full");
    assert!(asking.push(Lane::Inspect, asking.job("a", 1)).is_ok(), "the other lane is not");
}

#[test]
fn what_nobody_waits_for_is_not_computed_and_keeps_no_place() {
    let asking = Asking::new(4, 2);
    let _own = [(); 2].map(|()| asking.push(Lane::Issue, asking.job("own", 2)).unwrap());
    let gone = asking.push(Lane::Issue, asking.job("gone", 1)).unwrap();
    let _other = asking.push(Lane::Issue, asking.job("other", 1)).unwrap();
    assert!(asking.push(Lane::Issue, asking.job("third", 1)).is_err());
    drop(gone);
    let _third = asking.push(Lane::Issue, asking.job("third", 1)).unwrap();
    let order = [(); 4].map(|()| asking.popped());
    assert_eq!(order, ["own", "own", "other", "third"]);
}

#[test]
fn who_would_wait_past_its_deadline_is_turned_away_at_once() {
    let asking = Asking::new(8, 8);
    let soon = Instant::now() + Duration::from_millis(50);
    let flood = asking.secret();
    let from = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
    let _first = from
        .map(|(id, source)| asking.push(Lane::Issue, asking.job_of(&flood, id, source)).unwrap());
    let late = asking.job_of(&flood, "late", 2);
    let refused = asking.push_until(Lane::Issue, late, soon);
    assert_eq!(refused.unwrap_err(), Full(Duration::from_millis(80)));
    assert!(asking.push_until(Lane::Inspect, asking.job("quick", 1), soon).is_ok());
    assert!(asking.push_until(Lane::Issue, asking.job("another", 1), soon).is_ok());
}
