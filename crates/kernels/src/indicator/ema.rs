//! Exponential moving average.

use super::part::Smooth;
use super::*;

#[derive(Clone)]
pub struct Ema(Smooth);

impl Indicator for Ema {
    const SPEC: Spec = Spec {
        name: "ema",
        title: "Exponential moving average",
        description: "The newest close weighs 2 / (period + 1), what came before the rest; begins with a simple mean.",
        source: "R. G. Brown, 1956; P. N. Haurlan, Measuring Trend Values, 1968",
        params: &[Param::period(20)],
        outputs: &[Output::price("ema")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Smooth::ema(args.bars(0)))
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
