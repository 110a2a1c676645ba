//! Slope of the line of least squares.

use super::part::{Weighted, Weights};
use super::*;

#[derive(Clone)]
pub struct Slope {
    sums: Weighted,
    bars: usize,
    middle: f64,
    /// 1 / the sum of the squares of the ranks' distances from their middle.
    share: f64,
}

impl Slope {
    #[inline(always)]
    fn of(middle: f64, share: f64, sums: Option<Weights>) -> f64 {
        sums.map_or(f64::NAN, |sums| (sums.weighted - middle * sums.plain) * share)
    }
}

impl Indicator for Slope {
    const SPEC: Spec = Spec {
        name: "slope",
        title: "Linear regression slope",
        description: "By how much the line of least squares through the last closes rises a bar.",
        source: "A.-M. Legendre, 1805",
        params: &[Param::bars_from("period", 14, 2)],
        outputs: &[Output::own("slope")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        let bars = args.bars(0);
        let n = bars as f64;
        Self {
            sums: Weighted::new(bars),
            bars,
            middle: (n + 1.0) / 2.0,
            share: 12.0 / (n * (n * n - 1.0)),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [Self::of(self.middle, self.share, self.sums.next(bar.close))]
    }

    #[inline(always)]
    fn run(&mut self, columns: &Columns, out: &mut [&mut [f64]]) {
        let (middle, share) = (self.middle, self.share);
        let out = &mut out[0][..columns.close.len()];
        self.sums
            .run(columns.close, |at, sums| out[at] = Self::of(middle, share, sums));
    }

    fn first(&self, _: usize) -> usize {
        self.bars - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.bars)
    }
}
