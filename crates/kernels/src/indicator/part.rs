//! What indicators are built of: windows, lags and smoothing.
//!
//! Nothing is ever taken out of a window's sum again, so nothing drifts: a window of `n` is the rest of the block of
//! `n` bars before it and the beginning of the block it is in. The rests are summed once a block, from its end
//! (van Herk, 1992; Gil and Werman, 1993). A value thus depends on the bars in its window alone, at three
//! additions a bar.

use super::Memory;

/// What windows can hold: values that can be joined, older first, and what changes nothing when joined.
pub trait Fold: Copy {
    const NONE: Self;
    fn join(older: Self, newer: Self) -> Self;
}

/// Several sums at once.
#[derive(Clone, Copy)]
pub struct Sum<const N: usize>(pub [f64; N]);

impl<const N: usize> Fold for Sum<N> {
    const NONE: Self = Sum([0.0; N]);

    #[inline(always)]
    fn join(mut older: Self, newer: Self) -> Self {
        for (sum, one) in older.0.iter_mut().zip(newer.0) {
            *sum += one;
        }
        older
    }
}

/// Highest and lowest.
#[derive(Clone, Copy)]
pub struct Span {
    pub high: f64,
    pub low: f64,
}

impl Span {
    pub fn middle(self) -> f64 {
        (self.high + self.low) / 2.0
    }

    /// Where a value lies, 0 at the lowest and 1 at the highest; 0 where there is no room between.
    pub fn place(self, value: f64) -> f64 {
        ratio(value - self.low, self.high - self.low)
    }
}

impl Fold for Span {
    const NONE: Self = Span {
        high: f64::NEG_INFINITY,
        low: f64::INFINITY,
    };

    #[inline(always)]
    fn join(older: Self, newer: Self) -> Self {
        Span {
            high: if newer.high > older.high {
                newer.high
            } else {
                older.high
            },
            low: if newer.low < older.low {
                newer.low
            } else {
                older.low
            },
        }
    }
}

/// The last `n` values, folded.
#[derive(Clone)]
pub struct Window<F> {
    /// From `at` on: what is left of the block before, folded from there to its end. Before `at`: the values of
    /// the block that is being filled. One more at the end holds nothing.
    slots: Box<[F]>,
    at: usize,
    /// All of the block that is being filled.
    head: F,
    full: bool,
}

impl<F: Fold> Window<F> {
    pub fn new(bars: usize) -> Self {
        Self {
            slots: vec![F::NONE; bars + 1].into(),
            at: 0,
            head: F::NONE,
            full: false,
        }
    }

    /// Takes a value in; what the last `n` come to, or all of them until there are so many.
    #[inline(always)]
    pub fn push(&mut self, value: F) -> F {
        self.head = F::join(self.head, value);
        let found = F::join(self.slots[self.at + 1], self.head);
        self.slots[self.at] = value;
        self.at += 1;
        if self.at + 1 == self.slots.len() {
            rest(&mut self.slots);
            (self.head, self.at, self.full) = (F::NONE, 0, true);
        }
        found
    }

    /// The same, or None until there are `n`.
    #[inline(always)]
    pub fn whole(&mut self, value: F) -> Option<F> {
        let found = self.push(value);
        self.full.then_some(found)
    }

    pub fn bars(&self) -> usize {
        self.slots.len() - 1
    }
}

/// Makes a filled block of values into what is left of it from each on.
fn rest<F: Fold>(slots: &mut [F]) {
    let mut rest = F::NONE;
    for slot in slots.iter_mut().rev() {
        rest = F::join(*slot, rest);
        *slot = rest;
    }
}

/// Mean of the last `n`; NaN until there are so many.
#[derive(Clone)]
pub struct Mean {
    window: Window<Sum<1>>,
    bars: f64,
}

impl Mean {
    pub fn new(bars: usize) -> Self {
        Self {
            window: Window::new(bars),
            bars: bars as f64,
        }
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> f64 {
        let sum = self.window.push(Sum([value])).0[0];
        if self.window.full {
            sum / self.bars
        } else {
            f64::NAN
        }
    }

    pub fn bars(&self) -> usize {
        self.window.bars()
    }
}

/// Mean and population variance of the last `n`.
///
/// Sums are of the distances from an origin, a value of the window or of the block before it, so that squares do
/// not cancel however far from zero the prices are; equal prices have a variance of exactly 0.
#[derive(Clone)]
pub struct Spread {
    /// As `Window::slots`; a value of the block being filled stands in the first place of its slot.
    slots: Box<[[f64; 2]]>,
    at: usize,
    head: [f64; 2],
    origin: f64,
    full: bool,
    bars: f64,
}

impl Spread {
    pub fn new(bars: usize) -> Self {
        Self {
            slots: vec![[0.0; 2]; bars + 1].into(),
            at: 0,
            head: [0.0; 2],
            origin: f64::NAN,
            full: false,
            bars: bars as f64,
        }
    }

