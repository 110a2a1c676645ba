//! When the venue's REST interface may be asked again. Pure: monotonic nanoseconds come from outside.
//!
//! After a 429 or 418 nothing is sent before the time the venue named, whoever asks; where it named none,
//! the pause grows.

use std::time::Duration;

const S: i64 = 1_000_000_000;
/// After a 429 without a time: doubled at each one in a row.
const PAUSE_NS: i64 = 5 * S;
const PAUSE_MAX_NS: i64 = 120 * S;
/// A 418 is a ban; the shortest known is two minutes.
const BAN_NS: i64 = 120 * S;

#[derive(Clone, Debug, Default)]
pub struct Gate {
    not_before: i64,
    refusals: u32,
}

impl Gate {
    /// How long to wait before the next request, nanoseconds; 0 is go.
    pub fn wait(&self, now: i64) -> i64 {
        (self.not_before - now).max(0)
    }

    /// An answer came: its status and its Retry-After.
    pub fn answered(&mut self, status: u16, retry_after: Option<Duration>, now: i64) {
        let refused = matches!(status, 418 | 429);
        let wait = match retry_after {
            Some(wait) if refused || status >= 500 => i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX / 2),
            None if status == 418 => BAN_NS,
            None if status == 429 => (PAUSE_NS << self.refusals.min(6)).min(PAUSE_MAX_NS),
            _ => 0,
        };
        self.refusals = if refused {
            self.refusals.saturating_add(1)
        } else {
            0
        };
        // An answer to a request sent earlier must not shorten what a later one demanded.
        self.not_before = self.not_before.max(now.saturating_add(wait));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_and_bans_are_long() {
        let mut gate = Gate::default();
        assert_eq!(gate.wait(0), 0);
        gate.answered(429, None, 0);
        assert_eq!(gate.wait(S), 4 * S);
        gate.answered(429, None, 5 * S);
        assert_eq!(gate.wait(5 * S), 10 * S);
        gate.answered(200, None, 6 * S); // was on its way
        assert_eq!(gate.wait(6 * S), 9 * S);
        gate.answered(418, None, 20 * S);
        assert_eq!(gate.wait(20 * S), BAN_NS);
        gate.answered(503, Some(Duration::from_secs(3)), 200 * S);
        assert_eq!(gate.wait(200 * S), 3 * S);
    }

    proptest! {
        /// A17: never a request before the venue allowed one, whatever it answers in between.
        #[test]
        fn never_early(answers in proptest::collection::vec(
            (prop_oneof![Just(200u16), Just(429), Just(418), Just(500)], proptest::option::of(0u64..600), 0i64..30 * S),
            1..100,
        )) {
            let mut gate = Gate::default();
            let (mut now, mut allowed) = (0, 0);
            for (status, after, pass) in answers {
                now += pass;
                let retry_after = after.map(Duration::from_secs);
                gate.answered(status, retry_after, now);
                if status != 200 && (status < 500 || after.is_some()) && let Some(after) = after {
                    allowed = allowed.max(now + after as i64 * S);
                }
                prop_assert!(now + gate.wait(now) >= allowed);
            }
        }
    }
}
