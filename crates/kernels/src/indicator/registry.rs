//! All indicators by name, and one of them with its parameters.

use std::fmt;

use super::series::{Columns, Series};
use super::spec::{Args, Kind, Memory, Spec};
use super::*;

/// An indicator that can be made.
pub struct Entry {
    pub spec: &'static Spec,
    make: fn(&Args) -> Box<dyn Series>,
}

const fn entry<I: Indicator>() -> Entry {
    fn make<I: Indicator>(args: &Args) -> Box<dyn Series> {
        Box::new(I::new(args))
    }
    Entry {
        spec: &const { I::SPEC },
        make: make::<I>,
    }
}

static ALL: &[Entry] = &[
    entry::<sma::Sma>(),
    entry::<ema::Ema>(),
    entry::<wma::Wma>(),
    entry::<dema::Dema>(),
    entry::<tema::Tema>(),
    entry::<hma::Hma>(),
    entry::<kama::Kama>(),
    entry::<rma::Rma>(),
    entry::<bollinger::Bollinger>(),
    entry::<keltner::Keltner>(),
    entry::<donchian::Donchian>(),
    entry::<supertrend::Supertrend>(),
    entry::<psar::Psar>(),
    entry::<ichimoku::Ichimoku>(),
    entry::<vwap::Vwap>(),
    entry::<rolling_vwap::RollingVwap>(),
    entry::<rsi::Rsi>(),
    entry::<macd::Macd>(),
    entry::<stochastic::Stochastic>(),
    entry::<stochastic_rsi::StochasticRsi>(),
    entry::<williams_r::WilliamsR>(),
    entry::<cci::Cci>(),
    entry::<roc::Roc>(),
    entry::<momentum::Momentum>(),
    entry::<trix::Trix>(),
    entry::<ultimate::Ultimate>(),
    entry::<aroon::Aroon>(),
    entry::<adx::Adx>(),
    entry::<slope::Slope>(),
    entry::<true_range::TrueRange>(),
    entry::<atr::Atr>(),
    entry::<natr::Natr>(),
    entry::<deviation::Deviation>(),
    entry::<obv::Obv>(),
    entry::<accumulation::Accumulation>(),
    entry::<cmf::Cmf>(),
    entry::<mfi::Mfi>(),
];

/// All of them, those drawn over prices first.
pub fn all() -> &'static [Entry] {
    ALL
}

pub fn find(name: &str) -> Result<&'static Entry, Fault> {
    ALL.iter()
        .find(|one| one.spec.name == name)
        .ok_or_else(|| Fault::Unknown(name.into()))
}

impl Entry {
    /// One with these parameters, and the defaults of those that are not given.
    pub fn with<'a>(
        &'static self,
        given: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<Instance, Fault> {
        let spec = self.spec;
        let mut values: Vec<f64> = spec.params.iter().map(|one| one.default).collect();
        for (name, value) in given {
            let Some(at) = spec.params.iter().position(|one| one.name == name) else {
                return Err(Fault::NoParameter {
                    spec,
                    name: name.into(),
                });
            };
            let param = &spec.params[at];
            // A NaN is in no range.
            let fits = (param.low..=param.high).contains(&value);
            if !fits || (param.kind == Kind::Int && value.fract() != 0.0) {
                return Err(Fault::OutOfRange { spec, at, value });
            }
            values[at] = value;
        }
        let args = Args(values);
        Ok(Instance {
            spec,
            series: (self.make)(&args),
            args,
        })
    }
}

/// An indicator with its parameters and all it has seen.
pub struct Instance {
    pub spec: &'static Spec,
    series: Box<dyn Series>,
    args: Args,
}

impl Instance {
    /// Takes one bar; `out` has as many places as the spec has outputs.
    pub fn update(&mut self, bar: &Bar, out: &mut [f64]) {
        self.series.update(bar, out);
    }

    /// Takes a series, as if `update` were called for each bar of it; columns of `out` are as long as those used.
    pub fn batch(&mut self, columns: &Columns, out: &mut [&mut [f64]]) -> Result<(), Fault> {
        let len = self.len(columns)?;
        assert_eq!(out.len(), self.spec.outputs.len(), "one column for each output");
        self.series.batch(len, columns, out);
        Ok(())
    }

    /// How long the columns in use are; all of them have to be of one length.
    pub fn len(&self, columns: &Columns) -> Result<usize, Fault> {
        let told = columns.len(self.spec.inputs);
        told.map_err(|(column, len, others)| Fault::Lengths { column, len, others })
    }

    /// Index of the first value of an output, of a series without gaps.
    pub fn first(&self, output: usize) -> usize {
        self.series.first(output)
    }

    pub fn memory(&self) -> Memory {
        self.series.memory()
    }

    /// By how many bars an output is drawn later, or earlier where negative.
    pub fn shift(&self, output: usize) -> i64 {
        let Some((name, sign)) = self.spec.outputs[output].shift else {
            return 0;
        };
        let at = self.spec.params.iter().position(|one| one.name == name);
        at.map_or(0, |at| self.args.0[at] as i64 * i64::from(sign))
    }

    /// The parameters in the spec's order.
    pub fn params(&self) -> &[f64] {
        &self.args.0
    }
}

/// Why there is no such indicator, or none of such bars.
#[derive(Debug)]
pub enum Fault {
    Unknown(String),
    NoParameter {
        spec: &'static Spec,
        name: String,
    },
    OutOfRange {
        spec: &'static Spec,
        at: usize,
        value: f64,
    },
    Lengths {
        column: &'static str,
        len: usize,
        others: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unknown(name) => write!(f, "no indicator is named '{name}'"),
            Fault::NoParameter { spec, name } => {
                let names: Vec<_> = spec.params.iter().map(|one| one.name).collect();
                let has = if names.is_empty() {
                    "none".into()
                } else {
                    names.join(", ")
                };
                write!(f, "{} has no parameter '{name}'; it has: {has}", spec.name)
            }
            Fault::OutOfRange { spec, at, value } => {
                let Param {
                    name,
                    kind,
                    low,
                    high,
                    ..
                } = &spec.params[*at];
                let what = match kind {
                    Kind::Int => "a whole number",
                    Kind::Float => "a number",
                };
                let of = spec.name;
                write!(f, "{name} of {of} is {what} from {low} to {high}, not {value}")
            }
            Fault::Lengths { column, len, others } => {
                write!(f, "column {column} has {len} values, those before it {others}")
            }
        }
    }
}

impl std::error::Error for Fault {}
