//! A pace for log lines of which there may be thousands a second.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Interval of the lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one event in ten seconds be logged, and counts the others.
#[derive(Debug, Default)]
pub struct LogPace(Mutex<Pace>);

#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    /// Events since then, which were not logged.
    not_logged: u64,
}

impl LogPace {
    /// How many events were not logged since the last one that was; `None` if this one is not to be
    /// logged either.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            pace.not_logged += 1;
            return None;
        }
        pace.last = Some(now);
        Some(std::mem::take(&mut pace.not_logged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_in_ten_seconds_is_logged_with_the_number_of_the_others() {
        let (pace, start) = (LogPace::default(), Instant::now());
        let after = |seconds| pace.take(start + Duration::from_secs(seconds));
        assert_eq!(after(0), Some(0));
        assert_eq!((after(1), after(9)), (None, None));
        assert_eq!((after(10), after(11), after(25)), (Some(2), None, Some(1)));
    }
}
