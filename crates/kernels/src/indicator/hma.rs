//! Hull moving average.

use super::part::{WeightedMean, then};
use super::*;

#[derive(Clone)]
pub struct Hma {
    half: WeightedMean,
    whole: WeightedMean,
    root: WeightedMean,
}

impl Indicator for Hma {
    const SPEC: Spec = Spec {
        name: "hma",
        title: "Hull moving average",
        description: "Twice the weighted average of half the period less that of all of it, weighted again over the period's root.",
        source: "Alan Hull, 2005",
        params: &[Param::period(20)],
        outputs: &[Output::price("hma")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        let bars = args.bars(0);
        Self {
            half: WeightedMean::new((bars / 2).max(1)),
            whole: WeightedMean::new(bars),
            root: WeightedMean::new(bars.isqrt()),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let half = self.half.next(bar.close);
        let whole = self.whole.next(bar.close);
        [then(whole, |whole| self.root.next(2.0 * half - whole))]
    }

    fn first(&self, _: usize) -> usize {
        self.whole.bars() + self.root.bars() - 2
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.whole.bars()).over(self.root.bars())
    }
}
