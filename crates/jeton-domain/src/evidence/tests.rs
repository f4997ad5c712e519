//! Verdicts, and that a gap is never taken for disuse.

use super::*;
use proptest::prelude::*;

const DAY: Duration = Duration::from_hours(24);

fn at(hours: i64) -> Timestamp {
    Timestamp::from_unix_micros(hours * 3_600_000_000)
}

const NOW: i64 = 1_000;

/// The beginning of the evidence.
fn beginning(hours: i64) -> Gap {
    Gap { since: Timestamp::MIN, until: at(hours) }
}

/// A node that has written after the question.
fn written() -> Recorder {
    Recorder::Counting { flushed_at: at(NOW).plus(Duration::from_secs(2)), is_there: true }
}

fn evidence(gaps: &[Gap], recorders: &[Recorder]) -> Evidence {
    Evidence::new(at(NOW), gaps.to_vec(), recorders)
}

fn verdict(last_used: Option<i64>, successor: Successor, evidence: &Evidence) -> Verdict {
    Advice::new(last_used.map(at), successor, evidence, DAY).verdict
}

#[test]
fn each_verdict_is_given_for_its_reason() {
    use Successor::{None as Nobody, Unused, Used};
    let good = evidence(&[beginning(10)], &[written()]);
    for (last, successor, expected) in [
        (Some(NOW - 1), Used, Verdict::InUse),
        (Some(NOW - 1), Nobody, Verdict::InUse),
        (Some(NOW - 24), Used, Verdict::Safe),
        (None, Used, Verdict::Safe),
        (Some(NOW - 30), Nobody, Verdict::NoSuccessor),
        (Some(NOW - 30), Unused, Verdict::SuccessorUnused),
    ] {
        assert_eq!(verdict(last, successor, &good), expected, "{last:?} {successor:?}");
    }
    let young = evidence(&[beginning(NOW - 3)], &[written()]);
    assert_eq!(verdict(None, Used, &young), Verdict::TooEarly);
    let broken = Gap { since: at(NOW - 5), until: at(NOW - 4) };
    let broken = evidence(&[beginning(10), broken], &[written()]);
    assert_eq!(verdict(None, Used, &broken), Verdict::EvidenceGap);
    let long_ago = Gap { since: at(NOW - 50), until: at(NOW - 24) };
    let long_ago = evidence(&[beginning(10), long_ago], &[written()]);
    assert_eq!(verdict(None, Used, &long_ago), Verdict::Safe);
}

#[test]
fn a_node_that_has_not_written_since_the_question_leaves_a_gap() {
    let stale = |is_there| Recorder::Counting { flushed_at: at(NOW - 1), is_there };
    for (recorder, is_awaited) in
        [(stale(true), true), (stale(false), false), (Recorder::Mute { since: at(1) }, false)]
    {
        let evidence = evidence(&[beginning(10)], &[written(), recorder]);
        assert_eq!(verdict(None, Successor::Used, &evidence), Verdict::EvidenceGap);
        assert_eq!(evidence.is_awaited(DAY), is_awaited);
        assert_eq!(evidence.complete_since(), is_awaited.then_some(at(10)), "{recorder:?}");
    }
}

#[test]
fn the_age_is_that_of_the_node_that_is_the_longest_behind() {
    let behind = Recorder::Counting { flushed_at: at(NOW - 2), is_there: true };
    let evidence = evidence(&[], &[written(), behind]);
    assert_eq!(evidence.age(), Some(Duration::from_hours(2)));
}

#[test]
fn a_secret_is_safe_a_window_after_its_last_use_and_after_the_last_gap() {
    let gap = Gap { since: at(NOW - 5), until: at(NOW - 4) };
    let evidence = evidence(&[beginning(10), gap], &[written()]);
    let safe_from =
        |last: i64| Advice::new(Some(at(last)), Successor::Used, &evidence, DAY).safe_from;
    assert_eq!(safe_from(NOW - 2), Some(at(NOW + 22)));
    assert_eq!(safe_from(NOW - 9), Some(at(NOW + 20)));
    assert_eq!(safe_from(NOW - 30), Some(at(NOW + 20)));
}

proptest! {
    #[test]
    fn with_a_gap_in_the_window_a_secret_is_never_safe(
        last in proptest::option::of(0..NOW),
        window in 1..500_i64,
        ago in 0..500_i64,
        length in 1..500_i64,
        kind in 0..4,
    ) {
        prop_assume!(ago < window);
        let gap = Gap { since: at(NOW - ago - length), until: at(NOW - ago) };
        let (gaps, recorder) = match kind {
            0 => (vec![gap], written()),
            1 => (vec![], Recorder::Mute { since: gap.since }),
            2 => (vec![], Recorder::Counting { flushed_at: gap.since, is_there: true }),
            _ => (vec![], Recorder::Counting { flushed_at: gap.since, is_there: false }),
        };
        let evidence = evidence(&gaps, &[written(), recorder]);
        let window = Duration::from_hours(window.unsigned_abs());
        for successor in [Successor::None, Successor::Unused, Successor::Used] {
            let advice = Advice::new(last.map(at), successor, &evidence, window);
            prop_assert_ne!(advice.verdict, Verdict::Safe);
            prop_assert!(advice.safe_from.is_none_or(|moment| moment > at(NOW)));
        }
    }
}
