//! Supertrend.

use super::atr::Atr;
use super::*;

#[derive(Clone)]
pub struct Supertrend {
    atr: Atr,
    factor: f64,
    state: Option<State>,
}

#[derive(Clone)]
struct State {
    upper: f64,
    lower: f64,
    close: f64,
    rising: bool,
}

impl Indicator for Supertrend {
    const SPEC: Spec = Spec {
        name: "supertrend",
        title: "Supertrend",
        description: "A stop some average true ranges away that only follows, and turns when the close is beyond it; direction is 1 or −1.",
        source: "Olivier Seban, 2009",
        params: &[Param::period(10), Param::factor("factor", 3.0, 0.0, 100.0)],
        outputs: &[Output::price("supertrend"), Output::own("direction")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 2];

    fn new(args: &Args) -> Self {
        Self {
            atr: Atr::of(args.bars(0)),
            factor: args.factor(1),
            state: None,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 2] {
        let atr = self.atr.next(bar);
        if atr.is_nan() {
            return [f64::NAN; 2];
        }
        let (middle, away, close) = (bar.middle(), self.factor * atr, bar.close);
        let (mut upper, mut lower, mut rising) = (middle + away, middle - away, false);
        if let Some(before) = &self.state {
            if upper >= before.upper && before.close <= before.upper {
                upper = before.upper;
            }
            if lower <= before.lower && before.close >= before.lower {
                lower = before.lower;
            }
            rising = if before.rising {
                close >= lower
            } else {
                close > upper
            };
        }
        self.state = Some(State {
            upper,
            lower,
            close,
            rising,
        });
        if rising { [lower, 1.0] } else { [upper, -1.0] }
    }

    fn first(&self, _: usize) -> usize {
        self.atr.bars()
    }

    /// Which side it is on may rest on the very first bar.
    fn memory(&self) -> Memory {
        Memory::Whole
    }
}
