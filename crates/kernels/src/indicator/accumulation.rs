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

    fn first(&self, _: usize) -> usize {
        0
    }

    fn memory(&self) -> Memory {
        Memory::Whole
    }
}

impl Bar {
    /// Where the close lies: −1 at the low, 1 at the high, 0 where there is no range.
    pub(super) fn pressure(&self) -> f64 {
        ratio(
            (self.close - self.low) - (self.high - self.close),
            self.high - self.low,
        )
    }
}
