//! On-balance volume.

use super::*;

#[derive(Clone)]
pub struct Obv {
    sum: f64,
    before: f64,
}

impl Indicator for Obv {
    const SPEC: Spec = Spec {
        name: "obv",
        title: "On-balance volume",
        description: "The sum of all volumes so far, those of falling closes taken away; begins with that of the first bar.",
        source: "Joseph Granville, New Key to Stock Market Profits, 1963",
        params: &[],
        outputs: &[Output::new("obv", Draw::Line, Pane::Own)],
        inputs: Inputs::CLOSE.and(Inputs::VOLUME),
    };
    type Out = [f64; 1];

    fn new(_: &Args) -> Self {
        Self {
            sum: 0.0,
            before: f64::NEG_INFINITY,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let before = std::mem::replace(&mut self.before, bar.close);
        if bar.close > before {
            self.sum += bar.volume;
        } else if bar.close < before {
            self.sum -= bar.volume;
        }
        [self.sum]
    }

    fn first(&self, _: usize) -> usize {
        0
    }

    fn memory(&self) -> Memory {
        Memory::Whole
    }
}
