//! TRIX: rate of change of a triple smoothed price.

use super::part::{Smooth, faded, ratio, then};
use super::*;

#[derive(Clone)]
pub struct Trix {
    smooth: [Smooth; 3],
    before: f64,
}

impl Indicator for Trix {
    const SPEC: Spec = Spec {
        name: "trix",
        title: "TRIX",
        description: "By how many percent the close, smoothed exponentially three times, changed since the bar before.",
        source: "Jack Hutson, Stocks & Commodities 1:5, 1983",
        params: &[Param::period(15)],
        outputs: &[Output::own("trix")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self {
            smooth: [(); 3].map(|()| Smooth::ema(args.bars(0))),
            before: f64::NAN,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let mut value = bar.close;
        for one in &mut self.smooth {
            value = then(value, |value| one.next(value));
        }
        let before = std::mem::replace(&mut self.before, value);
        [then(before, |before| 100.0 * ratio(value - before, before))]
    }

    fn first(&self, _: usize) -> usize {
        3 * (self.smooth[0].bars() - 1) + 1
    }

    fn memory(&self) -> Memory {
        faded(Indicator::first(self, 0) + 1, &[self.smooth[0].keep(); 3])
    }
}
