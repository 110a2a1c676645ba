//! What indicators are built of: windows, lags and smoothing.
//!
//! Nothing is ever taken out of a window's sum again, so nothing drifts: a window of `n` is the rest of the block of
//! `n` bars before it and the beginning of the block it is in. The rests are summed once a block, from its end
//! (van Herk, 1992; Gil and Werman, 1993). A value thus depends on the bars in its window alone, at three
//! additions a bar. Blocks do not wait for each other: `run` takes whole ones at once, and the processor is at
//! several of them at a time.

mod distance;
mod lag;
mod smooth;
mod window;

pub use distance::{Mean, Spread, Weighted, WeightedMean, Weights};
pub use lag::Lag;
pub use smooth::{Smooth, faded};
pub use window::{Fold, Span, Sum, Walk, Window};

/// `value` through the next part, once there is one.
#[inline(always)]
pub fn then(value: f64, next: impl FnOnce(f64) -> f64) -> f64 {
    if value.is_nan() { value } else { next(value) }
}

/// a / b, and 0 where b is 0: nothing of nothing.
#[inline(always)]
pub fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
