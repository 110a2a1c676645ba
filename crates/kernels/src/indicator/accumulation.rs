//! Accumulation and distribution.

use super::part::ratio;
use super::*;

#[derive(Clone, Default)]
pub struct Accumulation {
    sum: f64,
}

impl Indicator for Accumulation {
    const SPEC: Spec = Spec {
        name: "ad",
        title: "Accumulation/distribution line",
        description: "The sum of all volumes so far, each weighed from −1 (close at the low) to 1 (close at the high).",
        source: "Marc Chaikin, after Larry Williams, 1972",
        params: &[],
        outputs: &[Output::own("ad")],
        inputs: Inputs::PRICES.and(Inputs::VOLUME),
    };
    type Out = [f64; 1];

    fn new(_: &Args) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        self.sum += bar.pressure() * bar.volume;
        [self.sum]
    }

    #[inline(always)]
    fn run(&mut self, columns: &Columns, out: &mut [&mut [f64]]) {
        let mut sum = self.sum;
        let prices = columns.high.iter().zip(columns.low).zip(columns.close);
        for (out, ((high, low), close)) in out[0].iter_mut().zip(prices) {
            *out = pressure(*high, *low, *close);
        }
        for (out, volume) in out[0].iter_mut().zip(columns.volume) {
            sum += *out * volume;
            *out = sum;
        }
        self.sum = sum;
    }

    fn first(&self, _: usize) -> usize {
        0
    }

    fn memory(&self) -> Memory {
        Memory::Whole
    }
}

/// Where a close lies: −1 at the low, 1 at the high, 0 where there is no range.
#[inline(always)]
fn pressure(high: f64, low: f64, close: f64) -> f64 {
    ratio((close - low) - (high - close), high - low)
}

impl Bar {
    #[inline(always)]
    pub(super) fn pressure(&self) -> f64 {
        pressure(self.high, self.low, self.close)
    }
}
