//! The receive clock: wall anchor + monotonic time, so that it never runs back within a process.
//!
//! Once a second the anchor is compared with the wall clock. A difference up to 100 ms is slewed at no
//! more than 500 ppm. A larger one (sleep, a step of NTP) is a clock step: forward at once, backward by
//! running at half speed until the wall has caught up. It never stands still: what is decided by arrival
//! time, such as the close of a bar, must not wait for as long as the step was wide. The core gets its
//! readings from outside and is tested without waiting.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A larger difference than this is a step, nanoseconds.
pub const STEP_NS: i64 = 100_000_000;
/// Slewing changes the rate by at most this: 500 ppm, as the kernel does.
pub const SLEW_PPM: i64 = 500;

/// The pure part: monotonic and wall readings in, wall time out. All in nanoseconds.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// Wall time at `mono`.
    wall: i64,
    mono: i64,
    /// Correction still to be made, spread over time at [`SLEW_PPM`].
    slew: i64,
    /// The latest time given out, and when: later ones are never before it.
    last: i64,
    last_mono: i64,
}

impl Anchor {
    pub fn new(mono: i64, wall: i64) -> Self {
        Self {
            wall,
            mono,
            slew: 0,
            last: wall,
            last_mono: mono,
        }
    }

    /// The time at this monotonic reading; never before an earlier answer.
    #[inline]
    pub fn now(&mut self, mono: i64) -> i64 {
        let passed = (mono - self.last_mono).max(0);
        self.last_mono = self.last_mono.max(mono);
        self.last = self.reckon(mono).max(self.last + passed / 2);
        self.last
    }

    /// Time without the promise not to run back.
    fn reckon(&self, mono: i64) -> i64 {
        let elapsed = (mono - self.mono).max(0);
        let most = elapsed / (1_000_000 / SLEW_PPM);
        self.wall + elapsed + self.slew.clamp(-most, most)
    }

    /// Compares with the wall clock; to be called about once a second. Returns the size of a clock step
    /// (positive: forward) or `None` when there was none.
    pub fn compare(&mut self, mono: i64, wall: i64) -> Option<i64> {
        let reckoned = self.reckon(mono);
        let difference = wall - reckoned;
        self.mono = mono;
        if difference.abs() > STEP_NS {
            self.wall = wall;
            self.slew = 0;
            return Some(difference);
        }
        self.wall = reckoned;
        self.slew = difference;
        None
    }
}

/// The clock of a process.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    anchor: Anchor,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            anchor: Anchor::new(0, wall_ns()),
        }
    }

    /// UTC nanoseconds since the epoch, never before an earlier answer.
    pub fn now(&mut self) -> i64 {
        let mono = self.mono();
        self.anchor.now(mono)
    }

    /// Nanoseconds since this clock was made: for intervals and deadlines.
    pub fn mono(&self) -> i64 {
        self.start.elapsed().as_nanos() as i64
    }

    /// Compares with the wall clock; about once a second. The size of a step, where there was one.
    pub fn compare(&mut self) -> Option<i64> {
        let mono = self.mono();
        self.anchor.compare(mono, wall_ns())
    }
}

/// The wall clock, UTC nanoseconds since the epoch.
pub fn wall_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_small_difference_is_slewed_at_no_more_than_500_ppm() {
        let mut anchor = Anchor::new(0, 1_000 * S);
        assert_eq!(anchor.compare(S, 1_001 * S + 80_000_000), None); // the wall is 80 ms ahead
        assert_eq!(anchor.now(S), 1_001 * S);
        assert_eq!(anchor.now(2 * S), 1_002 * S + 500_000);
        let mut mono = S;
        for _ in 0..160 {
            mono += S;
            assert_eq!(anchor.compare(mono, 1_000 * S + mono + 80_000_000), None);
        }
        assert_eq!(anchor.now(mono), 1_000 * S + mono + 80_000_000); // 80 ms are caught up in 160 s
    }

    #[test]
    fn a_step_forward_is_taken_at_once_and_told() {
        let mut anchor = Anchor::new(0, 1_000 * S);
        assert_eq!(anchor.compare(S, 4_601 * S), Some(3_600 * S));
        assert_eq!(anchor.now(S), 4_601 * S);
    }

    #[test]
    fn a_step_backward_runs_at_half_speed_until_caught_up() {
        let mut anchor = Anchor::new(0, 10_000 * S);
        assert_eq!(anchor.now(S), 10_001 * S);
        assert_eq!(anchor.compare(S, 6_401 * S), Some(-3_600 * S));
        assert_eq!(anchor.now(3 * S), 10_002 * S);
        assert_eq!(anchor.now(3_601 * S), 11_801 * S);
        // the wall agrees with what is reckoned behind the slow clock: no second step is told
        assert_eq!(anchor.compare(3_601 * S, 10_001 * S), None);
        assert_eq!(anchor.now(7_201 * S), 13_601 * S);
        assert_eq!(anchor.now(7_202 * S), 13_602 * S); // caught up: at full speed again
    }

    proptest! {
        /// G01: whatever the wall does, time never runs back, and a step is told exactly when the
        /// difference is over 100 ms.
        #[test]
        fn never_runs_back(steps in proptest::collection::vec((1i64..3 * S, -2 * S..2 * S), 1..200)) {
            let mut anchor = Anchor::new(0, 1_000_000 * S);
            let (mut mono, mut wall, mut last) = (0, 1_000_000 * S, i64::MIN);
            for (elapsed, jump) in steps {
                mono += elapsed;
                // most comparisons see a small drift, some a step
                wall += elapsed + if jump % 5 == 0 { jump } else { jump / 1_000 };
                let before = anchor.reckon(mono);
                let told = anchor.compare(mono, wall);
                prop_assert_eq!(told.is_some(), (wall - before).abs() > STEP_NS);
                for part in 0..4 {
                    let now = anchor.now(mono + part * elapsed / 8);
                    prop_assert!(now >= last);
                    last = now;
                }
            }
        }
    }

    #[test]
    fn the_process_clock_runs() {
        let mut clock = Clock::new();
        let (one, two) = (clock.now(), clock.now());
        assert!(two >= one && (wall_ns() - two).abs() < 10 * S);
        assert_eq!(clock.compare(), None);
    }
}
