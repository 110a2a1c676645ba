//! Average true range.

use super::part::{Smooth, faded, then};
use super::true_range::TrueRange;
use super::*;

#[derive(Clone)]
pub struct Atr {
    range: TrueRange,
    smooth: Smooth,
}

impl Atr {
    pub fn of(bars: usize) -> Self {
        Self {
            range: TrueRange::of(),
            smooth: Smooth::wilder(bars),
        }
    }

    #[inline(always)]
    pub fn next(&mut self, bar: &Bar) -> f64 {
        then(self.range.next(bar), |range| self.smooth.next(range))
    }

    pub fn bars(&self) -> usize {
        self.smooth.bars()
    }
}

impl Indicator for Atr {
    const SPEC: Spec = Spec {
        name: "atr",
        title: "Average true range",
        description: "Wilder's average of the true range.",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[Param::period(14)],
        outputs: &[Output::own("atr")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self::of(args.bars(0))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self.next(bar)]
    }

    fn first(&self, _: usize) -> usize {
        self.bars()
    }

    fn memory(&self) -> Memory {
        faded(self.bars() + 1, &[self.smooth.keep()])
    }
}
