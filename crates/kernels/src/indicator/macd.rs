//! Moving average convergence and divergence.

use super::part::{Smooth, faded, then};
use super::*;

#[derive(Clone)]
pub struct Macd {
    fast: Smooth,
    slow: Smooth,
    signal: Smooth,
    /// How many bars the faster one still waits, so that both have their first value at once.
    wait: [usize; 2],
}

impl Indicator for Macd {
    const SPEC: Spec = Spec {
        name: "macd",
        title: "MACD",
        description: "The fast exponential average less the slow one, that smoothed (signal), and what is between (histogram).",
        source: "Gerald Appel, 1979; the histogram: Thomas Aspray, 1986",
        params: &[
            Param::bars("fast", 12),
            Param::bars("slow", 26),
            Param::bars("signal", 9),
        ],
        outputs: &[
            Output::own("macd"),
            Output::own("signal"),
            Output::new("histogram", Draw::Histogram, Pane::Own),
        ],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 3];

    fn new(args: &Args) -> Self {
        let (fast, slow) = (args.bars(0), args.bars(1));
        Self {
            fast: Smooth::ema(fast),
            slow: Smooth::ema(slow),
            signal: Smooth::ema(args.bars(2)),
            wait: [slow.saturating_sub(fast), fast.saturating_sub(slow)],
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 3] {
        let next = |smooth: &mut Smooth, wait: &mut usize| {
            if *wait > 0 {
                *wait -= 1;
                return f64::NAN;
            }
            smooth.next(bar.close)
        };
        let fast = next(&mut self.fast, &mut self.wait[0]);
        let slow = next(&mut self.slow, &mut self.wait[1]);
        let macd = fast - slow;
        let signal = then(macd, |macd| self.signal.next(macd));
        [macd, signal, macd - signal]
    }

    fn first(&self, output: usize) -> usize {
        let macd = self.fast.bars().max(self.slow.bars()) - 1;
        macd + if output > 0 { self.signal.bars() - 1 } else { 0 }
    }

    fn memory(&self) -> Memory {
        let slower = self.fast.keep().max(self.slow.keep());
        faded(Indicator::first(self, 1) + 1, &[slower, self.signal.keep()])
    }
}
