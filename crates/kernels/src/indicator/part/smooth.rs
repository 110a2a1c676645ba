//! Exponential smoothing.

use super::super::Memory;

/// Exponential smoothing that begins with the mean of its first `n` values, as TA-Lib's does.
///
/// A value is made of the one two bars before it and of what came since. So two values are made at a time, where
/// each would otherwise have to wait for the one before.
#[derive(Clone)]
pub struct Smooth {
    /// Weights of the value two bars ago, of the input one bar ago and of the newest. What one lost to rounding
    /// another has, so that they come to exactly 1.
    keep_two: f64,
    take_before: f64,
    take: f64,
    /// Weight of the value before.
    keep: f64,
    /// The value two bars ago.
    older: f64,
    /// What the input before adds to the next value.
    part: f64,
    /// Sum of the first values until there are `n`, then the smoothed one.
    value: f64,
    /// How many values are still missing.
    left: usize,
    bars: usize,
}

impl Smooth {
    /// Weight 2 / (n + 1) for the newest.
    pub fn ema(bars: usize) -> Self {
        Self::new(bars, 2.0 / (bars as f64 + 1.0))
    }

    /// Weight 1 / n for the newest: Wilder's.
    pub fn wilder(bars: usize) -> Self {
        Self::new(bars, 1.0 / bars as f64)
    }

    fn new(bars: usize, take: f64) -> Self {
        let keep = 1.0 - take;
        let (keep_two, take) = (keep * keep, 1.0 - keep);
        Self {
            keep_two,
            take_before: 1.0 - keep_two - take,
            take,
            keep,
            older: 0.0,
            part: 0.0,
            value: 0.0,
            left: bars,
            bars,
        }
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> f64 {
        if self.left > 0 {
            return self.seed(value);
        }
        let next = self.keep_two * self.older + (self.part + self.take * value);
        self.part = self.take_before * value;
        self.older = self.value;
        self.value = next;
        next
    }

    #[inline(always)]
    fn seed(&mut self, value: f64) -> f64 {
        self.value += value;
        self.left -= 1;
        if self.left > 0 {
            return f64::NAN;
        }
        self.value /= self.bars as f64;
        // Nothing is two bars ago yet: the next value is made of this one.
        self.part = self.keep * self.value;
        self.value
    }

    pub fn bars(&self) -> usize {
        self.bars
    }

    /// What is kept of the value before.
    pub fn keep(&self) -> f64 {
        self.keep
    }

    pub fn memory(&self) -> Memory {
        faded(self.bars, &[self.keep()])
    }
}

/// Memory of smoothings one behind the other, the last of which has its first value after `seeded` bars; each
/// keeps so much of its value.
pub fn faded(seeded: usize, keep: &[f64]) -> Memory {
    const BELOW: f64 = 1e-12;
    // How much each still has of a unit that it, or one before it, was wrong by in the beginning.
    let mut wrong = vec![1.0; keep.len()];
    let mut bars = seeded;
    while wrong.iter().sum::<f64>() > BELOW {
        let mut before = 0.0;
        for (one, keep) in wrong.iter_mut().zip(keep) {
            *one = *one * keep + before * (1.0 - keep);
            before = *one;
        }
        bars += 1;
    }
    Memory::Fading(bars)
}
