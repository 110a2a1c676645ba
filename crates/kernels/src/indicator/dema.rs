//! Double exponential moving average.

use super::part::{Smooth, faded, then};
use super::*;

#[derive(Clone)]
pub struct Dema {
    once: Smooth,
    twice: Smooth,
}

impl Indicator for Dema {
    const SPEC: Spec = Spec {
        name: "dema",
        title: "Double exponential moving average",
        description: "Twice the exponential average less the exponential average of it: the same smoothness with less lag.",
        source: "Patrick Mulloy, Stocks & Commodities 12:1, 1994",
        params: &[Param::period(20)],
        outputs: &[Output::price("dema")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        let ema = || Smooth::ema(args.bars(0));
        Self {
            once: ema(),
            twice: ema(),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let once = self.once.next(bar.close);
        let twice = then(once, |value| self.twice.next(value));
        [2.0 * once - twice]
    }

    fn first(&self, _: usize) -> usize {
        2 * (self.once.bars() - 1)
    }

    fn memory(&self) -> Memory {
        faded(Indicator::first(self, 0) + 1, &[self.once.keep(); 2])
    }
}
