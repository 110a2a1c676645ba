//! Bars from plain columns that ascend by time: the whole history of an instrument at once.
//!
//! A row is a trade or a shorter bar, all rows at the same scales. Rows that fall into one span lie side by
//! side, so a bar is one pass over a slice of each column, as wide as the machine's registers.

use std::ops::Range;

use super::shared::{Pool, reduce_shared, threads};
use super::{BarError, Cut, Every, Interval};

/// Rows to make bars of; the columns have one length.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Start of a bar, or time of a trade, ns, ascending. Only looked at where bars begin and end: that it
    /// ascends is the caller's promise, and a breach that is seen is [`BarError::Order`].
    pub ts: &'a [i64],
    pub open: &'a [i64],
    pub high: &'a [i64],
    pub low: &'a [i64],
    pub close: &'a [i64],
    pub volume: &'a [i64],
    /// Upper halves of volumes of 128 bits, whose lower ones are in `volume` then.
    pub volume_high: Option<&'a [i64]>,
    /// Trades of each row; without it each row is one.
    pub trades: Option<&'a [i64]>,
}

impl<'a> Columns<'a> {
    /// Each row a trade.
    pub fn of_trades(ts: &'a [i64], price: &'a [i64], size: &'a [i64]) -> Self {
        Self {
            ts,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: size,
            volume_high: None,
            trades: None,
        }
    }

    /// Some of the rows.
    pub(super) fn range(&self, range: Range<usize>) -> Self {
        let cut = |column: &'a [i64]| &column[range.clone()];
        Self {
            ts: cut(self.ts),
            open: cut(self.open),
            high: cut(self.high),
            low: cut(self.low),
            close: cut(self.close),
            volume: cut(self.volume),
            volume_high: self.volume_high.map(cut),
            trades: self.trades.map(cut),
        }
    }

    pub(super) fn have_one_length(&self) -> bool {
        let rows = self.ts.len();
        let narrow = [self.open, self.high, self.low, self.close, self.volume];
        let maybe = [self.volume_high, self.trades];
        narrow
            .iter()
            .chain(maybe.iter().flatten())
            .all(|column| column.len() == rows)
    }
}

/// Bars as columns of one length, ascending by start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub start: Vec<i64>,
    pub open: Vec<i64>,
    pub high: Vec<i64>,
    pub low: Vec<i64>,
    pub close: Vec<i64>,
    pub volume: Vec<i64>,
    /// Upper halves of the volumes, where one of them does not fit 64 bits.
    pub volume_high: Option<Vec<i64>>,
    pub trades: Vec<i64>,
}

impl Made {
    /// Room for `rows` bars, in buffers from `take`: memory that was used before is many times faster to fill
    /// than memory that the system has yet to hand over.
    pub fn in_buffers(rows: usize, mut take: impl FnMut(usize) -> Vec<i64>) -> Self {
        let mut buffer = || {
            let mut buffer = take(rows);
            buffer.clear();
            buffer.reserve(rows);
            buffer
        };
        Self {
            start: buffer(),
            open: buffer(),
            high: buffer(),
            low: buffer(),
            close: buffer(),
            volume: buffer(),
            volume_high: None,
            trades: buffer(),
        }
    }

    /// These bars, as rows for longer ones.
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            ts: &self.start,
            open: &self.open,
            high: &self.high,
            low: &self.low,
            close: &self.close,
            volume: &self.volume,
            volume_high: self.volume_high.as_deref(),
            trades: Some(&self.trades),
        }
    }

    /// Volume of the bar at this index.
    pub fn volume_at(&self, at: usize) -> i128 {
        wide(self.volume[at], self.volume_high.as_ref().map(|high| high[at]))
    }

    /// Puts bars behind these, but for the first so many; volumes of both are narrow.
    pub(super) fn append(&mut self, later: &Made, skipped: usize) {
        self.start.extend_from_slice(&later.start[skipped..]);
        self.open.extend_from_slice(&later.open[skipped..]);
        self.high.extend_from_slice(&later.high[skipped..]);
        self.low.extend_from_slice(&later.low[skipped..]);
        self.close.extend_from_slice(&later.close[skipped..]);
        self.volume.extend_from_slice(&later.volume[skipped..]);
        self.trades.extend_from_slice(&later.trades[skipped..]);
    }

    pub(super) fn into_buffers(self) -> [Vec<i64>; 7] {
        [
            self.start,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.trades,
        ]
    }

    #[inline(always)]
    fn push_volume(&mut self, volume: i128) {
        if self.volume_high.is_none() && i64::try_from(volume).is_err() {
            self.volume_high = Some(self.volume.iter().map(|&low| low >> 63).collect());
        }
        self.volume.push(volume as i64);
        if let Some(high) = &mut self.volume_high {
            high.push((volume >> 64) as i64);
        }
    }
}

