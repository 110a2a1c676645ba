//! Normalised average true range.

use super::atr::Atr;
use super::part::{ratio, then};
use super::*;

#[derive(Clone)]
pub struct Natr(Atr);

impl Indicator for Natr {
    const SPEC: Spec = Spec {
        name: "natr",
        title: "Normalised average true range",
        description: "The average true range in percent of the close.",
        source: "John Forman, Stocks & Commodities 24:5, 2006",
        params: &[Param::period(14)],
        outputs: &[Output::own("natr")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Atr::of(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [then(self.0.next(bar), |atr| 100.0 * ratio(atr, bar.close))]
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars()
    }

    fn memory(&self) -> Memory {
        Indicator::memory(&self.0)
    }
}
