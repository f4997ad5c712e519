//! The meter of a client, at times that the test sets.

use proptest::prelude::*;

use super::*;
use crate::domain::QuotaLimit;

const HOUR: Duration = Duration::from_hours(1);

/// Long after the start of the machine.
const START: Duration = Duration::from_hours(1_000);

fn quota(tokens_per_second: u32, burst: u32, live_tokens: u32) -> Quota {
    let limit = |number: u32| QuotaLimit::new(number.into()).unwrap();
    Quota {
        tokens_per_second: limit(tokens_per_second),
        burst: limit(burst),
        live_tokens: limit(live_tokens),
    }
}

/// The last moment before this one.
fn almost(moment: Duration) -> Duration {
    moment.saturating_sub(Duration::from_nanos(1))
}

#[test]
fn a_burst_is_free_then_tokens_come_at_the_rate_and_the_wait_is_honest() {
    let (mut meter, quota) = (Meter::default(), quota(10, 5, 1_000_000));
    let mut remaining = Vec::new();
    for _ in 0..5 {
        let taken = meter.take(START, quota, HOUR);
        assert!(taken.exceeded.is_none());
        remaining.push(taken.state.rate.remaining);
    }
    assert_eq!(remaining, [4, 3, 2, 1, 0]);
    let mut now = START;
    for _ in 0..20 {
        let (kind, wait) = meter.take(now, quota, HOUR).exceeded.unwrap();
        assert_eq!((kind, wait), (QuotaKind::Rate, Duration::from_millis(100)));
        assert!(meter.take(almost(now + wait), quota, HOUR).exceeded.is_some());
        now += wait;
        assert!(meter.take(now, quota, HOUR).exceeded.is_none(), "the wait is over");
    }
    let full = meter.take(now + Duration::from_mins(1), quota, HOUR).state.rate;
    assert_eq!((full.remaining, full.window), (4, Duration::from_millis(500)));
}

#[test]
fn the_ceiling_of_live_tokens_holds_and_frees_what_has_expired() {
    let (mut meter, quota) = (Meter::default(), quota(1_000_000, 1_000_000, 30));
    for _ in 0..30 {
        assert!(meter.take(START, quota, HOUR).exceeded.is_none());
    }
    let (kind, wait) = meter.take(START, quota, HOUR).exceeded.unwrap();
    assert_eq!(kind, QuotaKind::Live);
    assert!((HOUR..=HOUR + HOUR / 15).contains(&wait), "{wait:?}");
    assert!(meter.take(almost(START + wait), quota, HOUR).exceeded.is_some());
    assert!(meter.take(START + wait, quota, HOUR).exceeded.is_none());
}

#[test]
fn a_raised_limit_applies_at_once_and_a_changed_lifetime_forgets_no_token() {
    let mut meter = Meter::default();
    assert!(meter.take(START, quota(1, 1, 1), HOUR).exceeded.is_none());
    assert!(meter.take(START, quota(1, 1, 1), HOUR).exceeded.is_some());
    assert!(meter.take(START, quota(1_000, 100, 3), HOUR).exceeded.is_none());
    let minute = Duration::from_mins(1);
    let taken = meter.take(START, quota(1_000, 100, 3), minute);
    assert_eq!(taken.state.live.remaining, 0, "those of the longer lifetime count");
    assert_eq!(
        meter.take(START, quota(1_000, 100, 3), minute).exceeded.unwrap().0,
        QuotaKind::Live
    );
}

#[test]
fn each_share_is_reported_once_in_a_window() {
    let (mut meter, quota) = (Meter::default(), quota(1, 10, 1_000));
    let mut reports = |at: Duration, times: usize| {
        let taken = (0..times).map(|_| meter.take(at, quota, HOUR).reached[0]);
        taken.collect::<Vec<_>>()
    };
    let expected = [None, None, None, None, None, Some(0), None, Some(1), None, Some(2)];
    assert_eq!(reports(START, 10), expected);
    assert_eq!(reports(START + Duration::from_secs(30), 40), [None; 40]);
    let next = reports(START + REPORT_WINDOW, 10);
    assert_eq!(next.iter().flatten().count(), 3, "of the next window");
}

proptest! {
    /// Against a count of every token: no more live ones than the ceiling, and no refusal while
    /// fewer are alive than the ceiling less those of a fifteenth of a lifetime.
    #[test]
    fn the_count_of_live_tokens_errs_by_a_fifteenth_of_a_lifetime(
        steps in prop::collection::vec(0..4_000_u64, 1..400), ceiling in 1..40_u32,
    ) {
        let (mut meter, quota) = (Meter::default(), quota(1_000_000, 1_000_000, ceiling));
        let lifetime = Duration::from_secs(15);
        let (mut now, mut issued) = (START, Vec::new());
        for step in steps {
            now += Duration::from_millis(step);
            let within = |span| issued.iter().filter(|at| now.abs_diff(**at) < span).count();
            let (live, counted) = (within(lifetime), within(lifetime + lifetime / 15));
            if meter.take(now, quota, lifetime).exceeded.is_none() {
                prop_assert!(live < ceiling as usize);
                issued.push(now);
            } else {
                prop_assert!(counted >= ceiling as usize);
            }
        }
    }

    /// In any span of time no more than the burst and what the rate adds.
    #[test]
    fn the_bucket_never_gives_more_than_burst_and_rate(
        steps in prop::collection::vec(0..300_u64, 1..400), burst in 1..20_u32,
    ) {
        let (mut meter, quota) = (Meter::default(), quota(10, burst, 1_000_000));
        let (mut now, mut issued) = (START, Vec::new());
        for step in steps {
            now += Duration::from_millis(step);
            if meter.take(now, quota, HOUR).exceeded.is_none() {
                issued.push(now);
            }
        }
        for (first, begun) in issued.iter().enumerate() {
            for (last, ended) in issued.iter().enumerate().skip(first) {
                let most = u128::from(burst) + ended.abs_diff(*begun).as_millis() / 100;
                prop_assert!((last - first + 1) as u128 <= most);
            }
        }
    }
}
