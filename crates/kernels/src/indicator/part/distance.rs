//! Sums over the last bars of the distances from one of them.
//!
//! The origin is a value of the window, so nothing cancels however far from zero the prices are: squares do not,
//! and of equal prices every distance is exactly 0. It is the last value of the block before: where a block
//! ends, what is left of it is summed anew from there.

/// What is known of the values of a window, as their distances from the origin.
trait Distances: Copy {
    const NONE: Self;

    /// With a value that comes after those.
    fn newer(self, away: f64) -> Self;

    /// With a value that came before those.
    fn older(self, away: f64) -> Self;

    /// What is left of the block before (made by `older`) and the block being filled (by `newer`); `more` is one
    /// more than the window has bars.
    fn join(rest: Self, head: Self, more: f64) -> Self;

    /// A place of the block being filled holds a value and no sums.
    fn hold(value: f64) -> Self;
    fn held(self) -> f64;
}

/// As `Window`, of distances.
#[derive(Clone)]
struct Around<D> {
    slots: Box<[D]>,
    at: usize,
    head: D,
    origin: f64,
    full: bool,
    more: f64,
}

impl<D: Distances> Around<D> {
    fn new(bars: usize) -> Self {
        Self {
            slots: vec![D::NONE; bars + 1].into(),
            at: 0,
            head: D::NONE,
            origin: f64::NAN,
            full: false,
            more: bars as f64 + 1.0,
        }
    }

    fn bars(&self) -> usize {
        self.slots.len() - 1
    }

    /// Takes a value in; the origin and the sums, None until there are `n`.
    #[inline(always)]
    fn next(&mut self, value: f64) -> Option<(f64, D)> {
        if self.origin.is_nan() {
            self.origin = value;
        }
        self.head = self.head.newer(value - self.origin);
        self.slots[self.at] = D::hold(value);
        self.at += 1;
        let mut found = D::join(self.slots[self.at], self.head, self.more);
        if self.at + 1 == self.slots.len() {
            // The origin has left the window, and need not be near: what it has now is near.
            let mut rest = D::NONE;
            for slot in self.slots[..self.at].iter_mut().rev() {
                rest = rest.older(slot.held() - value);
                *slot = rest;
            }
            (self.head, self.at, self.full, self.origin) = (D::NONE, 0, true, value);
            found = rest;
        }
        self.full.then_some((self.origin, found))
    }

    /// `next` of each value, all of them finite; tells what each gives.
    #[inline(always)]
    fn run(&mut self, values: &[f64], mut tell: impl FnMut(usize, Option<(f64, D)>)) {
        let bars = self.bars();
        let mut at = 0;
        while at < values.len() {
            if self.at > 0 || !self.full || values.len() - at < bars {
                let found = self.next(values[at]);
                tell(at, found);
                at += 1;
                continue;
            }
            let (block, slots) = (&values[at..at + bars], &mut self.slots[..=bars]);
            let (origin, last) = (self.origin, block[bars - 1]);
            let mut head = D::NONE;
            for (place, (value, slot)) in block[..bars - 1].iter().zip(&slots[1..]).enumerate() {
                head = head.newer(value - origin);
                tell(at + place, Some((origin, D::join(*slot, head, self.more))));
            }
            let mut rest = D::NONE;
            for (slot, value) in slots.iter_mut().zip(block).rev() {
                rest = rest.older(value - last);
                *slot = rest;
            }
            self.origin = last;
            at += bars;
            tell(at - 1, Some((last, rest)));
        }
    }
}

/// Their sum.
#[derive(Clone, Copy)]
struct Plain(f64);

impl Distances for Plain {
    const NONE: Self = Self(0.0);

    #[inline(always)]
    fn newer(self, away: f64) -> Self {
        Self(self.0 + away)
    }

    #[inline(always)]
    fn older(self, away: f64) -> Self {
        Self(self.0 + away)
    }

    #[inline(always)]
    fn join(rest: Self, head: Self, _: f64) -> Self {
        Self(head.0 + rest.0)
    }

    #[inline(always)]
    fn hold(value: f64) -> Self {
        Self(value)
    }

    #[inline(always)]
    fn held(self) -> f64 {
        self.0
    }
}

/// Mean of the last `n`; NaN until there are so many. Of equal values it is that value.
#[derive(Clone)]
pub struct Mean {
    sums: Around<Plain>,
    /// 1 / n.
    share: f64,
}

impl Mean {
    pub fn new(bars: usize) -> Self {
        Self {
            sums: Around::new(bars),
            share: 1.0 / bars as f64,
        }
    }

    #[inline(always)]
    fn of(share: f64, found: Option<(f64, Plain)>) -> f64 {
        found.map_or(f64::NAN, |(origin, sum)| origin + sum.0 * share)
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> f64 {
        Self::of(self.share, self.sums.next(value))
    }

    /// `next` of each value, all of them finite.
    #[inline(always)]
    pub fn run(&mut self, values: &[f64], out: &mut [f64]) {
        let out = &mut out[..values.len()];
        let share = self.share;
        self.sums
            .run(values, |at, found| out[at] = Self::of(share, found));
    }

    pub fn bars(&self) -> usize {
        self.sums.bars()
    }
}

/// Their sum and that of their squares.
#[derive(Clone, Copy)]
struct Squares(f64, f64);

impl Distances for Squares {
    const NONE: Self = Self(0.0, 0.0);

