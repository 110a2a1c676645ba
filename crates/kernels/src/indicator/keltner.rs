//! Keltner channel.

use super::atr::Atr;
use super::part::Smooth;
use super::*;

#[derive(Clone)]
pub struct Keltner {
    middle: Smooth,
    atr: Atr,
    factor: f64,
}

impl Indicator for Keltner {
    const SPEC: Spec = Spec {
        name: "keltner",
        title: "Keltner channel",
        description: "An exponential average of the close, and so many average true ranges above and below it.",
        source: "Chester Keltner, How to Make Money in Commodities, 1960; in this form Linda Bradford Raschke",
        params: &[
            Param::period(20),
            Param::bars("atr", 10),
            Param::factor("factor", 2.0, 0.0, 100.0),
        ],
        outputs: &[
            Output::band("upper"),
            Output::price("middle"),
            Output::band("lower"),
        ],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 3];

    fn new(args: &Args) -> Self {
        Self {
            middle: Smooth::ema(args.bars(0)),
            atr: Atr::of(args.bars(1)),
            factor: args.factor(2),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 3] {
        let middle = self.middle.next(bar.close);
        let away = self.factor * self.atr.next(bar);
        [middle + away, middle, middle - away]
    }

    fn first(&self, output: usize) -> usize {
        let middle = self.middle.bars() - 1;
        match output {
            1 => middle,
            _ => middle.max(self.atr.bars()),
        }
    }

    fn memory(&self) -> Memory {
        self.middle.memory().and(Indicator::memory(&self.atr))
    }
}
