//! Tests of who makes way for whom.

use super::*;
use crate::{
    config::Proxies,
    net::{open_request::OpenRequest, read_throttle::ReadThrottles},
    request::Standing,
    telemetry::Readings,
};

fn source(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn listener(max_connections: u32, max_open_requests: u32) -> Arc<OpenConnections> {
    let limits = Limits { max_connections, max_open_requests, ..Limits::default() };
    let metrics = Arc::new(Metrics::new(Readings::default));
    OpenConnections::new(&limits, ListenerKind::Grpc, metrics, Arc::default())
}

fn is_evicted(entry: &Entry) -> bool {
    entry.activity.is_leaving()
}

fn begin(entry: &Entry, requests: usize) -> Vec<OpenRequest> {
    let source = source(9);
    let throttle = ReadThrottles::new(0).of(source, false);
    let begin = || OpenRequest::begin(&entry.listener, &entry.activity, &throttle, source);
    (0..requests).map(|_| begin()).collect()
}

#[test]
fn the_longest_idle_stranger_of_the_heaviest_source_makes_way() {
    let open = listener(8, 8);
    let single = open.enter(source(1));
    let [first, second, known] = [(); 3].map(|()| open.enter(source(2)));
    known.activity.note(Standing::Authenticated);
    let before = first.activity.last();
    while first.activity.last() == before {
        drop(begin(&first, 1));
    }
    open.make_room();
    assert!(is_evicted(&second), "it was idle for longest");
    drop(second);
    open.make_room();
    assert!(is_evicted(&single));
    open.make_room();
    assert!(!is_evicted(&first), "no more until that one has ended");
    drop(single);
    open.make_room();
    assert!(is_evicted(&first));
    drop(first);
    open.make_room();
    assert!(!is_evicted(&known), "a call succeeded on it");
    assert!(open.saturation.is_full());
}

#[test]
fn a_few_places_are_kept_free_of_idle_strangers() {
    let open = listener(32, 32);
    let [idle, known, busy] = [1, 2, 3].map(|last| open.enter(source(last)));
    known.activity.note(Standing::Authenticated);
    let _busy = begin(&busy, 1);
    open.keep_reserve(2);
    assert!(!is_evicted(&idle), "two of 32 are free, which is enough");
    open.keep_reserve(1);
    assert!(is_evicted(&idle));
    drop(idle);
    open.keep_reserve(0);
    assert!(!is_evicted(&known) && !is_evicted(&busy) && !open.saturation.is_full());
}

#[test]
fn an_open_request_protects_unless_its_source_is_heavy() {
    let open = listener(8, 16);
    let [few, idle] = [1, 3].map(|last| open.enter(source(last)));
    let _few = begin(&few, 1);
    open.make_room();
    assert!(is_evicted(&idle) && !is_evicted(&few));
    drop(idle);
    let many = [(); 3].map(|()| open.enter(source(2)));
    let _many: Vec<_> = many.iter().map(|entry| begin(entry, 1)).collect();
    open.make_room();
    assert!(!is_evicted(&few) && many.iter().any(is_evicted));
}

#[test]
fn without_an_idle_one_a_stranger_makes_way_amid_a_request() {
    let open = listener(10, 20);
    let entries: Vec<_> = (0..10).map(|number| open.enter(source(number % 5))).collect();
    let _requests: Vec<_> = entries.iter().map(|entry| begin(entry, 1)).collect();
    open.make_room();
    assert_eq!(entries.iter().filter(|entry| is_evicted(entry)).count(), 1);
}

#[test]
fn a_source_with_more_than_half_of_all_is_never_safe() {
    let open = listener(4, 8);
    let mut known: Vec<_> = [1, 1, 1, 2].map(|last| open.enter(source(last))).into();
    for one in &known {
        one.activity.note(Standing::Authenticated);
    }
    open.make_room();
    assert!(known[..3].iter().any(is_evicted));
    known.retain(|one| !is_evicted(one));
    open.make_room();
    assert_eq!(known.len(), 3);
    assert!(!known.iter().any(is_evicted), "two of four are not more than half");
}

#[test]
fn the_stranger_with_the_most_open_requests_makes_way_for_another_request() {
    let open = listener(8, 8);
    let [light, heavy, newcomer] = [1, 2, 3].map(|last| open.enter(source(last)));
    let _light = begin(&light, 2);
    let heavy_requests = begin(&heavy, 6);
    let served = begin(&newcomer, 2);
    assert!(served.iter().all(|request| request.is_admitted));
    assert!(is_evicted(&heavy) && !is_evicted(&light), "one connection, until its requests end");
    drop(heavy_requests);
    drop(heavy);
    assert!(begin(&newcomer, 4).iter().all(|request| request.is_admitted));
    assert!(!is_evicted(&light));
}

#[test]
fn in_place_of_a_closed_connection_no_more_requests_begin_than_it_had() {
    let open = listener(8, 8);
    let [light, heavy, newcomer] = [1, 2, 3].map(|last| open.enter(source(last)));
    let _light = begin(&light, 2);
    let _heavy = begin(&heavy, 6);
    let _in_their_place = begin(&newcomer, 6);
    assert!(is_evicted(&heavy) && !is_evicted(&newcomer));
    let _one_more = begin(&newcomer, 1);
    assert!(is_evicted(&newcomer) && !is_evicted(&light), "eight stay already");
}

#[test]
fn without_a_stranger_a_request_too_many_is_refused() {
    let open = listener(8, 8);
    let known = [1, 2, 3].map(|last| open.enter(source(last)));
    for one in &known {
        one.activity.note(Standing::Authenticated);
    }
    let _open: Vec<_> = known[..2].iter().map(|one| begin(one, 4)).collect();
    assert!(!begin(&known[2], 1)[0].is_admitted);
    assert!(open.saturation.is_full() && !known.iter().any(is_evicted));
    drop(begin(&known[0], 1));
    known[0].activity.note(Standing::Unfinished);
    assert!(begin(&known[2], 1)[0].is_admitted, "a message that did not arrive costs the trust");
    assert!(is_evicted(&known[0]));
}

#[test]
fn a_trusted_proxy_has_no_share_and_makes_way_last() {
    let open = listener(8, 8);
    let trusted_proxy = Some("192.0.2.1".parse().unwrap());
    let proxies = Arc::new(Proxies { trusted_proxy, ..Proxies::default() });
    let proxy = Peer::new((source(1), 1).into(), None, &proxies);
    let mut shared: Vec<_> = (0..5).map(|_| open.enter(source(1))).collect();
    for entry in &shared {
        entry.belongs_to(&proxy);
    }
    let _busy: Vec<_> = shared[1..].iter().map(|entry| begin(entry, 1)).collect();
    let stranger = open.enter(source(2));
    open.make_room();
    assert!(is_evicted(&stranger) && !shared.iter().any(is_evicted));
    drop(stranger);
    open.make_room();
    assert!(is_evicted(&shared[0]), "nothing was open on it");
    drop(shared.remove(0));
    open.make_room();
    assert!(!shared.iter().any(is_evicted), "the others are in use");
}

#[test]
fn a_source_with_a_few_is_not_worse_than_many_with_one_each() {
    let open = listener(128, 128);
    let attackers: Vec<_> = (0..127).map(|last| open.enter(source(last))).collect();
    let _requests: Vec<_> = attackers.iter().map(|entry| begin(entry, 1)).collect();
    let honest = [(); 2].map(|()| open.enter(source(200)));
    assert!(honest.iter().all(|entry| begin(entry, 1)[0].is_admitted));
    let both: Vec<_> = honest.iter().map(|entry| begin(entry, 1)).collect();
    assert!(both.iter().all(|requests| requests[0].is_admitted));
    assert!(attackers.iter().any(is_evicted) && !honest.iter().any(is_evicted));

    let idle = listener(128, 128);
    let attackers: Vec<_> = (0..126).map(|last| idle.enter(source(last))).collect();
    let honest = [(); 2].map(|()| idle.enter(source(200)));
    idle.make_room();
    assert!(attackers.iter().any(is_evicted) && !honest.iter().any(is_evicted));
}
