//! Donchian channel.

use super::part::{Span, Window};
use super::*;

#[derive(Clone)]
pub struct Donchian(Window<Span>);

impl Indicator for Donchian {
    const SPEC: Spec = Spec {
        name: "donchian",
        title: "Donchian channel",
        description: "The highest high and the lowest low of the last bars, this one included, and what is halfway.",
        source: "Richard Donchian, 1960",
        params: &[Param::period(20)],
        outputs: &[
            Output::band("upper"),
            Output::price("middle"),
            Output::band("lower"),
        ],
        inputs: Inputs::RANGE,
    };
    type Out = [f64; 3];

    fn new(args: &Args) -> Self {
        Self(Window::new(args.bars(0)))
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 3] {
        match self.0.whole(bar.span()) {
            Some(span) => [span.high, span.middle(), span.low],
            None => [f64::NAN; 3],
        }
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars() - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars())
    }
}
