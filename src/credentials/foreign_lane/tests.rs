//! The lane is fair, bounded, and computes no hash over the caps.

use super::*;
use crate::domain::OsRandom;

const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
const TEXT: &str = "a secret from elsewhere";
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG";
const FULL: Duration = Duration::from_millis(50);

fn secret(text: &str) -> ForeignSecret {
    ForeignSecret::parse(text).unwrap()
}

/// A lane with one turn, in which a refusal takes so long.
fn lane_of(places: usize, pace: Duration) -> ForeignLane {
    let (cap, mut memory) = (HashCostCap::DEFAULT, HashMemory::default());
    let hash = SecretHash::compute_foreign(&secret("dummy"), CHEAP, &OsRandom, &mut memory);
    ForeignLane::new(1, places, CHEAP, cap, hash.unwrap(), pace)
}

fn lane(places: usize) -> ForeignLane {
    lane_of(places, Duration::ZERO)
}

fn asking(source: u8, is_suspect: bool, patience: Duration) -> Asking {
    let source = Some(IpAddr::from([192, 0, 2, source]));
    Asking { source, is_suspect, deadline: Instant::now() + patience }
}

/// A caller that gives up soon.
fn soon(source: u8) -> Asking {
    asking(source, false, FULL)
}

/// One that waits for as long as it takes.
fn patient(source: u8) -> Asking {
    asking(source, false, Duration::from_mins(1))
}

fn suspect(source: u8) -> Asking {
    asking(source, true, Duration::from_mins(1))
}

fn is_full(turn: &Result<ForeignTurn, Error>) -> bool {
    matches!(turn, Err(Error::TooManyRequests { .. }))
}

async fn compare(lane: &ForeignLane, text: &str, hashes: &[&str]) -> Compared {
    let turn = lane.turn(patient(1)).await.unwrap();
    let hashes = hashes.iter().map(|hash| SecretHash::from_stored((*hash).into())).collect();
    turn.first_match(secret(text), hashes, Arc::new(OsRandom)).await.unwrap()
}

async fn matched(text: &str, hashes: &[&str]) -> Option<ForeignMatch> {
    compare(&lane(1), text, hashes).await.matched
}

#[tokio::test]
async fn the_hash_that_matches_is_found_and_a_weak_one_made_better() {
    let found = matched(TEXT, &["$2b$broken", BCRYPT]).await.unwrap();
    let better = found.better.unwrap();
    assert_eq!((found.index, better.as_str().starts_with("$argon2id$")), (1, true));
    let again = matched(TEXT, &[better.as_str()]).await.unwrap();
    assert_eq!((again.index, again.better.is_none()), (0, true));
    assert!(matched("another text", &[BCRYPT]).await.is_none());
    assert!(matched(TEXT, &[]).await.is_none());
}

#[tokio::test]
async fn hashes_that_cannot_be_used_match_nothing_and_are_named_with_the_reason() {
    let dear = BCRYPT.replace("$04$", "$31$");
    let compared = compare(&lane(1), TEXT, &["$2b$broken", &dear]).await;
    assert!(compared.matched.is_none());
    let [(0, broken), (1, dear)] = compared.unusable[..] else { panic!("{:?}", compared.unusable) };
    assert!(broken.0.contains("malformed") && dear.0.contains("4 to 12"), "{broken} {dear}");
}

#[tokio::test]
async fn every_refusal_takes_as_long_as_the_dearest() {
    let began = Instant::now();
    let compared = compare(&lane_of(1, FULL * 4), TEXT, &["$2b$broken"]).await;
    assert!(compared.matched.is_none());
    assert!(began.elapsed() >= FULL * 4);
}

#[tokio::test]
async fn turns_and_places_are_bounded() {
    let lane = lane(1);
    let held = lane.turn(soon(1)).await.unwrap();
    let (first, second) = tokio::join!(lane.turn(soon(2)), lane.turn(soon(3)));
    assert!(is_full(&first) && is_full(&second));
    drop(held);
    assert!(lane.turn(soon(4)).await.is_ok());
}

#[tokio::test]
async fn guesses_from_many_sources_do_not_keep_an_honest_one_from_its_turn() {
    let lane = Arc::new(lane(8));
    let held = lane.turn(patient(1)).await.unwrap();
    // Sources that were never seen wait, each once.
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for source in [2, 3, 4] {
        let (of, sender) = (Arc::clone(&lane), sender.clone());
        waiting.push(tokio::spawn(async move {
            let turn = of.turn(patient(source)).await;
            sender.send((source, turn.is_ok())).unwrap();
        }));
        while lane.waiting().len() < waiting.len() {
            tokio::task::yield_now().await;
        }
        assert!(is_full(&lane.turn(patient(source)).await), "it waits already");
    }
    // Those that failed lately are refused at once, before and after a turn ends.
    for source in 100..200 {
        assert!(is_full(&lane.turn(suspect(source)).await));
    }
    drop(held);
    assert!(is_full(&lane.turn(suspect(100)).await), "the turn is of the first who waits");
    for source in [2, 3, 4] {
        assert_eq!(order.recv().await, Some((source, true)));
    }
    for task in waiting {
        task.await.unwrap();
    }
    assert!(lane.turn(suspect(100)).await.is_ok(), "one is free");
    assert!(lane.waiting().is_empty());
}

#[tokio::test]
async fn a_turn_goes_on_when_its_caller_goes_away() {
    let lane = lane_of(1, FULL);
    let turn = lane.turn(soon(1)).await.unwrap();
    let comparing = turn.first_match(secret(TEXT), Vec::new(), Arc::new(OsRandom));
    let gone = tokio::time::timeout(Duration::ZERO, comparing).await;
    assert!(gone.is_err());
    assert!(is_full(&lane.turn(suspect(2)).await), "its hash is still computed");
    assert!(lane.turn(patient(3)).await.is_ok());
}

#[test]
fn a_source_stands_for_itself_alone() {
    let id = |text: &str| in_place_of_secret(Some(text.parse().unwrap()));
    assert_eq!(id("192.0.2.1"), id("192.0.2.1"));
    assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
    assert_ne!(id("2001:db8::"), id("2001:db8:1::"));
    assert_ne!(in_place_of_secret(None), id("192.0.2.1"));
}
