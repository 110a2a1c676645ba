//! Directional movement: ADX, +DI and −DI.

use super::part::{Smooth, faded, ratio};
use super::*;

#[derive(Clone)]
pub struct Adx {
    before: Option<Bar>,
    /// Wilder's sums of true range, upward and downward movement; he begins them with one bar less than a period.
    sums: [f64; 3],
    left: usize,
    keep: f64,
    adx: Smooth,
}

impl Indicator for Adx {
    const SPEC: Spec = Spec {
        name: "adx",
        title: "Average directional index",
        description: "How strongly the price goes one way (adx), and what of its true range went up (plus_di) and down (minus_di).",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[Param::period(14)],
        outputs: &[
            Output::own("adx"),
            Output::own("plus_di"),
            Output::own("minus_di"),
        ],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 3];

    fn new(args: &Args) -> Self {
        let adx = Smooth::wilder(args.bars(0));
        Self {
            before: None,
            sums: [0.0; 3],
            left: args.bars(0) - 1,
            keep: adx.keep(),
            adx,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 3] {
        let Some(before) = self.before.replace(*bar) else {
            return [f64::NAN; 3];
        };
        let (up, down) = (bar.high - before.high, before.low - bar.low);
        let moved = [
            bar.true_range(before.close),
            if up > 0.0 && up > down { up } else { 0.0 },
            if down > 0.0 && down > up { down } else { 0.0 },
        ];
        let keep = if self.left > 0 { 1.0 } else { self.keep };
        for (sum, one) in self.sums.iter_mut().zip(moved) {
            *sum = *sum * keep + one;
        }
        if self.left > 0 {
            self.left -= 1;
            return [f64::NAN; 3];
        }
        let [range, plus, minus] = self.sums;
        let strength = 100.0 * ratio((plus - minus).abs(), plus + minus);
        [
            self.adx.next(strength),
            100.0 * ratio(plus, range),
            100.0 * ratio(minus, range),
        ]
    }

    fn first(&self, output: usize) -> usize {
        match output {
            0 => 2 * self.adx.bars() - 1,
            _ => self.adx.bars(),
        }
    }

    fn memory(&self) -> Memory {
        faded(Indicator::first(self, 0) + 1, &[self.keep; 2])
    }
}
