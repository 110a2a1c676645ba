//! The time a session lives in. Its silences, pauses and deadlines are measured in it, so it must run as
//! the venue's own time runs: not with the wall clock, which may be set, and not while this process was
//! kept from running. What waited in the socket meanwhile would else be taken for silence of the venue.
//! Pure: monotonic and wall readings come from outside.

use wire::Record;

/// The loop of a connection turns every 100 ms. A turn so much later means that this process was stopped,
/// swapped out or starved, nanoseconds.
const LATE_NS: i64 = 1_000_000_000;

/// Session time of one connection: the wall's time at its opening, and from then on time in which the
/// process ran, as the monotonic clock counts it. It never runs back.
#[derive(Clone, Debug)]
pub struct Pulse {
    turned: i64,
    /// Session time − monotonic time.
    ahead: i64,
    now: i64,
}

impl Pulse {
    pub fn new(mono: i64, wall: i64) -> Self {
        Self {
            turned: mono,
            ahead: wall - mono,
            now: wall,
        }
    }

    /// The session's time at this turn of the loop.
    #[inline]
    pub fn turn(&mut self, mono: i64) -> i64 {
        let passed = mono - self.turned;
        if passed > LATE_NS {
            self.ahead -= passed;
        }
        self.turned = mono;
        self.now = mono + self.ahead;
        self.now
    }

    /// Gives the records of this turn the time `now` of the receive clock, and to those for which the venue
    /// named no time too.
    #[inline]
    pub fn stamp(&self, records: &mut [Record], now: i64) {
        if now == self.now {
            return;
        }
        for record in records {
            record.ts_recv = now;
            if record.ts_event == self.now {
                record.ts_event = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn time_in_which_the_process_did_not_run_does_not_count() {
        let mut pulse = Pulse::new(5 * S, 1_000 * S);
        assert_eq!(pulse.turn(5 * S + S / 10), 1_000 * S + S / 10);
        assert_eq!(pulse.turn(6 * S + S / 10), 1_001 * S + S / 10); // as late as may be
        assert_eq!(pulse.turn(66 * S + S / 10), 1_001 * S + S / 10); // a minute stopped
        assert_eq!(pulse.turn(66 * S + S / 5), 1_001 * S + S / 5);
    }

    #[test]
    fn records_bear_the_time_of_the_receive_clock() {
        let mut pulse = Pulse::new(0, 1_000 * S);
        let at = pulse.turn(S / 10);
        let mut records = [
            Record::status(1, 0, 0).at(7, at), // the venue's own time stays
            Record::status(1, 0, 0).at(at, at),
        ];
        pulse.stamp(&mut records, 3_000 * S);
        assert_eq!((records[0].ts_event, records[0].ts_recv), (7, 3_000 * S));
        assert_eq!((records[1].ts_event, records[1].ts_recv), (3_000 * S, 3_000 * S));
    }

    proptest! {
        #[test]
        fn never_runs_back_and_never_faster(turns in proptest::collection::vec(0i64..4 * S, 1..100)) {
            let mut pulse = Pulse::new(0, 9 * S);
            let (mut mono, mut last) = (0, 9 * S);
            for passed in turns {
                mono += passed;
                let now = pulse.turn(mono);
                prop_assert!(now >= last && now - last <= passed);
                last = now;
            }
        }
    }
}
