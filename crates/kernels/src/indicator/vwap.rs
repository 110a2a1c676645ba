//! Volume-weighted average price since midnight UTC.

use super::*;

const DAY_NS: i64 = 86_400_000_000_000;

#[derive(Clone)]
pub struct Vwap {
    day: i64,
    value: f64,
    volume: f64,
}

impl Indicator for Vwap {
    const SPEC: Spec = Spec {
        name: "vwap",
        title: "VWAP of the day",
        description: "The typical price of all bars since midnight UTC, weighted by volume; unweighted before anything was traded.",
        source: "S. Berkowitz, D. Logue and E. Noser, Journal of Finance 43:1, 1988",
        params: &[],
        outputs: &[Output::price("vwap")],
        inputs: Inputs::PRICES.and(Inputs::VOLUME).and(Inputs::START),
    };
    type Out = [f64; 1];

    fn new(_: &Args) -> Self {
        Self {
            day: i64::MIN,
            value: 0.0,
            volume: 0.0,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let day = bar.start_ns.div_euclid(DAY_NS);
        if day != self.day {
            (self.day, self.value, self.volume) = (day, 0.0, 0.0);
        }
        let typical = bar.typical();
        self.value += typical * bar.volume;
        self.volume += bar.volume;
        [if self.volume == 0.0 {
            typical
        } else {
            self.value / self.volume
        }]
    }

    fn first(&self, _: usize) -> usize {
        0
    }

    /// Of the day: how many bars that is nobody knows here.
    fn memory(&self) -> Memory {
        Memory::Whole
    }
}
