//! Kaufman's adaptive moving average.

use super::part::{Lag, Sum, Walk, Window, faded};
use super::*;

#[derive(Clone)]
pub struct Kama {
    lag: Lag,
    steps: Window<Sum<1>>,
    before: f64,
    smooth: Adaptive,
}

/// The smoothing itself.
#[derive(Clone)]
struct Adaptive {
    /// Until there is a value the last close, which is what the first one begins with.
    value: f64,
    slow: f64,
    fast: f64,
}

impl Adaptive {
    /// Takes a close, the one a period ago and the way the price went since then.
    #[inline(always)]
    fn next(&mut self, close: f64, then: f64, way: f64) -> f64 {
        let net = (close - then).abs();
        // Rounding may make the way shorter than the way as the crow flies.
        let efficiency = if way <= net { 1.0 } else { net / way };
        let share = efficiency * (self.fast - self.slow) + self.slow;
        let take = share * share;
        self.value = (1.0 - take) * self.value + take * close;
        self.value
    }

    #[inline(always)]
    fn wait(&mut self, close: f64) -> f64 {
        self.value = close;
        f64::NAN
    }
}

impl Indicator for Kama {
    const SPEC: Spec = Spec {
        name: "kama",
        title: "Kaufman's adaptive moving average",
        description: "An exponential average that is fast where the price goes straight and slow where it only goes to and fro.",
        source: "Perry Kaufman, Smarter Trading, 1995",
        params: &[Param::period(10), Param::bars("fast", 2), Param::bars("slow", 30)],
        outputs: &[Output::price("kama")],
        inputs: Inputs::CLOSE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        let share = |at| 2.0 / (args.bars(at) as f64 + 1.0);
        Self {
            lag: Lag::new(args.bars(0)),
            steps: Window::new(args.bars(0)),
            before: f64::NAN,
            smooth: Adaptive {
                value: f64::NAN,
                fast: share(1),
                slow: share(2),
            },
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let close = bar.close;
        let before = std::mem::replace(&mut self.before, close);
        let then = self.lag.push(close);
        if before.is_nan() {
            return [self.smooth.wait(close)];
        }
        let way = self.steps.push(Sum([(close - before).abs()]));
        [match then {
            Some(then) => self.smooth.next(close, then, way.0[0]),
            None => self.smooth.wait(close),
        }]
    }

    #[inline(always)]
    fn run(&mut self, columns: &Columns, out: &mut [&mut [f64]]) {
        let (mut close, mut out) = (columns.close, &mut out[0][..columns.close.len()]);
        let Some(&last) = close.last() else { return };
        if self.before.is_nan() {
            // Of the first close of all there is no step.
            self.before = close[0];
            self.lag.push(close[0]);
            out[0] = self.smooth.wait(close[0]);
            (close, out) = (&close[1..], &mut out[1..]);
        }
        // `out` holds what was a period ago until it holds what it is for.
        self.lag.run(close, out);
        let mut way = Way {
            close,
            out,
            before: self.before,
            smooth: self.smooth.clone(),
        };
        self.steps.run(close.len(), &mut way);
        (self.before, self.smooth) = (last, way.smooth);
    }

    fn first(&self, _: usize) -> usize {
        self.lag.bars()
    }

    /// As if the price never went straight: its slowest.
    fn memory(&self) -> Memory {
        let least = if self.smooth.slow < self.smooth.fast {
            self.smooth.slow
        } else {
            self.smooth.fast
        };
        faded(self.lag.bars() + 1, &[1.0 - least * least])
    }
}

/// Over closes, each with what was a period before it in its place of `out`.
struct Way<'a> {
    close: &'a [f64],
    out: &'a mut [f64],
    /// The close before the first.
    before: f64,
    smooth: Adaptive,
}

impl Way<'_> {
    #[inline(always)]
    fn before(&self, at: usize) -> f64 {
        match at.checked_sub(1) {
            Some(at) => self.close[at],
            None => self.before,
        }
    }
}

impl Walk<Sum<1>> for Way<'_> {
    #[inline(always)]
    fn value(&self, at: usize) -> Sum<1> {
        Sum([(self.close[at] - self.before(at)).abs()])
    }

    #[inline(always)]
    fn tell(&mut self, at: usize, way: Option<Sum<1>>) {
        let (close, then) = (self.close[at], self.out[at]);
        self.out[at] = match way {
            Some(way) => self.smooth.next(close, then, way.0[0]),
            None => self.smooth.wait(close),
        };
    }
}
