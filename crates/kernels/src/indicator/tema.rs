//! Triple exponential moving average.

use super::part::{Smooth, faded, then};
use super::*;

#[derive(Clone)]
pub struct Tema([Smooth; 3]);

impl Indicator for Tema {
    const SPEC: Spec = Spec {
        name: "tema",
        title: "Triple exponential moving average",
        description: "3 e1 − 3 e2 + e3, where e1 is the exponential average, e2 that of e1 and e3 that of e2.",
        source: "Patrick Mulloy, Stocks & Commodities 12:2, 1994",
        params: &[Param::period(20)],
        outputs: &[Output::price("tema")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self([(); 3].map(|()| Smooth::ema(args.bars(0))))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let [once, twice, thrice] = &mut self.0;
        let once = once.next(bar.close);
        let twice = then(once, |value| twice.next(value));
        let thrice = then(twice, |value| thrice.next(value));
        [3.0 * once - 3.0 * twice + thrice]
    }

    fn first(&self, _: usize) -> usize {
        3 * (self.0[0].bars() - 1)
    }

    fn memory(&self) -> Memory {
        faded(Indicator::first(self, 0) + 1, &[self.0[0].keep(); 3])
    }
}
