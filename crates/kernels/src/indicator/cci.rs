//! Commodity channel index.

use super::part::{Lag, Spread, ratio};
use super::*;

#[derive(Clone)]
pub struct Cci {
    /// Its mean of equal prices is that price, and no rounding away from it.
    mean: Spread,
    held: Lag,
}

impl Indicator for Cci {
    const SPEC: Spec = Spec {
        name: "cci",
        title: "Commodity channel index",
        description: "How far the typical price is from its average, in units of 0.015 mean absolute deviations.",
        source: "Donald Lambert, Commodities, October 1980",
        params: &[Param::period(20)],
        outputs: &[Output::own("cci")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self {
            mean: Spread::new(args.bars(0)),
            held: Lag::new(args.bars(0)),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let typical = bar.typical();
        self.held.push(typical);
        let mean = self.mean.next(typical).0;
        if mean.is_nan() {
            return [f64::NAN];
        }
        let deviation = away(self.held.held(), mean) / self.held.bars() as f64;
        [ratio(typical - mean, 0.015 * deviation)]
    }

    fn first(&self, _: usize) -> usize {
        self.held.bars() - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.held.bars())
    }
}

/// Sum of the distances from a value, by four sums at once so that none waits for the one before.
fn away(values: &[f64], from: f64) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for (sum, value) in sums.iter_mut().zip(four) {
            *sum += (value - from).abs();
        }
    }
    let rest: f64 = rest.iter().map(|value| (value - from).abs()).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}
