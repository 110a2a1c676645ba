//! Volume-weighted average price of the last bars.

use super::part::{Sum, Window};
use super::*;

#[derive(Clone)]
pub struct RollingVwap(Window<Sum<2>>);

impl Indicator for RollingVwap {
    const SPEC: Spec = Spec {
        name: "rolling_vwap",
        title: "Rolling VWAP",
        description: "The typical price of the last bars, weighted by volume; that of this bar where none of them traded.",
        source: "S. Berkowitz, D. Logue and E. Noser, Journal of Finance 43:1, 1988",
        params: &[Param::period(20)],
        outputs: &[Output::price("rolling_vwap")],
        inputs: Inputs::PRICES.and(Inputs::VOLUME),
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Window::new(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let typical = bar.typical();
        match self.0.whole(Sum([typical * bar.volume, bar.volume])) {
            Some(Sum([_, 0.0])) => [typical],
            Some(Sum([value, volume])) => [value / volume],
            None => [f64::NAN],
        }
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars() - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars())
    }
}
