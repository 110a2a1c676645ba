//! Williams %R.

use super::part::{Span, Window, ratio};
use super::*;

#[derive(Clone)]
pub struct WilliamsR(Window<Span>);

impl Indicator for WilliamsR {
    const SPEC: Spec = Spec {
        name: "williams_r",
        title: "Williams %R",
        description: "How far the close is below the highest high, in percent of the way to the lowest low: 0 to −100.",
        source: "Larry Williams, How I Made One Million Dollars Last Year Trading Commodities, 1973",
        params: &[Param::period(14)],
        outputs: &[Output::own("williams_r")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self(Window::new(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        match self.0.whole(bar.span()) {
            Some(span) => [100.0 * ratio(bar.close - span.high, span.high - span.low)],
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
