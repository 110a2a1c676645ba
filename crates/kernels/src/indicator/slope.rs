//! Slope of the line of least squares.

use super::part::Weighted;
use super::*;

#[derive(Clone)]
pub struct Slope {
    sums: Weighted,
    bars: usize,
    middle: f64,
    squares: f64,
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
            squares: n * (n * n - 1.0) / 12.0,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        match self.sums.next(bar.close) {
            Some(sums) => [(sums.weighted - self.middle * sums.plain) / self.squares],
            None => [f64::NAN],
        }
    }

    fn first(&self, _: usize) -> usize {
        self.bars - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.bars)
    }
}
