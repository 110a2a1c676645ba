//! Momentum.

use super::part::Lag;
use super::*;

#[derive(Clone)]
pub struct Momentum(Lag);

impl Indicator for Momentum {
    const SPEC: Spec = Spec {
        name: "momentum",
        title: "Momentum",
        description: "The close less the close of so many bars ago.",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[Param::period(10)],
        outputs: &[Output::own("momentum")],
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
            .map_or(f64::NAN, |before| bar.close - before)]
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars()
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars() + 1)
    }
}
