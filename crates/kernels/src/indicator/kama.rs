//! Kaufman's adaptive moving average.

use super::part::{Lag, Sum, Window, faded};
use super::*;

#[derive(Clone)]
pub struct Kama {
    lag: Lag,
    steps: Window<Sum<1>>,
    before: f64,
    value: f64,
    slow: f64,
    fast: f64,
}

impl Indicator for Kama {
    const SPEC: Spec = Spec {
        name: "kama",
        title: "Kaufman's adaptive moving average",
        description: "An exponential average that is fast where the price goes straight and slow where it only goes to and fro.",
        source: "Perry Kaufman, Smarter Trading, 1995",
        params: &[Param::period(10), Param::bars("fast", 2), Param::bars("slow", 30)],
        outputs: &[Output::price("kama")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        let share = |at| 2.0 / (args.bars(at) as f64 + 1.0);
        Self {
            lag: Lag::new(args.bars(0)),
            steps: Window::new(args.bars(0)),
            before: f64::NAN,
            value: f64::NAN,
            fast: share(1),
            slow: share(2),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let close = bar.close;
        let before = std::mem::replace(&mut self.before, close);
        let then = self.lag.push(close);
        if before.is_nan() {
            return [f64::NAN];
        }
        let way = self.steps.push(Sum([(close - before).abs()])).0[0];
        let Some(then) = then else {
            return [f64::NAN];
        };
        if self.value.is_nan() {
            self.value = before;
        }
        let net = (close - then).abs();
        // Rounding may make the way shorter than the way as the crow flies.
        let efficiency = if way <= net { 1.0 } else { net / way };
        let share = efficiency * (self.fast - self.slow) + self.slow;
        self.value += share * share * (close - self.value);
        [self.value]
    }

    fn first(&self, _: usize) -> usize {
        self.lag.bars()
    }

    /// As if the price never went straight: its slowest.
    fn memory(&self) -> Memory {
        let least = if self.slow < self.fast {
            self.slow
        } else {
            self.fast
        };
        faded(self.lag.bars() + 1, &[1.0 - least * least])
    }
}
