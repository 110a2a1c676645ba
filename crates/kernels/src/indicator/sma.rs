//! Simple moving average.

use super::part::Mean;
use super::*;

#[derive(Clone)]
pub struct Sma(Mean);

impl Indicator for Sma {
    const SPEC: Spec = Spec {
        name: "sma",
        title: "Simple moving average",
        description: "The mean of the last closes.",
        source: "In use before 1900; R. H. Hooker, 1901",
        params: &[Param::period(20)],
        outputs: &[Output::price("sma")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Mean::new(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self.0.next(bar.close)]
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars() - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars())
    }
}
