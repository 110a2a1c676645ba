//! Williams %R.

use super::part::{Span, Walk, Window, ratio};
use super::*;

#[derive(Clone)]
pub struct WilliamsR(Window<Span>);

impl WilliamsR {
    #[inline(always)]
    fn of(span: Option<Span>, close: f64) -> f64 {
        span.map_or(f64::NAN, |span| {
            100.0 * ratio(close - span.high, span.high - span.low)
        })
    }
}

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
        [Self::of(self.0.whole(bar.span()), bar.close)]
    }

    #[inline(always)]
    fn run(&mut self, rows: &Columns, out: &mut [&mut [f64]]) {
        let out = &mut out[0][..rows.high.len()];
        self.0.run(rows.high.len(), &mut Place { rows, out });
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars() - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars())
    }
}

struct Place<'a> {
    rows: &'a Columns<'a>,
    out: &'a mut [f64],
}

impl Walk<Span> for Place<'_> {
    #[inline(always)]
    fn value(&self, at: usize) -> Span {
        self.rows.span(at)
    }

    #[inline(always)]
    fn tell(&mut self, at: usize, span: Option<Span>) {
        self.out[at] = WilliamsR::of(span, self.rows.close[at]);
    }
}
