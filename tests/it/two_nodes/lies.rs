//! That each kind of lie is found, and that what can be true is let pass: histories made by hand.

use tonic::Code;

use super::{
    history::{Asked, Call, Moment, Told},
    judge::{Lie, judge, trail},
};

/// Milliseconds, as histories are written here.
const MS: Moment = 1_000_000;

const ACTIVE: Told = Told::Active;
const INACTIVE: Told = Told::Inactive;
const DONE: Told = Told::Done;
const REFUSED: Told = Told::Refused;
const UNKNOWN: Told = Told::Failed(Code::Unavailable);

const ASK: Asked = Asked::Introspect { token: 0 };
const REVOKE: Asked = Asked::Revoke { token: 0 };
const DISABLE: Asked = Asked::Disable { client: 0 };
const ENABLE: Asked = Asked::Enable { client: 0 };
const DELETE: Asked = Asked::Delete { client: 0 };
const RETIRE: Asked = Asked::Retire { secret: 0 };
const BURN: Asked = Asked::Burn { secret: 0 };

/// Secret 1 is that of a resource server which nobody touches, secret 0 the client's.
fn asked_by(asked: Asked) -> Option<u32> {
    match asked {
        Asked::Introspect { .. } => Some(1),
        Asked::Issue | Asked::Revoke { .. } => Some(0),
        _ => None,
    }
}

/// The lies in a history that goes on from a client that was made and given token 0 by 100 ms.
fn lies(then: &[(Asked, Told, Moment, Moment)]) -> Vec<Lie> {
    let create = |client| Asked::Create { client, secret: client, lifetime: 3_600 };
    let first = [
        (create(1), DONE, 0, 10),
        (create(0), DONE, 10, 20),
        (Asked::Issue, Told::Issued { token: 0 }, 90, 100),
    ];
    let mut calls: Vec<Call> = [&first, then]
        .concat()
        .into_iter()
        .map(|(asked, told, began, ended)| {
            let (caller, began, ended) = (asked_by(asked), began * MS, ended * MS);
            Call { node: None, caller, asked, told, began, ended }
        })
        .collect();
    calls.sort_by_key(|call| call.began);
    let verdict = judge(&calls, 10_000 * MS);
    for (_, call) in &verdict.lies {
        assert!(trail(&calls, *call, &[]).contains("<== cannot be true"));
    }
    verdict.lies.into_iter().map(|(lie, _)| lie).collect()
}

#[test]
fn an_acknowledged_token_that_is_inactive_is_lost() {
    assert_eq!(lies(&[(ASK, INACTIVE, 101, 110)]), [Lie::Lost]);
    assert_eq!(lies(&[(ASK, ACTIVE, 101, 110)]), []);
    // Nobody had it before it was acknowledged.
    assert_eq!(lies(&[(ASK, INACTIVE, 99, 110)]), []);
    for end in [REVOKE, DISABLE, DELETE, BURN] {
        for told in [DONE, UNKNOWN] {
            assert_eq!(lies(&[(ASK, INACTIVE, 101, 119), (end, told, 120, 130)]), [Lie::Lost]);
            assert_eq!(lies(&[(end, told, 120, 130), (ASK, INACTIVE, 110, 121)]), []);
            assert_eq!(lies(&[(end, told, 120, 130), (ASK, INACTIVE, 900, 901)]), []);
        }
    }
    // A retired secret leaves its tokens alone, and so does a revocation that was turned away.
    assert_eq!(lies(&[(RETIRE, DONE, 120, 130), (ASK, INACTIVE, 140, 150)]), [Lie::Lost]);
    let turned_away = [(RETIRE, DONE, 105, 110), (REVOKE, REFUSED, 120, 130)];
    assert_eq!(lies(&[&turned_away[..], &[(ASK, INACTIVE, 140, 150)]].concat()), [Lie::Lost]);
}

#[test]
fn a_token_that_is_active_after_its_acknowledged_end_is_found() {
    for end in [REVOKE, DISABLE, DELETE, BURN] {
        assert_eq!(lies(&[(end, DONE, 120, 130), (ASK, ACTIVE, 131, 132)]), [Lie::DeadAndActive]);
        assert_eq!(lies(&[(end, DONE, 120, 130), (ASK, ACTIVE, 129, 900)]), []);
        assert_eq!(lies(&[(end, UNKNOWN, 120, 130), (ASK, ACTIVE, 131, 900)]), []);
        // The first acknowledgement counts, whatever was asked before or later.
        let again = [(end, UNKNOWN, 120, 130), (end, DONE, 140, 150), (end, UNKNOWN, 160, 170)];
        assert_eq!(lies(&[&again[..], &[(ASK, ACTIVE, 149, 151)]].concat()), []);
        let after = [&again[..], &[(ASK, ACTIVE, 180, 190)]].concat();
        assert_eq!(lies(&after), [Lie::DeadAndActive]);
    }
    let expired = 3_600_100;
    assert_eq!(lies(&[(ASK, ACTIVE, expired + 200, expired + 201)]), [Lie::DeadAndActive]);
    assert_eq!(lies(&[(ASK, ACTIVE, expired - 1, expired + 1)]), []);
    assert_eq!(lies(&[(ASK, INACTIVE, expired - 1, expired + 1)]), []);
    assert_eq!(lies(&[(ASK, INACTIVE, expired - 500, expired - 400)]), [Lie::Lost]);
}

