//! Tests of the read throttle.

use super::*;
use std::net::Ipv4Addr;

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn only_connections_that_fail_too_often_take_turns() {
    let throttles = ReadThrottles::new(100);
    let of = |address| throttles.of(address, false);
    let (bad, good, elsewhere) = (of(ONE), of(ONE), of(OTHER));
    (0..5).for_each(|_| bad.failed(ONE));
    assert_eq!(bad.take_slot(), Slot::Always, "a burst is free");
    (0..100).for_each(|_| bad.failed(ONE));
    assert!(matches!(bad.take_slot(), Slot::In(wait) if wait > Duration::from_millis(80)));
    assert_eq!(good.take_slot(), Slot::Always, "it did not fail");
    elsewhere.failed(OTHER);
    assert_eq!(elsewhere.take_slot(), Slot::Always, "another source");
    good.failed(ONE);
    assert!(matches!(good.take_slot(), Slot::In(_)), "a new connection is no escape");
    assert!((0..50).any(|_| bad.take_slot() == Slot::Later), "the wait is bounded");
    assert_eq!(good.take_slot(), Slot::Later);
}

#[test]
fn a_source_whose_connection_had_to_make_way_reads_slowly_until_a_call_succeeds() {
    let throttles = ReadThrottles::new(100);
    throttles.evicted(ONE);
    let again = throttles.of(ONE, false);
    assert!((0..50).any(|_| again.take_slot() == Slot::Later));
    assert_eq!(throttles.of(OTHER, false).take_slot(), Slot::Always);
    assert_eq!(throttles.of(ONE, true).take_slot(), Slot::Always, "a trusted proxy");
    again.succeeded();
    assert_eq!(again.take_slot(), Slot::Always);
}

#[tokio::test]
async fn a_connection_in_the_queue_stays_there_while_there_is_one() {
    let throttles = ReadThrottles::new(100);
    throttles.evicted(ONE);
    let crowd: Vec<_> = (0..100).map(|_| throttles.of(ONE, false)).collect();
    for _ in 0..6 {
        let slots = crowd.iter().filter(|one| one.take_slot() != Slot::Later).count();
        assert!(slots <= 40, "{slots} of them are read within a quarter of a second");
        sleep(LONGEST_WAIT).await;
    }
}

#[test]
fn without_a_limit_nobody_is_slowed() {
    let throttle = ReadThrottles::new(0).of(ONE, false);
    (0..10_000).for_each(|_| throttle.failed(ONE));
    assert_eq!(throttle.take_slot(), Slot::Always);
}

#[tokio::test]
async fn what_is_slowed_is_read_later_and_whole() {
    use tokio::io::AsyncReadExt;
    let throttle = ReadThrottles::new(100).of(ONE, false);
    (0..20).for_each(|_| throttle.failed(ONE));
    let sent = vec![7; 5 * SLOT_BYTES];
    let mut reader = ThrottledReader::new(&sent[..], Arc::clone(&throttle));
    let mut read = Vec::new();
    let began = Instant::now();
    reader.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, sent);
    assert!(began.elapsed() > Duration::from_millis(50), "it did not wait for slots");
}

#[test]
fn on_a_shared_connection_only_the_requests_of_the_failing_source_are_throttled() {
    let throttles = ReadThrottles::new(100);
    let proxy = throttles.of(OTHER, true);
    let direct = throttles.of(ONE, false);
    (0..5).for_each(|_| proxy.failed(ONE));
    assert!(!proxy.is_throttled(ONE), "a burst is free");
    (0..100).for_each(|_| proxy.failed(ONE));
    assert!(proxy.is_throttled(ONE) && !proxy.is_throttled(OTHER));
    assert_eq!(proxy.take_slot(), Slot::Always, "it carries the requests of others");
    direct.failed(ONE);
    assert!(!direct.is_throttled(ONE) && matches!(direct.take_slot(), Slot::In(_)));
    direct.succeeded();
    assert!(direct.is_throttled(ONE) && direct.take_slot() == Slot::Always);
}
