//! Timestamps, and the trait through which the time is read.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

/// A moment in UTC, in microseconds since 1970. This is the resolution of Postgres, so a stored
/// value reads back unchanged. [`MIN`](Self::MIN) and [`MAX`](Self::MAX) stand for everything
/// beyond them, and arithmetic saturates there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every other moment: `-infinity` in Postgres.
    pub const MIN: Self = Self(i64::MIN);
    /// After every other moment: `infinity` in Postgres.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment `micros` microseconds after 1970.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since 1970, rounded down, as in a UUID of version 7.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since 1970, rounded down, as in OAuth responses.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The duration from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        u64::try_from(micros).map_or(Duration::ZERO, Duration::from_micros)
    }

    /// The moment `duration` after this one.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        self.moved(duration.as_micros().cast_signed())
    }

    /// The moment `duration` before this one.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        self.moved(-duration.as_micros().cast_signed())
    }

    /// Moves by `micros`. They cannot overflow: the longest duration has fewer than 2^85.
    fn moved(self, micros: i128) -> Self {
        let moved = i128::from(self.0) + micros;
        Self(i64::try_from(moved).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// For libraries that take the time of the system. A moment before 1970 becomes 1970.
impl From<Timestamp> for SystemTime {
    fn from(moment: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_micros(moment.0.max(0).cast_unsigned())
    }
}

/// RFC 3339 in UTC with whole seconds, for people and for `--json`. A year outside 0 to 9999 is
/// written with a sign and six digits, as ISO 8601 allows. `MIN` and `MAX` are written as in
/// Postgres: `-infinity` and `infinity`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MAX => return f.write_str("infinity"),
            Self::MIN => return f.write_str("-infinity"),
            _ => {}
        }
        let seconds = self.unix_seconds();
        let (year, month, day) = date(seconds.div_euclid(SECONDS_OF_DAY));
        let second = seconds.rem_euclid(SECONDS_OF_DAY);
        if (0..=9_999).contains(&year) {
            write!(f, "{year:04}")?;
        } else {
            write!(f, "{year:+07}")?;
        }
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

const SECONDS_OF_DAY: i64 = 86_400;

/// Year, month and day of a day number counted from 1970, in the Gregorian calendar without bounds;
/// the crate `time` supports only four-digit years. Years are counted from March within eras of 400
/// years, so that the leap day is the last day of its year.
const fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_ERA: i64 = 146_097;
    /// From 1 March of the year 0 to 1970.
    const DAYS_BEFORE_1970: i64 = 719_468;
    let days = days + DAYS_BEFORE_1970;
    let day_of_era = days.rem_euclid(DAYS_OF_ERA);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + 400 * days.div_euclid(DAYS_OF_ERA);
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// Source of the time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// The time since a moment that is fixed for this process. Unlike [`now`](Self::now), it is
    /// never set, and it continues while the process or the machine is suspended.
    fn uptime(&self) -> Duration;

    /// Whether the database's time may correct this clock. False for a clock that a test sets.
    fn can_be_corrected(&self) -> bool {
        true
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
        let now = OffsetDateTime::now_utc();
        let micros = i64::try_from(now.unix_timestamp_nanos().div_euclid(1_000));
        Timestamp(micros.unwrap_or(i64::MAX))
    }

    fn uptime(&self) -> Duration {
        // CLOCK_MONOTONIC of Linux stops while the machine is suspended; CLOCK_BOOTTIME does not.
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let uptime = clock_gettime(clock);
        Duration::new(uptime.tv_sec.try_into().unwrap_or(0), uptime.tv_nsec.try_into().unwrap_or(0))
    }
}

/// A clock for tests of expiry: `now` does not change until the test sets it.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    /// Nanoseconds by which the uptime is ahead of the system's.
    ahead: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.0), ahead: AtomicU64::new(0) }
    }

    /// Sets the clock, forwards or back. The uptime does not change.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::SeqCst);
    }

    /// Advances the uptime by `duration`, as if the machine had run for that much longer.
    pub fn run_for(&self, duration: Duration) {
        // In nanoseconds, because a clock that stops just short of a limit has not reached it.
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.ahead.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    /// Advances by itself, so that leases expire, plus the time added by `run_for`.
    fn uptime(&self) -> Duration {
        SystemClock.uptime() + Duration::from_nanos(self.ahead.load(Ordering::SeqCst))
    }

    fn can_be_corrected(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn time_never_runs_backwards() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_micros(4));
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let (min, max, now) = (Timestamp::MIN, Timestamp::MAX, Timestamp(7));
        let most = Duration::from_micros(i64::MAX.unsigned_abs());
        assert_eq!((max.since(min), min.since(max)), (most, Duration::ZERO));
        assert_eq!((now.since(min), max.since(now) + Duration::from_micros(7)), (most, most));
        for duration in [Duration::from_micros(1), Duration::MAX] {
            assert_eq!((max.plus(duration), min.minus(duration)), (max, min));
        }
        assert_eq!((min.plus(Duration::MAX), max.minus(Duration::MAX)), (max, min));
        assert_eq!((now.plus(Duration::ZERO), now.minus(Duration::ZERO)), (now, now));
        assert_eq!(min.unix_millis(), i64::MIN.div_euclid(1_000));
        assert_eq!(max.unix_seconds(), i64::MAX.div_euclid(1_000_000));
    }

    #[test]
    fn a_moment_reads_as_people_write_it() {
        let text = |seconds: i64| Timestamp(seconds * 1_000_000).to_string();
        assert_eq!(text(1_795_426_000), "2026-11-23T09:26:40Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(text(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(text(253_402_300_800), "+010000-01-01T00:00:00Z");
        // Where the time of Postgres begins: 4714 BC, which is -4713 because there is a year 0.
        assert_eq!(text(-210_866_803_200), "-004713-11-24T00:00:00Z");
        assert_eq!(Timestamp(i64::MAX - 1).to_string(), "+294247-01-10T04:00:54Z");
        assert_eq!(Timestamp(i64::MIN + 1).to_string(), "-290308-12-21T19:59:05Z");
        assert_eq!(Timestamp::MAX.to_string(), "infinity");
        assert_eq!(Timestamp::MIN.to_string(), "-infinity");
    }

    proptest! {
        /// Dates agree with the crate `time` within its range.
        #[test]
        fn dates_are_those_of_the_calendar(seconds in -377_705_116_800..=253_402_300_799_i64) {
            let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let (year, month, day) = moment.to_calendar_date();
            let expected = (i64::from(year), i64::from(u8::from(month)), i64::from(day));
            prop_assert_eq!(date(seconds.div_euclid(SECONDS_OF_DAY)), expected);
            let (hour, minute, second) = moment.to_hms();
            let expected = format!("T{hour:02}:{minute:02}:{second:02}Z");
            let text = Timestamp(seconds * 1_000_000).to_string();
            prop_assert!(text.ends_with(&expected), "{text}");
        }

        #[test]
        fn nothing_of_a_moment_panics(one: i64, other: i64) {
            let (one, other) = (Timestamp(one), Timestamp(other));
            let apart = one.since(other);
            prop_assert_eq!(apart.is_zero(), one <= other);
            prop_assert!(one.plus(apart) >= one && one.minus(apart) <= one);
            prop_assert!(!one.to_string().is_empty());
        }
    }
}