    /// Takes a value in; (mean, variance), NaN until there are `n`.
    #[inline(always)]
    pub fn next(&mut self, value: f64) -> (f64, f64) {
        if self.origin.is_nan() {
            self.origin = value;
        }
        let away = value - self.origin;
        self.head[0] += away;
        self.head[1] += away * away;
        self.slots[self.at][0] = value;
        self.at += 1;
        let rest = self.slots[self.at];
        let [mut sum, mut squares] = [self.head[0] + rest[0], self.head[1] + rest[1]];
        if self.at + 1 == self.slots.len() {
            // The origin has left the window, and need not be near: what it has now is near.
            squared(&mut self.slots[..self.at], value);
            (self.head, self.at, self.full, self.origin) = ([0.0; 2], 0, true, value);
            [sum, squares] = self.slots[0];
        }
        if !self.full {
            return (f64::NAN, f64::NAN);
        }
        let mean = sum / self.bars;
        let variance = squares / self.bars - mean * mean;
        (self.origin + mean, if variance > 0.0 { variance } else { 0.0 })
    }
}

/// `rest` for `Spread`.
fn squared(slots: &mut [[f64; 2]], origin: f64) {
    let (mut sum, mut squares) = (0.0, 0.0);
    for slot in slots.iter_mut().rev() {
        let away = slot[0] - origin;
        sum += away;
        squares += away * away;
        *slot = [sum, squares];
    }
}

/// What the last `n` come to when they weigh 1 to `n`, the newest most.
#[derive(Clone)]
pub struct Weighted {
    /// As `Window::slots`: plain and weighted sum of what is left of the block before; weights begin at 1.
    slots: Box<[[f64; 2]]>,
    at: usize,
    /// Plain sum of the block being filled, and weighted from 1 on.
    head: [f64; 2],
    origin: f64,
    full: bool,
}

/// Sums of distances from an origin.
#[derive(Clone)]
pub struct Weights {
    pub origin: f64,
    pub plain: f64,
    pub weighted: f64,
}

impl Weighted {
    pub fn new(bars: usize) -> Self {
        Self {
            slots: vec![[0.0; 2]; bars + 1].into(),
            at: 0,
            head: [0.0; 2],
            origin: f64::NAN,
            full: false,
        }
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> Option<Weights> {
        if self.origin.is_nan() {
            self.origin = value;
        }
        let away = value - self.origin;
        self.slots[self.at][0] = value;
        self.at += 1;
        self.head[0] += away;
        self.head[1] += away * f64::from(self.at as u32);
        let rest = self.slots[self.at];
        // The block being filled weighs more by what is left of the one before.
        let left = f64::from((self.slots.len() - 1 - self.at) as u32);
        let mut plain = self.head[0] + rest[0];
        let mut weighted = self.head[1] + left * self.head[0] + rest[1];
        if self.at + 1 == self.slots.len() {
            weighed(&mut self.slots[..self.at], value);
            (self.head, self.at, self.full, self.origin) = ([0.0; 2], 0, true, value);
            [plain, weighted] = self.slots[0];
        }
        self.full.then_some(Weights {
            origin: self.origin,
            plain,
            weighted,
        })
    }
}

/// `rest` for `Weighted`.
fn weighed(slots: &mut [[f64; 2]], origin: f64) {
    let (mut plain, mut weighted) = (0.0, 0.0);
    for slot in slots.iter_mut().rev() {
        plain += slot[0] - origin;
        weighted += plain;
        *slot = [plain, weighted];
    }
}

/// Mean with weights 1 to `n`; NaN until there are so many.
#[derive(Clone)]
pub struct WeightedMean {
    sums: Weighted,
    weights: f64,
    bars: usize,
}

impl WeightedMean {
    pub fn new(bars: usize) -> Self {
        let n = bars as f64;
        Self {
            sums: Weighted::new(bars),
            weights: n * (n + 1.0) / 2.0,
            bars,
        }
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> f64 {
        match self.sums.next(value) {
            Some(sums) => sums.origin + sums.weighted / self.weights,
            None => f64::NAN,
        }
    }

    pub fn bars(&self) -> usize {
        self.bars
    }
}

/// The value of `n` bars ago; None until there is one.
#[derive(Clone)]
pub struct Lag {
    slots: Box<[f64]>,
    at: usize,
    full: bool,
}

impl Lag {
    pub fn new(bars: usize) -> Self {
        Self {
            slots: vec![0.0; bars].into(),
            at: 0,
            full: false,
        }
    }

    #[inline(always)]
    pub fn push(&mut self, value: f64) -> Option<f64> {
        let slot = &mut self.slots[self.at];
        let before = std::mem::replace(slot, value);
        let found = self.full.then_some(before);
        self.at += 1;
        if self.at == self.slots.len() {
            (self.at, self.full) = (0, true);
        }
        found
    }

    /// The last `n`, in no order; zeros until there are so many.
    pub fn held(&self) -> &[f64] {
        &self.slots
    }

    pub fn bars(&self) -> usize {
        self.slots.len()
    }
}

/// Exponential smoothing that begins with the mean of its first `n` values, as TA-Lib's does.
#[derive(Clone)]
pub struct Smooth {
    /// Weights of the value before and of the newest; what the one lost to rounding the other has, so that they
    /// come to exactly 1.
    keep: f64,
    take: f64,
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
        Self {
            keep,
            take: 1.0 - keep,
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
        self.value = self.keep * self.value + self.take * value;
        self.value
    }

    #[inline(always)]
    fn seed(&mut self, value: f64) -> f64 {
        self.value += value;
        self.left -= 1;
        if self.left > 0 {
            return f64::NAN;
        }
        self.value /= self.bars as f64;
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

/// `value` through the next part, once there is one.
#[inline(always)]
pub fn then(value: f64, next: impl FnOnce(f64) -> f64) -> f64 {
    if value.is_nan() { value } else { next(value) }
}

/// a / b, and 0 where b is 0: nothing of nothing.
#[inline(always)]
pub fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
