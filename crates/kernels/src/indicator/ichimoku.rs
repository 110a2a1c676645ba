//! Ichimoku Kinko Hyo.

use super::part::{Span, Window};
use super::*;

#[derive(Clone)]
pub struct Ichimoku {
    conversion: Window<Span>,
    base: Window<Span>,
    slow: Window<Span>,
}

impl Indicator for Ichimoku {
    const SPEC: Spec = Spec {
        name: "ichimoku",
        title: "Ichimoku cloud",
        description: "Middles of the price range over three spans. span_a and span_b are drawn `shift` bars later, the close (lagging) as \
                      many earlier; the values here are those of the bar at which they are known.",
        source: "Goichi Hosoda, 1969",
        params: &[
            Param::bars("conversion", 9),
            Param::bars("base", 26),
            Param::bars("span", 52),
            Param::bars("shift", 26),
        ],
        outputs: &[
            Output::price("conversion"),
            Output::price("base"),
            Output::shifted("span_a", Draw::Band, 1),
            Output::shifted("span_b", Draw::Band, 1),
            Output::shifted("lagging", Draw::Line, -1),
        ],
        inputs: Inputs::PRICES,
    };
    type Out = [f64; 5];

    fn new(args: &Args) -> Self {
        Self {
            conversion: Window::new(args.bars(0)),
            base: Window::new(args.bars(1)),
            slow: Window::new(args.bars(2)),
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 5] {
        let middle = |window: &mut Window<Span>| window.whole(bar.span()).map_or(f64::NAN, Span::middle);
        let conversion = middle(&mut self.conversion);
        let base = middle(&mut self.base);
        let slow = middle(&mut self.slow);
        [conversion, base, (conversion + base) / 2.0, slow, bar.close]
    }

    fn first(&self, output: usize) -> usize {
        let (conversion, base) = (self.conversion.bars(), self.base.bars());
        let bars = match output {
            0 => conversion,
            1 => base,
            2 => conversion.max(base),
            3 => self.slow.bars(),
            _ => 1,
        };
        bars - 1
    }

    fn memory(&self) -> Memory {
        let longest = [&self.conversion, &self.base, &self.slow].map(Window::bars);
        Memory::Window(longest.into_iter().max().unwrap_or(1))
    }
}