    #[inline(always)]
    fn newer(self, away: f64) -> Self {
        Self(self.0 + away, self.1 + away * away)
    }

    #[inline(always)]
    fn older(self, away: f64) -> Self {
        self.newer(away)
    }

    #[inline(always)]
    fn join(rest: Self, head: Self, _: f64) -> Self {
        Self(head.0 + rest.0, head.1 + rest.1)
    }

    #[inline(always)]
    fn hold(value: f64) -> Self {
        Self(value, 0.0)
    }

    #[inline(always)]
    fn held(self) -> f64 {
        self.0
    }
}

/// Mean and population variance of the last `n`; of equal values that value and exactly 0.
#[derive(Clone)]
pub struct Spread {
    sums: Around<Squares>,
    /// 1 / n.
    share: f64,
}

impl Spread {
    pub fn new(bars: usize) -> Self {
        Self {
            sums: Around::new(bars),
            share: 1.0 / bars as f64,
        }
    }

    #[inline(always)]
    fn of(share: f64, found: Option<(f64, Squares)>) -> (f64, f64) {
        let Some((origin, sums)) = found else {
            return (f64::NAN, f64::NAN);
        };
        let mean = sums.0 * share;
        let variance = sums.1 * share - mean * mean;
        (origin + mean, if variance > 0.0 { variance } else { 0.0 })
    }

    /// Takes a value in; (mean, variance), NaN until there are `n`.
    #[inline(always)]
    pub fn next(&mut self, value: f64) -> (f64, f64) {
        Self::of(self.share, self.sums.next(value))
    }

    /// `next` of each value, all of them finite; tells (mean, variance) of each.
    #[inline(always)]
    pub fn run(&mut self, values: &[f64], mut tell: impl FnMut(usize, (f64, f64))) {
        let share = self.share;
        self.sums
            .run(values, |at, found| tell(at, Self::of(share, found)));
    }
}

/// Plain sum, and weighted: what is left of a block weighs 1 for the oldest and one more for each after it; of the
/// block being filled it is the sum of all plain sums so far.
#[derive(Clone, Copy)]
struct Ranks(f64, f64);

impl Distances for Ranks {
    const NONE: Self = Self(0.0, 0.0);

    #[inline(always)]
    fn newer(self, away: f64) -> Self {
        let plain = self.0 + away;
        Self(plain, self.1 + plain)
    }

    /// The one that comes before weighs 1, so all that are there weigh one more.
    #[inline(always)]
    fn older(self, away: f64) -> Self {
        self.newer(away)
    }

    /// In the block being filled the newest is in one of the plain sums and weighs n, and so on.
    #[inline(always)]
    fn join(rest: Self, head: Self, more: f64) -> Self {
        Self(head.0 + rest.0, (more * head.0 - head.1) + rest.1)
    }

    #[inline(always)]
    fn hold(value: f64) -> Self {
        Self(value, 0.0)
    }

    #[inline(always)]
    fn held(self) -> f64 {
        self.0
    }
}

/// Sums of the distances of the last `n` from an origin, plain and with weights 1 to `n`, the newest most.
pub struct Weights {
    pub origin: f64,
    pub plain: f64,
    pub weighted: f64,
}

impl Weights {
    #[inline(always)]
    fn of((origin, sums): (f64, Ranks)) -> Self {
        Self {
            origin,
            plain: sums.0,
            weighted: sums.1,
        }
    }
}

/// What the last `n` come to when they weigh 1 to `n`, the newest most; None until there are so many.
#[derive(Clone)]
pub struct Weighted(Around<Ranks>);

impl Weighted {
    pub fn new(bars: usize) -> Self {
        Self(Around::new(bars))
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> Option<Weights> {
        self.0.next(value).map(Weights::of)
    }

    /// `next` of each value, all of them finite; tells what each gives.
    #[inline(always)]
    pub fn run(&mut self, values: &[f64], mut tell: impl FnMut(usize, Option<Weights>)) {
        self.0.run(values, |at, found| tell(at, found.map(Weights::of)));
    }
}

/// Mean with weights 1 to `n`; NaN until there are so many.
#[derive(Clone)]
pub struct WeightedMean {
    sums: Weighted,
    /// 1 / the sum of the weights.
    share: f64,
}

impl WeightedMean {
    pub fn new(bars: usize) -> Self {
        let n = bars as f64;
        Self {
            sums: Weighted::new(bars),
            share: 2.0 / (n * (n + 1.0)),
        }
    }

    #[inline(always)]
    fn of(share: f64, found: Option<Weights>) -> f64 {
        found.map_or(f64::NAN, |sums| sums.origin + sums.weighted * share)
    }

    #[inline(always)]
    pub fn next(&mut self, value: f64) -> f64 {
        Self::of(self.share, self.sums.next(value))
    }

    /// `next` of each value, all of them finite.
    #[inline(always)]
    pub fn run(&mut self, values: &[f64], out: &mut [f64]) {
        let out = &mut out[..values.len()];
        let share = self.share;
        self.sums
            .run(values, |at, found| out[at] = Self::of(share, found));
    }

    pub fn bars(&self) -> usize {
        self.sums.0.bars()
    }
}
