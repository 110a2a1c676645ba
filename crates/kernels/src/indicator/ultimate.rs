//! Ultimate oscillator.

use super::part::{Sum, Window, ratio};
use super::*;

#[derive(Clone)]
pub struct Ultimate {
    /// Buying pressure and true range.
    sums: [Window<Sum<2>>; 3],
    before: f64,
}

impl Indicator for Ultimate {
    const SPEC: Spec = Spec {
        name: "ultimate",
        title: "Ultimate oscillator",
        description: "What of the true range lay below the close, in percent, over three spans that weigh 4, 2 and 1.",
        source: "Larry Williams, Stocks & Commodities 3:4, 1985",
        params: &[
            Param::bars("short", 7),
            Param::bars("middle", 14),
            Param::bars("long", 28),
        ],
        outputs: &[Output::own("ultimate")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self {
            sums: [0, 1, 2].map(|at| Window::new(args.bars(at))),
            before: f64::NAN,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let before = std::mem::replace(&mut self.before, bar.close);
        if before.is_nan() {
            return [f64::NAN];
        }
        let low = if bar.low < before { bar.low } else { before };
        let one = Sum([bar.close - low, bar.true_range(before)]);
        let [short, middle, long] = &mut self.sums;
        let (short, middle, long) = (short.whole(one), middle.whole(one), long.whole(one));
        let share = |sum: Sum<2>| ratio(sum.0[0], sum.0[1]);
        match (short, middle, long) {
            (Some(short), Some(middle), Some(long)) => {
                [100.0 * (4.0 * share(short) + 2.0 * share(middle) + share(long)) / 7.0]
            }
            _ => [f64::NAN],
        }
    }

    fn first(&self, _: usize) -> usize {
        self.sums.iter().map(Window::bars).max().unwrap_or(1)
    }

    fn memory(&self) -> Memory {
        Memory::Window(Indicator::first(self, 0) + 1)
    }
}
