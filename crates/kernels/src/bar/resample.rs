//! Bars as rows from sorted arrays of trades.

use super::column::{Columns, Made, count_max, reduce};
use super::{Bar, BarError, Every, Interval};

/// Bars from arrays of trades that ascend by (`ts_event`, `sequence`), doubles already out, all at
/// the same scales; the arrays have one length. `ts_known` of a bar is its end.
pub fn resample(
    interval: Interval,
    ts_event: &[i64],
    price: &[i64],
    size: &[i64],
    (price_scale, size_scale): (u8, u8),
) -> Result<Vec<Bar>, BarError> {
    let mut made = Made::in_buffers(count_max(interval, ts_event), |_| Vec::new());
    reduce(
        &mut Every::new(interval),
        &Columns::of_trades(ts_event, price, size),
        &mut made,
    )?;
    let bar = |at: usize| Bar {
        start_ns: made.start[at],
        open: made.open[at],
        high: made.high[at],
        low: made.low[at],
        close: made.close[at],
        price_scale,
        volume: made.volume_at(at),
        size_scale,
        trades: made.trades[at] as u64,
        ts_known: interval.end(made.start[at]),
    };
    Ok((0..made.start.len()).map(bar).collect())
}
