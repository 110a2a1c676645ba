//! Standard deviation of the close.

use super::part::Spread;
use super::*;

#[derive(Clone)]
pub struct Deviation {
    spread: Spread,
    bars: usize,
}

impl Indicator for Deviation {
    const SPEC: Spec = Spec {
        name: "standard_deviation",
        title: "Standard deviation",
        description: "The population standard deviation (divided by n) of the last closes.",
        source: "Karl Pearson, 1894",
        params: &[Param::period(20)],
        outputs: &[Output::own("standard_deviation")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self {
            spread: Spread::new(args.bars(0)),
            bars: args.bars(0),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self.spread.next(bar.close).1.sqrt()]
    }

    fn first(&self, _: usize) -> usize {
        self.bars - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.bars)
    }
}
