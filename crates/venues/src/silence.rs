//! Rhythm of one channel: how long it may be mute before that is news.

/// Shortest silence that is ever questioned, nanoseconds.
const MUTE_MIN_NS: i64 = 5_000_000_000;
/// Longest silence that is not, nanoseconds.
const MUTE_MAX_NS: i64 = 60_000_000_000;
/// Without a first word after so long a channel is questioned.
const FIRST_NS: i64 = 20_000_000_000;
/// Below so many arrivals the rhythm is not known, and only [`MUTE_MAX_NS`] speaks.
const KNOWN: u32 = 32;

/// Inter-arrival times in buckets of half an octave from 2^20 ns (1 ms) on.
#[derive(Clone, Debug)]
pub(crate) struct Rhythm {
    /// Last arrival; 0 before the first.
    last_ns: i64,
    /// When the silence was last looked into.
    excused_ns: i64,
    count: u32,
    buckets: [u32; 48],
}

impl Rhythm {
    pub fn new() -> Self {
        Self {
            last_ns: 0,
            excused_ns: 0,
            count: 0,
            buckets: [0; 48],
        }
    }

    /// Something arrived.
    #[inline]
    pub fn beat(&mut self, now_ns: i64) {
        if self.last_ns != 0 {
            let units = ((now_ns - self.last_ns).max(0) as u64 >> 20) | 1;
            let octave = units.ilog2() as usize;
            let half = if octave == 0 {
                0
            } else {
                (units >> (octave - 1)) as usize & 1
            };
            self.buckets[(octave * 2 + half).min(47)] += 1;
            self.count += 1;
            if self.count == 1 << 20 {
                self.fade();
            }
        }
        self.last_ns = now_ns;
    }

    /// Halves the past, so that the rhythm follows the market.
    #[cold]
    fn fade(&mut self) {
        self.count = 0;
        for bucket in &mut self.buckets {
            *bucket /= 2;
            self.count += *bucket;
        }
    }

    /// Silence after which something is wrong or the market has changed: 3 × p99.9 of the inter-arrival
    /// times, at least 5 s, at most 60 s; nanoseconds.
    pub fn mute_after_ns(&self) -> i64 {
        if self.count < KNOWN {
            return MUTE_MAX_NS;
        }
        let mut above = self.count / 1000;
        for (index, &bucket) in self.buckets.iter().enumerate().rev() {
            if bucket > above {
                let (octave, half) = (index / 2, index % 2);
                // upper bound of the bucket
                let bound_ns = ((2 + half as i64 + 1) << octave) << 19;
                return (3 * bound_ns).clamp(MUTE_MIN_NS, MUTE_MAX_NS);
            }
            above -= bucket;
        }
        MUTE_MIN_NS
    }

    /// The channel was asked for: a first word is waited for only so long.
    pub fn expect(&mut self, now_ns: i64) {
        self.excused_ns = now_ns - MUTE_MAX_NS + FIRST_NS;
    }

    /// Has it been silent for so long, less `early_ns`, since the last arrival, [`Rhythm::excuse`] or
    /// [`Rhythm::expect`]? Before the first of these it is not expected to speak.
    #[inline]
    pub fn mute(&self, now_ns: i64, early_ns: i64) -> bool {
        let since_ns = self.last_ns.max(self.excused_ns);
        let silent_ns = now_ns - since_ns;
        // the cheap question first: nearly always the answer is no
        since_ns != 0 && silent_ns + early_ns > MUTE_MIN_NS && silent_ns + early_ns > self.mute_after_ns()
    }

    /// Time of the last arrival, 0 before the first.
    pub fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// The silence was looked into: ask again only after another one. Not an arrival.
    pub fn excuse(&mut self, now_ns: i64) {
        self.excused_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn follows_the_rhythm_within_its_bounds() {
        let mut fast = Rhythm::new();
        let mut now = S;
        for _ in 0..1000 {
            now += S / 10;
            fast.beat(now);
        }
        assert_eq!(fast.mute_after_ns(), 5 * S);
        assert!(!fast.mute(now + 5 * S, 0));
        assert!(fast.mute(now + 5 * S + 1, 0));

        let mut slow = Rhythm::new();
        for _ in 0..1000 {
            now += 6 * S;
            slow.beat(now);
        }
        let limit = slow.mute_after_ns();
        assert!((18 * S..=27 * S).contains(&limit), "{limit}");

        let mut rare = Rhythm::new();
        for _ in 0..100 {
            now += 300 * S;
            rare.beat(now);
        }
        assert_eq!(rare.mute_after_ns(), 60 * S);
    }

    #[test]
    fn one_outlier_in_a_thousand_does_not_count_and_two_do() {
        let mut rhythm = Rhythm::new();
        let mut now = S;
        rhythm.beat(now);
        for index in 0..2000 {
            now += if index % 1000 == 999 { 15 * S } else { S / 100 };
            rhythm.beat(now);
        }
        assert_eq!(rhythm.mute_after_ns(), 5 * S);
        now += 15 * S;
        rhythm.beat(now);
        assert!(rhythm.mute_after_ns() > 44 * S);
    }

    #[test]
    fn unknown_before_the_first_arrival() {
        assert!(!Rhythm::new().mute(i64::MAX, 0));
        let mut rhythm = Rhythm::new();
        rhythm.beat(S);
        assert!(!rhythm.mute(30 * S, 0));
        assert!(rhythm.mute(62 * S, 0));
        let mut asked = Rhythm::new();
        asked.expect(1_000 * S);
        assert!(!asked.mute(1_019 * S, 0));
        assert!(asked.mute(1_021 * S, 0));
        rhythm.excuse(62 * S);
        assert!(!rhythm.mute(100 * S, 0));
    }
}
