//! Averages of closes, a block at a time.

use super::course::BARS;
use crate::indicator::Smooth;

/// How closes are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    Simple,
    /// As the indicator `ema`.
    Exponential,
}

/// Sums of all closes up to each, as whole numbers: differences of them are exact, so nothing drifts, and averages
/// that are equal compare as equal. A market that stands still crosses nothing.
pub struct Sums {
    /// One more than there are closes. They may wrap; differences over a window do not.
    until: Vec<i64>,
}

impl Sums {
    /// Of closes that have few decimals, in units of the last of them; of others in the smallest binary fraction
    /// that leaves a window's sum exact: under 2^-36 of the highest close for windows up to 65,536.
    pub fn of(close: &[f64], longest: u32) -> Self {
        let most = close.iter().copied().fold(0.0, f64::max);
        // A window's sum stays below 2^52 units, an f64 below 2^53 holds every whole number.
        let limit = (1u64 << 52) as f64 / f64::from(longest.max(2));
        const DECIMALS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
        let scale = DECIMALS
            .into_iter()
            .find(|scale| most * scale <= limit && is_whole(close, *scale));
        let scale = scale.unwrap_or_else(|| (limit / most).log2().floor().clamp(-1000.0, 1000.0).exp2());
        let mut sum = 0i64;
        let mut until = Vec::with_capacity(close.len() + 1);
        until.push(0);
        until.extend(close.iter().map(|close| {
            sum = sum.wrapping_add(rounded(close * scale) as i64);
            sum
        }));
        Self { until }
    }
}

/// To the nearest whole number, for numbers under 2^51: of those that are larger by this much, an f64 holds no
/// fraction. `f64::round` is a call where the processor is not known to have it.
#[inline(always)]
fn rounded(value: f64) -> f64 {
    const LARGE: f64 = 1.5 * (1u64 << 52) as f64;
    value + LARGE - LARGE
}

/// Whether every close is the number of f64 nearest to a whole number of units.
fn is_whole(close: &[f64], scale: f64) -> bool {
    // Whole chunks without a way out, which the compiler makes wide.
    close.chunks(512).all(|some| {
        some.iter()
            .map(|close| rounded(close * scale) / scale == *close)
            .fold(true, |all, one| all & one)
    })
}

/// Averages of a block's bars; the last place is of the bar after, and says nothing. Whole lines of the cache: a load
/// across two of them takes twice as long.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct Row(pub [f64; 64]);

/// The averages of each distinct window in one block.
pub struct Averages {
    windows: Vec<u32>,
    /// The state of each, where it has one.
    smooth: Vec<Smooth>,
    values: Vec<Row>,
}

impl Averages {
    pub fn new(average: Average, pairs: &[(u32, u32)]) -> Self {
        let mut windows: Vec<u32> = pairs.iter().flat_map(|&(fast, slow)| [fast, slow]).collect();
        windows.sort_unstable();
        windows.dedup();
        let smooth = match average {
            Average::Simple => Vec::new(),
            Average::Exponential => windows.iter().map(|bars| Smooth::ema(*bars as usize)).collect(),
        };
        Self {
            values: vec![Row([0.0; 64]); windows.len()],
            windows,
            smooth,
        }
    }

    /// The place of a window, which is one of its pairs'.
    pub fn place(&self, window: u32) -> usize {
        self.windows.partition_point(|bars| *bars < window)
    }

    pub fn of(&self, place: usize) -> &Row {
        &self.values[place]
    }

    /// Averages of the bars from `first` on; blocks come one after another. Before a window is full, and behind
    /// the end, anything.
    #[inline(always)]
    pub fn fill(&mut self, sums: &Sums, close: &[f64], first: usize) {
        let bars = BARS.min(close.len() - first);
        for (smooth, values) in self.smooth.iter_mut().zip(&mut self.values) {
            for (value, close) in values.0.iter_mut().zip(&close[first..first + bars]) {
                *value = smooth.next(*close);
            }
        }
        if !self.smooth.is_empty() {
            return;
        }
        for (window, values) in self.windows.iter().zip(&mut self.values) {
            // The first bar of the block whose window is full.
            let full = (*window as usize).saturating_sub(first + 1);
            if full >= bars {
                continue;
            }
            let past = &sums.until[first + full + 1..first + bars + 1];
            let before = &sums.until[first + full + 1 - *window as usize..][..past.len()];
            let bars = f64::from(*window);
            for ((value, past), before) in values.0[full..].iter_mut().zip(past).zip(before) {
                // Divided, not multiplied: quotients of equal fractions are the same number.
                *value = past.wrapping_sub(*before) as f64 / bars;
            }
        }
    }
}

/// Which of the first are above the second, as bits, the first one the lowest of the first byte.
pub fn above(one: &Row, other: &Row, bits: &mut [u8; 8]) {
    let (one, other) = (one.0.as_chunks::<8>().0, other.0.as_chunks::<8>().0);
    for ((one, other), bits) in one.iter().zip(other).zip(bits) {
        *bits = (0..8).fold(0, |bits, at| bits | u8::from(one[at] > other[at]) << at);
    }
}
