//! Chaikin money flow.

use super::part::{Sum, Window, ratio};
use super::*;

#[derive(Clone)]
pub struct Cmf(Window<Sum<2>>);

impl Indicator for Cmf {
    const SPEC: Spec = Spec {
        name: "cmf",
        title: "Chaikin money flow",
        description: "Volume weighed by where each close lies in its bar, as a share of all volume: −1 to 1.",
        source: "Marc Chaikin, about 1985",
        params: &[Param::period(20)],
        outputs: &[Output::own("cmf")],
        inputs: Inputs::PRICES.and(Inputs::VOLUME),
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Window::new(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        match self.0.whole(Sum([bar.pressure() * bar.volume, bar.volume])) {
            Some(Sum([flow, volume])) => [ratio(flow, volume)],
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
