//! True range.

use super::part::then;
use super::*;

#[derive(Clone)]
pub struct TrueRange {
    before: f64,
}

impl TrueRange {
    pub fn of() -> Self {
        Self { before: f64::NAN }
    }

    /// NaN for the first bar, which has none before it.
    #[inline(always)]
    pub fn next(&mut self, bar: &Bar) -> f64 {
        let before = std::mem::replace(&mut self.before, bar.close);
        then(before, |before| bar.true_range(before))
    }
}

impl Indicator for TrueRange {
    const SPEC: Spec = Spec {
        name: "true_range",
        title: "True range",
        description: "From the lowest to the highest of the bar and the close before it.",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[],
        outputs: &[Output::own("true_range")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 1];

    fn new(_: &Args) -> Self {
        Self::of()
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        [self.next(bar)]
    }

    fn first(&self, _: usize) -> usize {
        1
    }

    fn memory(&self) -> Memory {
        Memory::Window(2)
    }
}
