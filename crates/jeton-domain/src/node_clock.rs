//! The time of a node: the database's time, continued by the machine's monotonic clock.
//!
//! Nodes must agree on the time, or one honours a token that another calls expired. The wall clock
//! of a machine can be set at any moment and differs between machines; the database's clock is the
//! one that all nodes share. So a node reads it at each renewal of its lease and continues from
//! there by the monotonic clock. The database's clock must agree with at least one of two others:
//! the node's time as continued, or this machine's wall clock. Otherwise there is no telling which
//! is right, and the node gets no lease until they agree again.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{Clock, Timestamp};

/// Clocks that differ by less than this agree.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Offset of this machine's wall clock from the database's from which on a warning is logged.
const NOTABLE: Duration = Duration::from_millis(500);

/// Value of `base` while no time of a database is known.
const UNKNOWN: i64 = i64::MIN;

/// Clock of a node, which follows the database's time.
pub struct NodeClock {
    machine: Arc<dyn Clock>,
    /// The node's time minus the uptime, in microseconds.
    base: AtomicI64,
    /// Result of the last comparison of this machine's wall clock with the database's.
    offset: Mutex<Option<ClockOffset>>,
}

/// Offset of one clock from another, in microseconds: positive if it is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset(i64);

impl ClockOffset {
    /// The offset in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "nobody reads microseconds of centuries")]
        let micros = self.0 as f64;
        micros / 1_000_000.0
    }

    const fn is_within(self, tolerance: Duration) -> bool {
        (self.0.unsigned_abs() as u128) < tolerance.as_micros()
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "behind" } else { "ahead of" };
        write!(f, "{:.1} s {side}", self.seconds().abs())
    }
}

/// The database's clock agrees neither with the node's time nor with this machine's wall clock.
/// Holds the offset of the latter from the database's.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this machine's clock is {0} the database's: let NTP set both")]
pub struct ClocksDisagree(pub ClockOffset);

impl NodeClock {
    /// A clock that shows the time of `machine` until [`observe`](Self::observe) is called.
    #[must_use]
    pub const fn new(machine: Arc<dyn Clock>) -> Self {
        Self { machine, base: AtomicI64::new(UNKNOWN), offset: Mutex::new(None) }
    }

    /// Adjusts the clock to `database`, the time that the database returned for a request sent at
    /// `asked` and answered at `answered`, both by [`Clock::uptime`].
    ///
    /// # Errors
    /// If `database` agrees neither with this clock nor with the machine's. The clock is then left
    /// unchanged.
    pub fn observe(
        &self,
        asked: Duration,
        answered: Duration,
        database: Timestamp,
    ) -> Result<(), ClocksDisagree> {
        if !self.machine.can_be_corrected() {
            return Ok(());
        }
        // The database read its clock between `asked` and `answered`, so the true base lies within
        // these bounds.
        let told = database.unix_micros();
        let (least, most) =
            (told.saturating_sub(micros(answered)), told.saturating_sub(micros(asked)));
        let middle = least.midpoint(most);
        let machine =
            self.machine.now().unix_micros().saturating_sub(micros(self.machine.uptime()));
        let offset = ClockOffset(machine.saturating_sub(middle));
        self.note(offset);

        let base = self.base.load(Ordering::Acquire);
        let counted_on = ClockOffset(base.saturating_sub(middle));
        let agrees = base != UNKNOWN && counted_on.is_within(CLOCK_TOLERANCE);
        if agrees {
            self.base.store(base.clamp(least, most), Ordering::Release);
            return Ok(());
        }
        if !offset.is_within(CLOCK_TOLERANCE) {
            return Err(ClocksDisagree(offset));
        }
        if base != UNKNOWN {
            let by = -counted_on.seconds();
            tracing::warn!(by, "the clocks of this machine and of the database both jumped");
        }
        self.base.store(middle, Ordering::Release);
        Ok(())
    }

    /// Offset of this machine's wall clock from the database's at the last comparison, if any.
    #[must_use]
    pub fn offset(&self) -> Option<ClockOffset> {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, offset: ClockOffset) {
        let mut last = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let was_notable = last.is_some_and(|last| !last.is_within(NOTABLE));
        let is_notable = !offset.is_within(NOTABLE);
        *last = Some(offset);
        drop(last);
        if is_notable && !was_notable {
            tracing::warn!("this machine's clock is {offset} the database's: let NTP set both");
        } else if was_notable && !is_notable {
            tracing::info!("this machine's clock agrees with that of the database again");
        }
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        match self.base.load(Ordering::Acquire) {
            UNKNOWN => self.machine.now(),
            base => Timestamp::from_unix_micros(base.saturating_add(micros(self.machine.uptime()))),
        }
    }

