//! What the bridge counts, and how long a message takes through it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets per power of two: an answer is right within 3 %.
const STEPS: usize = 32;
const BUCKETS: usize = STEPS * 40;

/// Durations in nanoseconds, counted in buckets that grow with the value. Any thread may record.
#[derive(Debug)]
pub struct Histogram {
    buckets: Vec<AtomicU64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS as u64 {
        return ns as usize;
    }
    let power = ns.ilog2() as usize; // at least 5
    let step = (ns >> (power - 5)) as usize & (STEPS - 1);
    ((power - 4) * STEPS + step).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn upper(bucket: usize) -> u64 {
    let (row, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    if row == 0 {
        return step;
    }
    ((STEPS as u64 + step + 1) << (row - 1)) - 1
}

impl Histogram {
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)].fetch_add(1, Relaxed);
    }

    /// The values below which these shares (0 to 1) of all lie, in nanoseconds; `None` before the first.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[u64; N]> {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        (total > 0).then(|| {
            shares.map(|share| {
                let rank = (share * total as f64).ceil().max(1.0) as u64;
                let mut seen = 0;
                for (at, count) in counts.iter().enumerate() {
                    seen += count;
                    if seen >= rank {
                        return upper(at);
                    }
                }
                upper(BUCKETS - 1)
            })
        })
    }
}

/// Counters of a bridge since its start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Messages written into clients' buffers.
    pub messages: AtomicU64,
    /// Messages that others stood for, because their client was behind.
    pub conflated: AtomicU64,
    /// Writes to sockets that took something.
    pub writes: AtomicU64,
    pub bytes: AtomicU64,
    /// Clients cut because they took too little.
    pub cut: AtomicU64,
    /// Handshakes, tickets and operations refused.
    pub refused: AtomicU64,
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// From the journal's frame being read to its message being written.
    pub latency: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_percent() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantiles([0.5]), None);
        for ns in 1..=100_000u64 {
            histogram.record(Duration::from_nanos(ns));
        }
        let [p50, p99, all] = histogram.quantiles([0.5, 0.99, 1.0]).unwrap();
        for (found, exact) in [(p50, 50_000.0), (p99, 99_000.0), (all, 100_000.0)] {
            let ratio = found as f64 / exact;
            assert!((1.0..1.04).contains(&ratio), "{found} for {exact}");
        }
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut last = 0;
        for shift in 0..39 {
            for offset in 0..3u64 {
                let ns = (1u64 << shift) + offset;
                let at = bucket(ns);
                assert!(upper(at) >= ns && (at == 0 || upper(at - 1) < ns), "{ns}");
                last = last.max(at);
            }
        }
        assert!(last < BUCKETS);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
