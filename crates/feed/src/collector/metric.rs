//! Figures of a collector: counts, rates over five seconds, latency percentiles.

use std::collections::VecDeque;

const S: i64 = 1_000_000_000;

/// Sub-buckets per doubling: a value is known to 1/16.
const SUB: usize = 16;
const BUCKETS: usize = 64 * SUB;

/// Counts of values by size, two windows of a minute so that what is told is of the last one to two
/// minutes. Negative values (a venue clock ahead of ours) count as 0.
#[derive(Clone, Debug)]
pub struct Histogram {
    current: Box<[u32; BUCKETS]>,
    previous: Box<[u32; BUCKETS]>,
    turned: i64,
    window_ns: i64,
    /// Values ever counted.
    pub total: u64,
}

impl Histogram {
    pub fn new(window_ns: i64) -> Self {
        Self {
            current: Box::new([0; BUCKETS]),
            previous: Box::new([0; BUCKETS]),
            turned: 0,
            window_ns,
            total: 0,
        }
    }

    #[inline]
    pub fn add(&mut self, value: i64) {
        let slot = &mut self.current[bucket(value.max(0) as u64)];
        *slot = slot.saturating_add(1);
        self.total += 1;
    }

    /// Forgets what is older than two windows; to be called about once a second.
    pub fn turn(&mut self, now: i64) {
        if now - self.turned >= self.window_ns {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.fill(0);
            self.turned = now;
        }
    }

    /// The value that this share (0–1) of the counted ones does not exceed; `None` when there are none.
    pub fn quantile(&self, share: f64) -> Option<i64> {
        let count = |i: usize| u64::from(self.current[i]) + u64::from(self.previous[i]);
        let total: u64 = (0..BUCKETS).map(count).sum();
        if total == 0 {
            return None;
        }
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        (0..BUCKETS)
            .find(|&i| {
                seen += count(i);
                seen >= rank
            })
            .map(upper)
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB as u64 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros() as usize; // at least 4
    let sub = (value >> (power - 4)) as usize & (SUB - 1);
    (power - 3) * SUB + sub
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> i64 {
    if bucket < SUB {
        return bucket as i64;
    }
    let (power, sub) = (bucket / SUB + 3, bucket % SUB);
    let lower = (SUB + sub) as u128 * (1u128 << (power - 4));
    (lower + (1u128 << (power - 4)) - 1).min(i64::MAX as u128) as i64
}

/// Events per second over the last five seconds.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    samples: VecDeque<(i64, u64)>,
}

impl Rate {
    const WINDOW_NS: i64 = 5 * S;

    /// Notes the counter's value; to be called about once a second.
    pub fn sample(&mut self, now: i64, count: u64) {
        self.samples.push_back((now, count));
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|s| now - s.0 >= Self::WINDOW_NS) {
            self.samples.pop_front();
        }
    }

    pub fn per_s(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                (last.1 - first.1) as f64 * 1e9 / (last.0 - first.0) as f64
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_sixteenth() {
        let mut histogram = Histogram::new(60 * S);
        for value in 1..=100_000i64 {
            histogram.add(value * 1_000);
        }
        for (share, exact) in [(0.5, 50_000_000i64), (0.99, 99_000_000), (1.0, 100_000_000)] {
            let found = histogram.quantile(share).unwrap();
            assert!(found >= exact && found <= exact + exact / 16, "{share}: {found}");
        }
        histogram.add(-5);
        histogram.add(i64::MAX);
        assert_eq!(histogram.quantile(1.0), Some(i64::MAX));
        histogram.turn(60 * S);
        assert!(histogram.quantile(0.5).is_some());
        histogram.turn(120 * S);
        assert_eq!(histogram.quantile(0.5), None);
    }

    #[test]
    fn every_value_is_in_a_bucket_that_holds_it() {
        for power in 0..63 {
            for value in [1u64 << power, (1 << power) + 1, (1 << power) + (1 << power) / 3] {
                assert!(upper(bucket(value)) as u64 >= value);
                assert!(bucket(value) == 0 || (upper(bucket(value) - 1) as u64) < value);
            }
        }
    }

    #[test]
    fn the_rate_is_of_the_last_five_seconds() {
        let mut rate = Rate::default();
        for second in 0..60 {
            rate.sample(second * S, if second < 30 { second as u64 * 100 } else { 3_000 });
        }
        assert!(rate.per_s() < 1e-9);
        rate.sample(60 * S, 3_500);
        assert!((rate.per_s() - 100.0).abs() < 1e-9);
    }
}
