//! Relative strength index.

use super::part::{Smooth, faded, ratio};
use super::*;

#[derive(Clone)]
pub struct Rsi {
    up: Smooth,
    down: Smooth,
    before: f64,
    /// Kept where the price stands still, so that rounding does not make it look as if it moved.
    value: f64,
}

impl Rsi {
    pub fn of(bars: usize) -> Self {
        Self {
            up: Smooth::wilder(bars),
            down: Smooth::wilder(bars),
            before: f64::NAN,
            value: f64::NAN,
        }
    }

    #[inline(always)]
    pub fn next(&mut self, close: f64) -> f64 {
        let before = std::mem::replace(&mut self.before, close);
        if before.is_nan() {
            return f64::NAN;
        }
        let step = close - before;
        let up = self.up.next(if step > 0.0 { step } else { 0.0 });
        let down = self.down.next(if step < 0.0 { -step } else { 0.0 });
        if step != 0.0 || self.value.is_nan() {
            self.value = 100.0 * ratio(up, up + down);
        }
        self.value
    }

    pub fn bars(&self) -> usize {
        self.up.bars()
    }
}

impl Indicator for Rsi {
    const SPEC: Spec = Spec {
        name: "rsi",
        title: "Relative strength index",
        description: "Wilder's average of the rises in percent of that of rises and falls; 0 where the price never moved.",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[Param::period(14)],
        outputs: &[Output::own("rsi")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self::of(args.bars(0))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self.next(bar.close)]
    }

    fn first(&self, _: usize) -> usize {
        self.bars()
    }

    fn memory(&self) -> Memory {
        faded(self.bars() + 1, &[self.up.keep()])
    }
}
