//! Weighted moving average.

use super::part::WeightedMean;
use super::*;

#[derive(Clone)]
pub struct Wma(WeightedMean);

impl Indicator for Wma {
    const SPEC: Spec = Spec {
        name: "wma",
        title: "Weighted moving average",
        description: "The mean of the last closes with weights 1 to period, the newest most.",
        source: "In use before 1970; described by R. Colby and T. Meyers, 1988",
        params: &[Param::period(20)],
        outputs: &[Output::price("wma")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(WeightedMean::new(args.bars(0)))
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
