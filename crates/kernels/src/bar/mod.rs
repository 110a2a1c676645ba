//! Bars: open, high, low, close and volume over an interval, exact in integers.
//!
//! A bar covers `[start, end)` by `ts_event`; an interval without trades has no bar. Open and close
//! are the first and last trade by (`ts_event`, `sequence`), so any permutation, doubling (same trade
//! id) or lateness of the same trades ends in the same bars. Sums are i128, prices i64; what does not
//! fit is an error, never a wrap.
//!
//! - [`BarBuilder`]: one series, streaming. [`Bars`]: all instruments and several intervals at once.
//! - [`batch`]: the same bars from a whole set of trades. [`reduce`]: the same from sorted columns, of trades
//!   or of shorter bars; [`reduce_all`] for many intervals at once, [`resample`] as rows;
//!   [`reduce_shared`] by several threads.
//! - [`merge`]: bars into longer bars; associative, so 1s → 1h equals 1s → 1m → 1h.
//! - [`Cut`]: where bars begin and end: [`Every`] interval, or given [`Spans`] such as sessions.
//!
//! A trade with [`wire::flag::IRREGULAR`] is in no bar.

mod bars;
mod builder;
mod column;
mod cut;
mod interval;
mod resample;
mod shared;
mod sum;

use std::borrow::Borrow;
use std::fmt;

use wire::Record;

pub use bars::{Bars, Emitted};
pub use builder::{BarBuilder, Closed, Pushed};
pub use column::{Columns, Made, count_max, reduce, reduce_all};
pub use cut::{Cut, Every, Spans};
pub use interval::{Interval, IntervalError};
pub use resample::resample;
pub use shared::{Fresh, Pool, reduce_shared, sums_shared, threads};
pub use sum::{Sums, sums};

/// A bar is closed when arrival time has passed its end by this much, nanoseconds.
pub const GRACE_NS: i64 = 2_000_000_000;

const POWERS: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// One bar. Values are mantissas: price = mantissa × 10^−price_scale, volume × 10^−size_scale, at the
/// finest scale among the bar's own trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bar {
    /// First nanosecond of the interval.
    pub start_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub price_scale: u8,
    /// Sum of the sizes.
    pub volume: i128,
    pub size_scale: u8,
    /// Number of trades.
    pub trades: u64,
    /// Earliest time a strategy may use this bar: its interval's end, or its last trade's if later.
    pub ts_known: i64,
}

impl Bar {
    /// Equal in every value, whatever the scales and times.
    pub fn same_values(&self, other: &Bar) -> bool {
        let (mut a, mut b) = (*self, *other);
        let price_scale = a.price_scale.max(b.price_scale);
        let size_scale = a.size_scale.max(b.size_scale);
        a.rescale(price_scale, size_scale).is_ok()
            && b.rescale(price_scale, size_scale).is_ok()
            && (a.start_ns, a.open, a.high, a.low, a.close, a.volume, a.trades)
                == (b.start_ns, b.open, b.high, b.low, b.close, b.volume, b.trades)
    }

    /// The same values at finer scales; unchanged on error.
    fn rescale(&mut self, price_scale: u8, size_scale: u8) -> Result<(), BarError> {
        let prices = power(price_scale, self.price_scale)?;
        let sizes = power(size_scale, self.size_scale)?;
        let price = |value: i64| value.checked_mul(prices).ok_or(BarError::Price);
        let (open, high) = (price(self.open)?, price(self.high)?);
        let (low, close) = (price(self.low)?, price(self.close)?);
        self.volume = self
            .volume
            .checked_mul(i128::from(sizes))
            .ok_or(BarError::Volume)?;
        (self.open, self.high, self.low, self.close) = (open, high, low, close);
        (self.price_scale, self.size_scale) = (price_scale, size_scale);
        Ok(())
    }

