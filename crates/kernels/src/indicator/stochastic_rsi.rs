//! Stochastic oscillator of the relative strength index.

use super::part::{Mean, Span, Window, then};
use super::rsi::Rsi;
use super::*;

#[derive(Clone)]
pub struct StochasticRsi {
    rsi: Rsi,
    span: Window<Span>,
    k: Mean,
    d: Mean,
}

impl Indicator for StochasticRsi {
    const SPEC: Spec = Spec {
        name: "stochastic_rsi",
        title: "Stochastic RSI",
        description: "Where the RSI lies between its lowest and highest, in percent: k is that averaged, d k averaged.",
        source: "Tushar Chande and Stanley Kroll, The New Technical Trader, 1994",
        params: &[
            Param::period(14),
            Param::bars("window", 14),
            Param::bars("k", 3),
            Param::bars("d", 3),
        ],
        outputs: &[Output::own("k"), Output::own("d")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 2];

    fn new(args: &Args) -> Self {
        Self {
            rsi: Rsi::of(args.bars(0)),
            span: Window::new(args.bars(1)),
            k: Mean::new(args.bars(2)),
            d: Mean::new(args.bars(3)),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 2] {
        let rsi = self.rsi.next(bar.close);
        if rsi.is_nan() {
            return [f64::NAN; 2];
        }
        let Some(span) = self.span.whole(Span { high: rsi, low: rsi }) else {
            return [f64::NAN; 2];
        };
        let k = self.k.next(100.0 * span.place(rsi));
        [k, then(k, |k| self.d.next(k))]
    }

    fn first(&self, output: usize) -> usize {
        let k = self.rsi.bars() + self.span.bars() + self.k.bars() - 2;
        k + if output == 1 { self.d.bars() - 1 } else { 0 }
    }

    fn memory(&self) -> Memory {
        let rsi = Indicator::memory(&self.rsi);
        rsi.over(self.span.bars()).over(self.k.bars()).over(self.d.bars())
    }
}