#[inline(always)]
fn wide(low: i64, high: Option<i64>) -> i128 {
    match high {
        Some(high) => (i128::from(high) << 64) | i128::from(low as u64),
        None => i128::from(low),
    }
}

/// Most bars that these rows can make.
pub fn count_max(interval: Interval, ts: &[i64]) -> usize {
    let (Some(&first), Some(&last)) = (ts.first(), ts.last()) else {
        return 0;
    };
    let length = match interval {
        Interval::Fixed { length_ns, .. } => i128::from(length_ns),
        Interval::Months(months) => i128::from(months) * 28 * 86_400_000_000_000,
    };
    let spans = (i128::from(last) - i128::from(first)).max(0) / length + 2;
    ts.len().min(usize::try_from(spans).unwrap_or(usize::MAX))
}

/// The bars of these rows, into `made`, which is empty.
pub fn reduce(cut: &mut impl Cut, rows: &Columns<'_>, made: &mut Made) -> Result<(), BarError> {
    if !rows.have_one_length() {
        return Err(BarError::Length);
    }
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the features were just detected.
            return unsafe { reduce_avx512(cut, rows, made) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { reduce_avx2(cut, rows, made) };
        }
    }
    reduce_anywhere(cut, rows, made)
}

/// Bars of several intervals at once, in their order: each from the longest that was made and that it is
/// whole multiples of, and only what is left from the rows. No more than `most` threads share the rows.
pub fn reduce_all(
    intervals: &[Interval],
    rows: &Columns<'_>,
    most: usize,
    pool: &impl Pool,
) -> Result<Vec<Made>, BarError> {
    let mut order: Vec<usize> = (0..intervals.len()).collect();
    order.sort_by_key(|&at| about_ns(intervals[at]));
    let mut made: Vec<Option<Made>> = vec![None; intervals.len()];
    for (place, &at) in order.iter().enumerate() {
        let interval = intervals[at];
        let below = order[..place]
            .iter()
            .rev()
            .find(|&&shorter| divides(intervals[shorter], interval))
            .and_then(|&shorter| made[shorter].as_ref());
        let source = below.map_or(*rows, Made::columns);
        let threads = threads(source.ts.len(), most);
        made[at] = Some(reduce_shared(&Every::new(interval), &source, threads, pool)?);
    }
    Ok(made.into_iter().flatten().collect())
}

fn about_ns(interval: Interval) -> i64 {
    match interval {
        Interval::Fixed { length_ns, .. } => length_ns,
        Interval::Months(months) => i64::from(months) * 28 * DAY,
    }
}

const DAY: i64 = 86_400_000_000_000;

