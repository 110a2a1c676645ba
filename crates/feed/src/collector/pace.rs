//! Never more to a venue than it bears, over all connections: a token bucket. Pure: monotonic nanoseconds come
//! from outside.

use venues::Pace;

const NANO: i64 = 1_000_000_000;

#[derive(Debug)]
pub struct Bucket {
    pace: Pace,
    /// Weight available, in nano-units of weight.
    available: i64,
    refilled: i64,
}

impl Bucket {
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            available: i64::from(pace.burst) * NANO,
            refilled: 0,
        }
    }

    /// Takes this weight if it is there; else says how long to wait for it, nanoseconds. What is heavier than
    /// the bucket takes all of it.
    pub fn take(&mut self, weight: u32, now: i64) -> Result<(), i64> {
        let per_s = i64::from(self.pace.per_s.max(1));
        // a rest longer than a minute fills any bucket; the bound keeps the product inside 64 bits
        let rest = (now - self.refilled).clamp(0, 60 * NANO);
        let full = i64::from(self.pace.burst) * NANO;
        self.available = (self.available + rest * per_s).min(full);
        self.refilled = self.refilled.max(now);
        let cost = i64::from(weight.min(self.pace.burst)) * NANO;
        if self.available < cost {
            return Err((cost - self.available) / per_s + 1);
        }
        self.available -= cost;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { burst: 3, per_s: 2 };

    #[test]
    fn burst_then_rate() {
        let mut bucket = Bucket::new(PACE);
        let (mut taken, mut now) = (Vec::new(), 5 * NANO);
        while taken.len() < 10 {
            match bucket.take(1, now) {
                Ok(()) => taken.push((now - 5 * NANO) / 1_000_000),
                Err(wait) => now += wait,
            }
        }
        assert_eq!(taken, [0, 0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500]);
    }

    #[test]
    fn a_thing_heavier_than_the_bucket_still_goes() {
        let mut bucket = Bucket::new(PACE);
        assert_eq!(bucket.take(100, NANO), Ok(()));
        assert!(bucket.take(1, NANO).is_err());
    }

    proptest! {
        /// Whatever is asked for and when, no stretch of time sees more than the burst and what it regained.
        #[test]
        fn no_stretch_sees_more_than_it_may(asked in proptest::collection::vec((1u32..4, 0i64..2 * NANO), 1..100)) {
            let mut bucket = Bucket::new(PACE);
            let mut now = 0;
            let mut taken: Vec<(i64, i64)> = Vec::new();
            for (weight, pass) in asked {
                now += pass;
                if bucket.take(weight, now).is_ok() {
                    taken.push((now, i64::from(weight)));
                }
                let mut sum = 0;
                for &(at, weight) in taken.iter().rev() {
                    sum += weight;
                    prop_assert!(sum * NANO <= 3 * NANO + (now - at) * 2);
                }
            }
        }
    }
}
