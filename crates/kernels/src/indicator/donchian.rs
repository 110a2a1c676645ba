//! Donchian channel.

use super::part::{Span, Walk, Window};
use super::*;

#[derive(Clone)]
pub struct Donchian(Window<Span>);

impl Donchian {
    #[inline(always)]
    fn of(span: Option<Span>) -> [f64; 3] {
        span.map_or([f64::NAN; 3], |span| [span.high, span.middle(), span.low])
    }
}

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
        Self::of(self.0.whole(bar.span()))
    }

    #[inline(always)]
    fn run(&mut self, rows: &Columns, out: &mut [&mut [f64]]) {
        let len = rows.high.len();
        let Ok(out) = <&mut [&mut [f64]; 3]>::try_from(out) else {
            return;
        };
        let out = out.each_mut().map(|column| &mut column[..len]);
        self.0.run(len, &mut Channel { rows, out });
    }

    fn first(&self, _: usize) -> usize {
        self.0.bars() - 1
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.0.bars())
    }
}

struct Channel<'a> {
    rows: &'a Columns<'a>,
    out: [&'a mut [f64]; 3],
}

impl Walk<Span> for Channel<'_> {
    #[inline(always)]
    fn value(&self, at: usize) -> Span {
        self.rows.span(at)
    }

    #[inline(always)]
    fn tell(&mut self, at: usize, span: Option<Span>) {
        for (column, value) in self.out.iter_mut().zip(Donchian::of(span)) {
            column[at] = value;
        }
    }
}