/// Does every span of `longer` begin and end where one of `shorter` does?
fn divides(shorter: Interval, longer: Interval) -> bool {
    match (shorter, longer) {
        (
            Interval::Fixed { length_ns, anchor_ns },
            Interval::Fixed {
                length_ns: length,
                anchor_ns: anchor,
            },
        ) => {
            length % length_ns == 0
                && (i128::from(anchor) - i128::from(anchor_ns)) % i128::from(length_ns) == 0
        }
        (
            Interval::Fixed {
                length_ns,
                anchor_ns: 0,
            },
            Interval::Months(_),
        ) => DAY % length_ns == 0,
        (Interval::Months(few), Interval::Months(many)) => many % few == 0,
        _ => false,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn reduce_avx2(cut: &mut impl Cut, rows: &Columns<'_>, made: &mut Made) -> Result<(), BarError> {
    reduce_anywhere(cut, rows, made)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn reduce_avx512(cut: &mut impl Cut, rows: &Columns<'_>, made: &mut Made) -> Result<(), BarError> {
    reduce_anywhere(cut, rows, made)
}

#[inline(always)]
fn reduce_anywhere(cut: &mut impl Cut, rows: &Columns<'_>, made: &mut Made) -> Result<(), BarError> {
    let ts = rows.ts;
    let mut at = 0;
    let mut length = 1;
    let mut ended = i64::MIN;
    while at < ts.len() {
        let Some((start, end)) = cut.span(ts[at]) else {
            at += run_length(&ts[at..], cut.next(ts[at]), 1);
            continue;
        };
        length = run_length(&ts[at..], end, length);
        let to = at + length;
        if start < ended || ts[to - 1] < ts[at] || (length > 1 && ts[to - 1] >= end) {
            return Err(BarError::Order);
        }
        ended = end;
        let (high, low, volume) = match rows.volume_high {
            None => extremes(&rows.high[at..to], &rows.low[at..to], &rows.volume[at..to]),
            Some(upper) => {
                let (high, low, _) = extremes(&rows.high[at..to], &rows.low[at..to], &[]);
                let mut halves = rows.volume[at..to].iter().zip(&upper[at..to]);
                let sum = halves.try_fold(0i128, |sum, (&low, &high)| sum.checked_add(wide(low, Some(high))));
                (high, low, sum.ok_or(BarError::Volume)?)
            }
        };
        made.start.push(start);
        made.open.push(rows.open[at]);
        made.high.push(high);
        made.low.push(low);
        made.close.push(rows.close[to - 1]);
        made.push_volume(volume);
        made.trades.push(match rows.trades {
            None => length as i64,
            Some(trades) => sum_checked(&trades[at..to]).ok_or(BarError::Trades)?,
        });
        at = to;
    }
    Ok(())
}

/// How many leading values lie below `end`; at least 1. Looks where the last run ended first and goes on from
/// there in doubling steps: of bars without a hole each costs two looks, of trades a dozen, close together.
#[inline(always)]
pub(super) fn run_length(ascending: &[i64], end: i64, guess: usize) -> usize {
    let rows = ascending.len();
    let guess = guess.clamp(1, rows);
    // ascending[low] < end, and ascending[high] >= end where there is one.
    let (mut low, mut high);
    if ascending[guess - 1] < end {
        if guess == rows || ascending[guess] >= end {
            return guess;
        }
        (low, high) = (guess, guess + 1);
        while high < rows && ascending[high] < end {
            (low, high) = (high, high + 2 * (high - low));
        }
        high = high.min(rows);
    } else {
        (low, high) = (guess - 1, guess - 1);
        let mut step = 1;
        while low > 0 && ascending[low] >= end {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
    }
    low + 1 + ascending[(low + 1).min(high)..high].partition_point(|&ts| ts < end)
}

const LANES: usize = 8;

/// Highest of `high`, lowest of `low`, and the sum of `volume`, which is empty or as long.
#[inline(always)]
fn extremes(high: &[i64], low: &[i64], volume: &[i64]) -> (i64, i64, i128) {
    let (mut top, mut bottom) = (i64::MIN, i64::MAX);
    // All bits that any volume has: where none is negative, no sum is above this times their number.
    let (mut sum, mut bits) = (0i64, 0i64);
    if high.len() < 2 * LANES {
        for (&high, &low) in high.iter().zip(low) {
            top = top.max(high);
            bottom = bottom.min(low);
        }
        for &volume in volume {
            sum = sum.wrapping_add(volume);
            bits |= volume;
        }
    } else {
        let (highs, high) = high.as_chunks::<LANES>();
        let (lows, low) = low.as_chunks::<LANES>();
        let (mut tops, mut bottoms) = ([i64::MIN; LANES], [i64::MAX; LANES]);
        for (high, low) in highs.iter().zip(lows) {
            for lane in 0..LANES {
                tops[lane] = tops[lane].max(high[lane]);
                bottoms[lane] = bottoms[lane].min(low[lane]);
            }
        }
        for (&high, &low) in tops.iter().chain(high).zip(bottoms.iter().chain(low)) {
            top = top.max(high);
            bottom = bottom.min(low);
        }
        let (volumes, rest) = volume.as_chunks::<LANES>();
        let (mut sums, mut many) = ([0i64; LANES], [0i64; LANES]);
        for volume in volumes {
            for lane in 0..LANES {
                sums[lane] = sums[lane].wrapping_add(volume[lane]);
                many[lane] |= volume[lane];
            }
        }
        for lane in 0..LANES {
            sum = sum.wrapping_add(sums[lane]);
            bits |= many[lane];
        }
        for &volume in rest {
            sum = sum.wrapping_add(volume);
            bits |= volume;
        }
    }
    let fits = bits >= 0 && bits.checked_mul(volume.len() as i64).is_some();
    let exact = if fits { i128::from(sum) } else { sum_wide(volume) };
    (top, bottom, exact)
}

/// Out of the way of the loop that nearly always runs.
#[cold]
#[inline(never)]
fn sum_wide(values: &[i64]) -> i128 {
    values.iter().map(|&value| i128::from(value)).sum()
}

#[inline(always)]
fn sum_checked(values: &[i64]) -> Option<i64> {
    let (mut sum, mut bits) = (0i64, 0i64);
    for &value in values {
        sum = sum.wrapping_add(value);
        bits |= value;
    }
    let fits = bits >= 0 && bits.checked_mul(values.len() as i64).is_some();
    if fits {
        Some(sum)
    } else {
        i64::try_from(sum_wide(values)).ok()
    }
}
