//! Bars from sorted arrays of trades: the whole history of an instrument at once.

use super::{Bar, BarError, Interval};

/// Bars from arrays of trades that ascend by (`ts_event`, `sequence`), doubles already out, all at
/// the same scales; the arrays have one length. `ts_known` of a bar is its end.
pub fn resample(
    interval: Interval,
    ts_event: &[i64],
    price: &[i64],
    size: &[i64],
    (price_scale, size_scale): (u8, u8),
) -> Result<Vec<Bar>, BarError> {
    let rows = ts_event.len().min(price.len()).min(size.len());
    let (ts_event, price, size) = (&ts_event[..rows], &price[..rows], &size[..rows]);
    let mut bars = Vec::new();
    let mut at = 0;
    while at < rows {
        let start_ns = interval.start(ts_event[at]);
        let end_ns = interval.end(start_ns);
        let to = at + run_length(&ts_event[at..], end_ns);
        if ts_event[to - 1] < ts_event[at] || (to < rows && ts_event[to] < end_ns) {
            return Err(BarError::Order);
        }
        let (high, low, volume) = extremes(&price[at..to], &size[at..to]);
        bars.push(Bar {
            start_ns,
            open: price[at],
            high,
            low,
            close: price[to - 1],
            price_scale,
            volume,
            size_scale,
            trades: (to - at) as u64,
            ts_known: end_ns,
        });
        at = to;
    }
    Ok(bars)
}

/// How many leading values lie below `end`; at least 1. Doubles its step, then halves: a bar of n
/// trades costs log n looks instead of n divisions.
fn run_length(ascending: &[i64], end: i64) -> usize {
    let mut step = 1;
    let mut low = 0; // ascending[low] < end
    while low + step < ascending.len() && ascending[low + step] < end {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(ascending.len());
    low + 1 + ascending[low + 1..high].partition_point(|&ts| ts < end)
}

#[inline(always)]
fn extremes_of(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    let (mut high, mut low) = (i64::MIN, i64::MAX);
    for &value in price {
        high = high.max(value);
        low = low.min(value);
    }
    let mut volume = 0i128;
    // Halves summed apart fit 64 bits for a block of this length, and vectorise.
    for block in size.chunks(1 << 20) {
        let (mut upper, mut lower) = (0i64, 0i64);
        for &value in block {
            upper += value >> 32;
            lower += value & 0xFFFF_FFFF;
        }
        volume += (i128::from(upper) << 32) + i128::from(lower);
    }
    (high, low, volume)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn extremes_avx2(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    extremes_of(price, size)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn extremes_avx512(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    extremes_of(price, size)
}

/// Highest and lowest price and the sum of sizes, by the widest instructions this machine has.
fn extremes(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    #[cfg(target_arch = "x86_64")]
    {
        if price.len() >= 16 && std::arch::is_x86_feature_detected!("avx512dq") {
            // SAFETY: processors with AVX-512 DQ that Linux reports have F, VL and BW as well; checked.
            if std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512bw")
            {
                return unsafe { extremes_avx512(price, size) };
            }
        }
        if price.len() >= 8 && std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { extremes_avx2(price, size) };
        }
    }
    extremes_of(price, size)
}
