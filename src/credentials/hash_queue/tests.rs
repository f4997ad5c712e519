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

    fn job(&self, client_id: &str, source: u8) -> Job {
        let tag_key = TagKey::from_bytes([1; 32]);
        let credentials = SecretCredentials {
            client_id: ClientId::parse(client_id).unwrap(),
            secret: ClientSecret::generate(&self.random, &tag_key).unwrap(),
        };
        let source = Some(IpAddr::from([127, 0, 0, source]));
        let (presented, since) = (self.key.of(&credentials), Instant::now());
        Job { presented, credentials, source, hash: None, since }
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
        Job { presented, credentials, source: None, hash: None, since: Instant::now() }
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

#[test]
fn sources_take_turns() {
    let asking = Asking::new(16, 8);
    let push = |client_id, source| asking.push(Lane::Issue, asking.job(client_id, source)).unwrap();
    let _flood: Vec<_> = (0..3).map(|_| push("flood", 1)).collect();
    let _few: Vec<_> = (0..2).map(|_| push("few", 2)).collect();
    let _one = push("one", 3);
    let order: Vec<_> = (0..6).map(|_| asking.popped()).collect();
    assert_eq!(order, ["flood", "few", "one", "flood", "few", "flood"]);
}

#[test]
fn nobody_takes_more_than_a_share() {
    let asking = Asking::new(8, 2);
    let mut kept = Vec::new();
    let mut push = |client_id, source| {
        asking.push(Lane::Issue, asking.job(client_id, source)).map(|answer| kept.push(answer))
    };
    assert!(push("a", 1).is_ok() && push("a", 2).is_ok());
    assert!(push("a", 3).is_err(), "two of one client");
    assert!(push("b", 1).is_ok() && push("c", 1).is_ok() && push("d", 1).is_ok());
    assert!(push("e", 1).is_err(), "four from one source");
    assert!(push("e", 4).is_ok() && push("f", 5).is_ok() && push("g", 6).is_ok());
    assert!(push("h", 7).is_err(), "the lane is full");
    assert!(asking.push(Lane::Inspect, asking.job("a", 1)).is_ok(), "the other lane is not");
}

#[test]
fn what_nobody_waits_for_is_not_computed_and_keeps_no_place() {
    let asking = Asking::new(2, 2);
    let gone = asking.push(Lane::Issue, asking.job("gone", 1)).unwrap();
    let _other = asking.push(Lane::Issue, asking.job("other", 1)).unwrap();
    assert!(asking.push(Lane::Issue, asking.job("third", 1)).is_err());
    drop(gone);
    let _third = asking.push(Lane::Issue, asking.job("third", 1)).unwrap();
    assert_eq!([asking.popped(), asking.popped()], ["other", "third"]);
}

#[test]
fn who_would_wait_past_its_deadline_is_turned_away_at_once() {
    let asking = Asking::new(8, 8);
    let soon = Instant::now() + Duration::from_millis(50);
    let _first: Vec<_> =
        (0..4).map(|_| asking.push(Lane::Issue, asking.job("first", 1)).unwrap()).collect();
    let refused = asking.push_until(Lane::Issue, asking.job("late", 1), soon);
    assert_eq!(refused.unwrap_err(), Full(Duration::from_millis(80)));
    assert!(asking.push_until(Lane::Inspect, asking.job("quick", 1), soon).is_ok());
    assert!(asking.push_until(Lane::Issue, asking.job("elsewhere", 2), soon).is_ok());
}
