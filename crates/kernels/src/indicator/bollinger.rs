//! Bollinger bands.

use super::part::Spread;
use super::*;

#[derive(Clone)]
pub struct Bollinger {
    spread: Spread,
    bars: usize,
    deviations: f64,
}

impl Indicator for Bollinger {
    const SPEC: Spec = Spec {
        name: "bollinger",
        title: "Bollinger bands",
        description: "A simple average, and so many population standard deviations above and below it.",
        source: "John Bollinger, 1983; Bollinger on Bollinger Bands, 2001",
        params: &[Param::period(20), Param::factor("deviations", 2.0, 0.0, 100.0)],
        outputs: &[
            Output::band("upper"),
            Output::price("middle"),
            Output::band("lower"),
        ],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 3];

    fn new(args: &Args) -> Self {
        Self {
            spread: Spread::new(args.bars(0)),
            bars: args.bars(0),
            deviations: args.factor(1),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 3] {
        let (mean, variance) = self.spread.next(bar.close);
        let away = self.deviations * variance.sqrt();
        [mean + away, mean, mean - away]
    }

    fn first(&self, _: usize) -> usize {
        self.bars - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.bars)
    }
}
