//! Indicators of bars: one state that is fed bar after bar, alone or a whole series at once by the same code.
//!
//! A bar with a NaN or an infinity in an input that an indicator uses gives NaN and leaves the state as it was.
//! `docs/indicators.md` lists them all, with their sources and where other programs differ.

mod part;
mod registry;
mod series;
mod spec;

mod accumulation;
mod adx;
mod aroon;
mod atr;
mod bollinger;
mod cci;
mod cmf;
mod dema;
mod deviation;
mod donchian;
mod ema;
mod hma;
mod ichimoku;
mod kama;
mod keltner;
mod macd;
mod mfi;
mod momentum;
mod natr;
mod obv;
mod psar;
mod rma;
mod roc;
mod rolling_vwap;
mod rsi;
mod slope;
mod sma;
mod stochastic;
mod stochastic_rsi;
mod supertrend;
mod tema;
mod trix;
mod true_range;
mod ultimate;
mod vwap;
mod williams_r;
mod wma;

pub use registry::{Fault, Instance, all, find};
pub use series::Columns;
pub use spec::{Draw, Inputs, Kind, Memory, Output, Pane, Param, Spec};

pub(crate) use part::Smooth;
use part::Span;
use series::Values;
use spec::Args;

/// One bar, as research sees it: prices and volume are floats here, exact digits end where arrays begin.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Start of its interval, UTC ns.
    pub start_ns: i64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
}

impl Bar {
    /// A third of high, low and close.
    fn typical(&self) -> f64 {
        (self.high + self.low + self.close) / 3.0
    }

    fn span(&self) -> Span {
        Span {
            high: self.high,
            low: self.low,
        }
    }

    fn middle(&self) -> f64 {
        (self.high + self.low) / 2.0
    }
}

impl Columns<'_> {
    #[inline(always)]
    fn span(&self, at: usize) -> Span {
        Span {
            high: self.high[at],
            low: self.low[at],
        }
    }
}

/// What a file of this folder gives. `update` allocates nothing and takes constant time a bar, seen over many
/// (`cci` alone goes through its window each time).
trait Indicator: Clone + Send + Sync + 'static {
    const SPEC: Spec;
    /// `[f64; N]`, as many as the spec has outputs.
    type Out: Values;

    /// From parameters that are known to be in range, in the spec's order.
    fn new(args: &Args) -> Self;

    /// Takes a bar whose used inputs are finite; an output is NaN until its `first`.
    fn update(&mut self, bar: &Bar) -> Self::Out;

    /// Takes a range of bars, whose used inputs are all finite, as if `update` were called for each, to the bit. An
    /// indicator has its own where a loop over columns is faster than one over bars.
    #[inline(always)]
    fn run(&mut self, columns: &Columns, out: &mut [&mut [f64]]) {
        series::each(self, columns, out);
    }

    /// Index of the first value of an output, of a series without gaps.
    fn first(&self, output: usize) -> usize;

    fn memory(&self) -> Memory;
}
