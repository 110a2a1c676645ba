//! Sums over spans of time from plain columns: what volume-weighted prices are made of, exact.

use super::column::run_length;
use super::{BarError, Cut};

/// What was traded in one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// First nanosecond of the span.
    pub start_ns: i64,
    pub rows: u64,
    /// Sum of the sizes.
    pub size: i128,
    /// Sum of price × size: divided by `size` it is the volume-weighted average price.
    pub value: i128,
}

/// Rows of which products are summed in 64 bits, where they fit.
const BLOCK: usize = 1_024;

/// Sums of trades that ascend by time, all at the same scales; the columns have one length.
pub fn sums(cut: &mut impl Cut, ts: &[i64], price: &[i64], size: &[i64]) -> Result<Vec<Sums>, BarError> {
    if price.len() != ts.len() || size.len() != ts.len() {
        return Err(BarError::Length);
    }
    let mut found = Vec::new();
    let (mut at, mut length, mut ended) = (0, 1, i64::MIN);
    while at < ts.len() {
        let Some((start_ns, end)) = cut.span(ts[at]) else {
            at += run_length(&ts[at..], cut.next(ts[at]), 1);
            continue;
        };
        length = run_length(&ts[at..], end, length);
        let to = at + length;
        if start_ns < ended || ts[to - 1] < ts[at] || (length > 1 && ts[to - 1] >= end) {
            return Err(BarError::Order);
        }
        ended = end;
        let (mut sum, mut value) = (0i128, 0i128);
        for (price, size) in price[at..to].chunks(BLOCK).zip(size[at..to].chunks(BLOCK)) {
            let (sizes, values) = block(price, size)?;
            sum += sizes; // 2^63 of them would fit
            value = value.checked_add(values).ok_or(BarError::Volume)?;
        }
        found.push(Sums {
            start_ns,
            rows: length as u64,
            size: sum,
            value,
        });
        at = to;
    }
    Ok(found)
}

/// Sum of sizes and of price × size of at most [`BLOCK`] rows.
fn block(price: &[i64], size: &[i64]) -> Result<(i128, i128), BarError> {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512dq") {
            // SAFETY: the features were just detected.
            return unsafe { block_avx512(price, size) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { block_avx2(price, size) };
        }
    }
    block_anywhere(price, size)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn block_avx2(price: &[i64], size: &[i64]) -> Result<(i128, i128), BarError> {
    block_anywhere(price, size)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn block_avx512(price: &[i64], size: &[i64]) -> Result<(i128, i128), BarError> {
    block_anywhere(price, size)
}

#[inline(always)]
fn block_anywhere(price: &[i64], size: &[i64]) -> Result<(i128, i128), BarError> {
    let (mut prices, mut sizes, mut sum, mut value) = (0i64, 0i64, 0i64, 0i64);
    for (&price, &size) in price.iter().zip(size) {
        prices |= price ^ (price >> 63);
        sizes |= size ^ (size >> 63);
        sum = sum.wrapping_add(size);
        value = value.wrapping_add(price.wrapping_mul(size));
    }
    // A product has as many bits as both factors together, and a block ten more.
    let bits = |value: i64| 64 - value.leading_zeros();
    if bits(prices) + bits(sizes) + BLOCK.ilog2() < 63 && bits(sizes) + BLOCK.ilog2() < 63 {
        return Ok((i128::from(sum), i128::from(value)));
    }
    exact(price, size)
}

#[cold]
#[inline(never)]
fn exact(price: &[i64], size: &[i64]) -> Result<(i128, i128), BarError> {
    let (mut sum, mut value) = (0i128, 0i128);
    for (&price, &size) in price.iter().zip(size) {
        sum += i128::from(size);
        value = value
            .checked_add(i128::from(price) * i128::from(size))
            .ok_or(BarError::Volume)?;
    }
    Ok((sum, value))
}