    /// Takes in a later bar of the same longer interval; unchanged on error.
    fn absorb(&mut self, later: &Bar) -> Result<(), BarError> {
        let mut later = *later;
        let price_scale = self.price_scale.max(later.price_scale);
        let size_scale = self.size_scale.max(later.size_scale);
        later.rescale(price_scale, size_scale)?;
        let mut merged = *self;
        merged.rescale(price_scale, size_scale)?;
        merged.volume = merged.volume.checked_add(later.volume).ok_or(BarError::Volume)?;
        merged.high = merged.high.max(later.high);
        merged.low = merged.low.min(later.low);
        merged.close = later.close;
        merged.trades = merged.trades.checked_add(later.trades).ok_or(BarError::Trades)?;
        merged.ts_known = merged.ts_known.max(later.ts_known);
        *self = merged;
        Ok(())
    }
}

/// Why a trade or bar cannot be taken in. Nothing has changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarError {
    /// A price does not fit 64 bits at the finest scale of its bar.
    Price,
    /// A volume does not fit 128 bits.
    Volume,
    /// A number of trades does not fit 64 bits.
    Trades,
    /// A scale above 18, which only corrupt bytes have.
    Scale,
    /// Rows or bars are not in ascending order.
    Order,
    /// Columns are not of one length.
    Length,
    /// Spans to cut at overlap, are empty, or are not in ascending order.
    Spans,
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Price => "a price does not fit 64 bits at the finest scale of its bar",
            Self::Volume => "a volume does not fit 128 bits",
            Self::Trades => "a number of trades does not fit 64 bits",
            Self::Scale => "a scale is above 18",
            Self::Order => "bars to merge must ascend by start",
            Self::Length => "the columns differ in length",
            Self::Spans => "spans must ascend, each with its start before its end, and not overlap",
        })
    }
}

impl std::error::Error for BarError {}

/// 10^(fine − coarse).
fn power(fine: u8, coarse: u8) -> Result<i64, BarError> {
    if fine > 18 {
        return Err(BarError::Scale);
    }
    POWERS
        .get(usize::from(fine.checked_sub(coarse).ok_or(BarError::Scale)?))
        .copied()
        .ok_or(BarError::Scale)
}

/// The bars of a whole set of trades of one instrument, in any order, ascending by start. Records of
/// other kinds are left out.
pub fn batch<'a>(
    interval: Interval,
    trades: impl IntoIterator<Item = (&'a Record, u64)>,
) -> Result<Vec<Bar>, BarError> {
    let mut builder = BarBuilder::with_interval(interval);
    for (record, sequence) in trades {
        builder.push(record, sequence)?;
    }
    Ok(builder.bars().copied().collect())
}

/// Bars of a longer interval from bars that ascend by start and do not overlap.
pub fn merge(
    interval: Interval,
    bars: impl IntoIterator<Item = impl Borrow<Bar>>,
) -> Result<Vec<Bar>, BarError> {
    merge_by(&mut Every::new(interval), bars).map(|merged| merged.into_iter().map(|(_, bar)| bar).collect())
}

/// Bars of spans from bars that ascend by start, do not overlap and reach over no edge of a span, each with
/// the end of its span; what begins in no span is in none.
pub fn merge_by(
    cut: &mut impl Cut,
    bars: impl IntoIterator<Item = impl Borrow<Bar>>,
) -> Result<Vec<(i64, Bar)>, BarError> {
    let mut merged: Vec<(i64, Bar)> = Vec::new();
    let mut previous = i64::MIN;
    for bar in bars {
        let bar = bar.borrow();
        if bar.start_ns < previous {
            return Err(BarError::Order);
        }
        previous = bar.start_ns;
        match merged.last_mut() {
            Some((end_ns, open)) if bar.start_ns < *end_ns => open.absorb(bar)?,
            _ => {
                let Some((start_ns, end_ns)) = cut.span(bar.start_ns) else {
                    continue;
                };
                let ts_known = bar.ts_known.max(end_ns);
                merged.push((
                    end_ns,
                    Bar {
                        start_ns,
                        ts_known,
                        ..*bar
                    },
                ));
            }
        }
    }
    Ok(merged)
}
