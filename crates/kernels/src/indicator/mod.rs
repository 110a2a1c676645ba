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

    /// How far the price went since the close before.
    fn true_range(&self, before: f64) -> f64 {
        let high = if self.high > before { self.high } else { before };
        let low = if self.low < before { self.low } else { before };
        high - low
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

    /// Index of the first value of an output, of a series without gaps.
    fn first(&self, output: usize) -> usize;

    fn memory(&self) -> Memory;
}