#[test]
fn a_client_that_is_disabled_and_enabled_is_judged_by_spans() {
    let switches = [(DISABLE, DONE, 200, 210), (ENABLE, DONE, 300, 310)];
    let told = |told, began, ended| lies(&[&switches[..], &[(ASK, told, began, ended)]].concat());
    assert_eq!(told(INACTIVE, 190, 199), [Lie::Lost]);
    assert_eq!(told(INACTIVE, 190, 200), []);
    assert_eq!(told(ACTIVE, 205, 299), []);
    assert_eq!(told(ACTIVE, 211, 299), [Lie::DeadAndActive]);
    assert_eq!(told(ACTIVE, 211, 300), []);
    assert_eq!(told(INACTIVE, 299, 320), []);
    assert_eq!(told(INACTIVE, 310, 320), []);
    assert_eq!(told(INACTIVE, 311, 320), [Lie::Lost]);
    // An answer that began while it was enabled and ended while it was enabled, with a time
    // between in which it was not.
    assert_eq!(told(INACTIVE, 150, 400), []);
}

#[test]
fn a_change_of_unknown_outcome_may_come_late() {
    let enabled_perhaps = [(DISABLE, DONE, 200, 210), (ENABLE, UNKNOWN, 300, 310)];
    let again = [(DISABLE, DONE, 400, 410)];
    for told in [ACTIVE, INACTIVE] {
        assert_eq!(lies(&[&enabled_perhaps[..], &[(ASK, told, 320, 330)]].concat()), []);
        let late = [&enabled_perhaps[..], &again[..], &[(ASK, told, 420, 430)]].concat();
        assert_eq!(lies(&late), []);
    }
    let sooner = [&enabled_perhaps[..], &[(ASK, ACTIVE, 220, 230)]].concat();
    assert_eq!(lies(&sooner), [Lie::DeadAndActive]);
    // One that was asked for before the other state was ever left changes nothing.
    let disabled_twice = [(DISABLE, UNKNOWN, 200, 210), (DISABLE, DONE, 220, 230)];
    let after = [&disabled_twice[..], &[(ASK, ACTIVE, 240, 250)]].concat();
    assert_eq!(lies(&after), [Lie::DeadAndActive]);
    let but_enabled = [&disabled_twice[..], &[(ENABLE, DONE, 300, 310)]].concat();
    assert_eq!(lies(&[&but_enabled[..], &[(ASK, INACTIVE, 320, 330)]].concat()), []);
}

#[test]
fn a_caller_that_is_let_in_after_its_end_is_found() {
    let issued = Told::Issued { token: 1 };
    for end in [DISABLE, DELETE, RETIRE, BURN] {
        for (asked, told) in [(Asked::Issue, issued), (REVOKE, DONE)] {
            assert_eq!(lies(&[(end, DONE, 120, 130), (asked, told, 131, 140)]), [Lie::Admitted]);
            assert_eq!(lies(&[(end, DONE, 120, 130), (asked, told, 130, 140)]), []);
            assert_eq!(lies(&[(end, UNKNOWN, 120, 130), (asked, told, 131, 140)]), []);
        }
    }
    // Any answer but a refusal says that the caller was let in, and a failure says nothing.
    assert_eq!(lies(&[(DELETE, DONE, 120, 130), (REVOKE, UNKNOWN, 131, 140)]), []);
}

#[test]
fn a_caller_that_is_turned_away_without_a_reason_is_found() {
    assert_eq!(lies(&[(Asked::Issue, REFUSED, 120, 130)]), [Lie::TurnedAway]);
    assert_eq!(lies(&[(ASK, REFUSED, 120, 130)]), [Lie::TurnedAway]);
    for end in [DISABLE, DELETE, RETIRE, BURN] {
        let before = (Asked::Issue, REFUSED, 110, 119);
        assert_eq!(lies(&[before, (end, UNKNOWN, 120, 130)]), [Lie::TurnedAway]);
        let during = (Asked::Issue, REFUSED, 110, 121);
        assert_eq!(lies(&[during, (end, UNKNOWN, 120, 130)]), []);
    }
    let back = [(DISABLE, DONE, 120, 130), (ENABLE, DONE, 140, 150)];
    let refused =
        |began, ended| lies(&[&back[..], &[(Asked::Issue, REFUSED, began, ended)]].concat());
    assert_eq!(refused(149, 160), []);
    assert_eq!(refused(151, 160), [Lie::TurnedAway]);
}

#[test]
fn a_registry_that_forgot_is_found() {
    assert_eq!(lies(&[(DISABLE, Told::Missing, 120, 130)]), [Lie::Missing]);
    assert_eq!(lies(&[(RETIRE, Told::Missing, 120, 130)]), [Lie::Missing]);
    assert_eq!(lies(&[(DELETE, UNKNOWN, 120, 130), (DELETE, Told::Missing, 140, 150)]), []);
}

#[test]
fn nodes_that_differ_at_rest_are_found() {
    let end = (REVOKE, UNKNOWN, 120, 130);
    let at_rest = |one, other| [end, (ASK, one, 10_001, 10_002), (ASK, other, 10_003, 10_004)];
    assert_eq!(lies(&at_rest(ACTIVE, INACTIVE)), [Lie::Undecided]);
    assert_eq!(lies(&at_rest(INACTIVE, ACTIVE)), [Lie::Undecided]);
    assert_eq!(lies(&at_rest(ACTIVE, ACTIVE)), []);
    assert_eq!(lies(&at_rest(INACTIVE, UNKNOWN)), []);
    let before = [end, (ASK, ACTIVE, 9_000, 9_001), (ASK, INACTIVE, 10_003, 10_004)];
    assert_eq!(lies(&before), []);
}

#[test]
fn answers_about_something_else_and_failures_for_good_are_found() {
    assert_eq!(lies(&[(ASK, Told::Garbled, 120, 130)]), [Lie::Garbled]);
    assert_eq!(lies(&[(ASK, Told::Fault(Code::Internal), 120, 130)]), [Lie::Dishonest]);
    assert_eq!(lies(&[(ASK, UNKNOWN, 120, 130)]), []);
}
