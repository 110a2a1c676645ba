//! Wilder's moving average.

use super::part::Smooth;
use super::*;

#[derive(Clone)]
pub struct Rma(Smooth);

impl Indicator for Rma {
    const SPEC: Spec = Spec {
        name: "rma",
        title: "Wilder's moving average",
        description: "An exponential average in which the newest close weighs 1 / period; begins with a simple mean.",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[Param::period(14)],
        outputs: &[Output::price("rma")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Smooth::wilder(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self.0.next(bar.close)]
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars() - 1
    }

    fn memory(&self) -> Memory {
        self.0.memory()
    }
}
