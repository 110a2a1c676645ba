//! Slow stochastic oscillator.

use super::part::{Mean, Span, Window, then};
use super::*;

#[derive(Clone)]
pub struct Stochastic {
    span: Window<Span>,
    k: Mean,
    d: Mean,
}

impl Indicator for Stochastic {
    const SPEC: Spec = Spec {
        name: "stochastic",
        title: "Stochastic oscillator",
        description: "Where the close lies between the lowest low and the highest high, in percent: k is that averaged, d k averaged.",
        source: "George Lane, 1957; Stocks & Commodities 2:3, 1984",
        params: &[Param::period(14), Param::bars("k", 3), Param::bars("d", 3)],
        outputs: &[Output::own("k"), Output::own("d")],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 2];

    fn new(args: &Args) -> Self {
        Self {
            span: Window::new(args.bars(0)),
            k: Mean::new(args.bars(1)),
            d: Mean::new(args.bars(2)),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 2] {
        let Some(span) = self.span.whole(bar.span()) else {
            return [f64::NAN; 2];
        };
        let k = self.k.next(100.0 * span.place(bar.close));
        [k, then(k, |k| self.d.next(k))]
    }

    fn first(&self, output: usize) -> usize {
        let k = self.span.bars() + self.k.bars() - 2;
        k + if output == 1 { self.d.bars() - 1 } else { 0 }
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.span.bars())
            .over(self.k.bars())
            .over(self.d.bars())
    }
}
