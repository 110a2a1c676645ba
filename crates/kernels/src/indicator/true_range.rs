//! True range.

use super::part::then;
use super::*;

/// From the lowest to the highest of a bar and the close before it.
#[inline(always)]
fn range(high: f64, low: f64, before: f64) -> f64 {
    let top = if high > before { high } else { before };
    let bottom = if low < before { low } else { before };
    top - bottom
}

impl Bar {
    /// How far the price went since the close before.
    #[inline(always)]
    pub(super) fn true_range(&self, before: f64) -> f64 {
        range(self.high, self.low, before)
    }
}

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

    #[inline(always)]
    fn run(&mut self, columns: &Columns, out: &mut [&mut [f64]]) {
        let out = &mut *out[0];
        let (high, low, close) = (columns.high, columns.low, columns.close);
        let (Some(&last), Some(first)) = (close.last(), out.first_mut()) else {
            return;
        };
        *first = then(self.before, |before| range(high[0], low[0], before));
        self.before = last;
        let bars = high[1..].iter().zip(&low[1..]).zip(close);
        for (out, ((high, low), before)) in out[1..].iter_mut().zip(bars) {
            *out = range(*high, *low, *before);
        }
    }

    fn first(&self, _: usize) -> usize {
        1
    }

    fn memory(&self) -> Memory {
        Memory::Window(2)
    }
}