    fn uptime(&self) -> Duration {
        self.machine.uptime()
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose clocks are what a test says.
    #[derive(Default)]
    struct Machine {
        now: AtomicI64,
        uptime: AtomicI64,
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_micros(self.now.load(Ordering::Relaxed))
        }

        fn uptime(&self) -> Duration {
            Duration::from_micros(self.uptime.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    const HOUR: i64 = 3_600_000_000;
    const SECOND: i64 = 1_000_000;
    const START: i64 = 500_000 * HOUR;

    /// Sets the time to `elapsed` after the start; the machine's clock is ahead by `machine`.
    fn pass(world: &Machine, elapsed: i64, machine: i64) {
        world.uptime.store(elapsed, Ordering::Relaxed);
        world.now.store(START + elapsed + machine, Ordering::Relaxed);
    }

    /// Lets the clock observe a database that is `ahead` of the true time, within a millisecond.
    fn tell(clock: &NodeClock, world: &Machine, ahead: i64) -> Result<(), ClocksDisagree> {
        let uptime = world.uptime();
        let told = START + micros(uptime) + ahead;
        let asked = uptime.saturating_sub(Duration::from_millis(1));
        clock.observe(asked, uptime, Timestamp::from_unix_micros(told))
    }

    fn error(clock: &NodeClock, world: &Machine) -> i64 {
        clock.now().unix_micros() - START - micros(world.uptime())
    }

    fn world() -> (Arc<Machine>, NodeClock) {
        let world = Arc::<Machine>::default();
        pass(&world, HOUR, 0);
        (Arc::clone(&world), NodeClock::new(world))
    }

    #[test]
    fn a_small_difference_is_the_machines_and_the_database_is_followed() {
        let (world, clock) = world();
        pass(&world, HOUR, 3 * SECOND);
        tell(&clock, &world, 0).unwrap();
        assert!(error(&clock, &world).abs() <= 1_000);
        assert!((clock.offset().unwrap().seconds() - 3.0).abs() < 0.01);
        pass(&world, 2 * HOUR, 3 * SECOND);
        assert!(error(&clock, &world).abs() <= 1_000, "it is counted on");
    }

    #[test]
    fn a_machine_whose_clock_is_set_goes_on_by_the_database() {
        for step in [31 * HOUR, -31 * HOUR, 6 * SECOND, -6 * SECOND] {
            let (world, clock) = world();
            tell(&clock, &world, 0).unwrap();
            pass(&world, 2 * HOUR, step);
            assert!(error(&clock, &world).abs() <= 1_000, "before the database was asked again");
            tell(&clock, &world, 0).unwrap();
            assert!(error(&clock, &world).abs() <= 1_000);
        }
    }

    #[test]
    fn a_database_whose_clock_is_set_is_not_believed() {
        for step in [31 * HOUR, -31 * HOUR, 6 * SECOND, -6 * SECOND] {
            let (world, clock) = world();
            tell(&clock, &world, 0).unwrap();
            pass(&world, 2 * HOUR, 0);
            tell(&clock, &world, step).unwrap_err();
            assert!(error(&clock, &world).abs() <= 1_000);
            tell(&clock, &world, 0).unwrap();
        }
    }

    #[test]
    fn two_clocks_that_are_set_together_are_believed() {
        let (world, clock) = world();
        tell(&clock, &world, 0).unwrap();
        pass(&world, 2 * HOUR, 31 * HOUR);
        tell(&clock, &world, 31 * HOUR).unwrap();
        assert!((error(&clock, &world) - 31 * HOUR).abs() <= 1_000);
    }

    #[test]
    fn a_node_that_starts_with_another_time_than_its_database_gets_none() {
        for ahead in [5 * SECOND + 2_000, -5 * SECOND - 2_000, 31 * HOUR] {
            let (world, clock) = world();
            pass(&world, HOUR, ahead);
            tell(&clock, &world, 0).unwrap_err();
        }
    }

    #[test]
    fn a_slow_answer_moves_the_time_no_further_than_it_must() {
        let (world, clock) = world();
        tell(&clock, &world, 0).unwrap();
        let before = error(&clock, &world);
        let uptime = world.uptime();
        let told = Timestamp::from_unix_micros(START + micros(uptime) - SECOND);
        clock.observe(uptime.saturating_sub(Duration::from_secs(2)), uptime, told).unwrap();
        assert_eq!(error(&clock, &world), before, "it lay within what was told");
    }
}
