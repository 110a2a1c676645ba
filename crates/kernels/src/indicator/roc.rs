//! Rate of change.

use super::part::{Lag, ratio};
use super::*;

#[derive(Clone)]
pub struct Roc(Lag);

impl Indicator for Roc {
    const SPEC: Spec = Spec {
        name: "roc",
        title: "Rate of change",
        description: "By how many percent the close differs from that of so many bars ago.",
        source: "R. Edwards and J. Magee, Technical Analysis of Stock Trends, 1948",
        params: &[Param::period(10)],
        outputs: &[Output::own("roc")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Lag::new(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self
            .0
            .push(bar.close)
            .map_or(f64::NAN, |before| 100.0 * ratio(bar.close - before, before))]
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars()
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars() + 1)
    }
}
