//! Anything that can be joined, over the last bars.

use super::ratio;

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

/// Values to be folded one after the other, and what becomes of what they come to.
pub trait Walk<F> {
    fn value(&self, at: usize) -> F;

    /// What the last `n` come to, or None until there are so many.
    fn tell(&mut self, at: usize, found: Option<F>);
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

    /// `whole` of `value(0)` to `value(len - 1)`, which are asked for twice.
    #[inline(always)]
    pub fn run(&mut self, len: usize, walk: &mut impl Walk<F>) {
        let bars = self.bars();
        let mut at = 0;
        while at < len {
            if self.at > 0 || !self.full || len - at < bars {
                let found = self.whole(walk.value(at));
                walk.tell(at, found);
                at += 1;
                continue;
            }
            let (slots, from) = (&mut self.slots[..=bars], at);
            let mut head = F::NONE;
            for (place, slot) in slots[1..].iter().enumerate() {
                head = F::join(head, walk.value(from + place));
                walk.tell(from + place, Some(F::join(*slot, head)));
            }
            let mut rest = F::NONE;
            for (place, slot) in slots[..bars].iter_mut().enumerate().rev() {
                rest = F::join(walk.value(from + place), rest);
                *slot = rest;
            }
            at += bars;
        }
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
