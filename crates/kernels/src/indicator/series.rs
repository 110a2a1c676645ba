//! The two drivers: a bar at a time, and a whole series in one loop that the compiler makes for each indicator.

use std::ops::Range;

use super::{Bar, Indicator, Inputs, Memory};

/// A series as columns of one length; a column that is not used may be empty.
#[derive(Clone, Copy, Default)]
pub struct Columns<'a> {
    pub start_ns: &'a [i64],
    pub open: &'a [f64],
    pub high: &'a [f64],
    pub low: &'a [f64],
    pub close: &'a [f64],
    pub volume: &'a [f64],
}

impl<'a> Columns<'a> {
    /// Some of the rows of those in use; the others are empty.
    #[inline(always)]
    fn cut(&self, used: Inputs, range: Range<usize>) -> Self {
        let cut = |input: Inputs, column: &'a [f64]| match used.has(input) {
            true => &column[range.clone()],
            false => &[],
        };
        Self {
            start_ns: match used.has(Inputs::START) {
                true => &self.start_ns[range.clone()],
                false => &[],
            },
            open: cut(Inputs::OPEN, self.open),
            high: cut(Inputs::HIGH, self.high),
            low: cut(Inputs::LOW, self.low),
            close: cut(Inputs::CLOSE, self.close),
            volume: cut(Inputs::VOLUME, self.volume),
        }
    }

    /// Where the rows end that can be taken in at once, and whether all of them are finite.
    fn stretch(&self, used: Inputs, from: usize, len: usize) -> (usize, bool) {
        let mut to = from;
        while to < len && to - from < RUN {
            let next = len.min(to + CHUNK);
            if !self.cut(used, to..next).are_finite() {
                return if to > from { (to, true) } else { (next, false) };
            }
            to = next;
        }
        (to, true)
    }

    /// One row; NaN for what is not used.
    #[inline(always)]
    fn bar(&self, used: Inputs, at: usize) -> Bar {
        let pick = |input: Inputs, column: &[f64]| match used.has(input) {
            true => column[at],
            false => f64::NAN,
        };
        Bar {
            start_ns: if used.has(Inputs::START) {
                self.start_ns[at]
            } else {
                0
            },
            open: pick(Inputs::OPEN, self.open),
            high: pick(Inputs::HIGH, self.high),
            low: pick(Inputs::LOW, self.low),
            close: pick(Inputs::CLOSE, self.close),
            volume: pick(Inputs::VOLUME, self.volume),
        }
    }

    /// Whether no price and no volume is NaN or infinite.
    fn are_finite(&self) -> bool {
        [self.open, self.high, self.low, self.close, self.volume]
            .into_iter()
            .all(are_finite)
    }

    /// The length of the columns in use; the error names one that has another, and both lengths.
    pub(super) fn len(&self, used: Inputs) -> Result<usize, (&'static str, usize, usize)> {
        let lengths = [
            (self.start_ns.len(), "start", Inputs::START),
            (self.open.len(), "open", Inputs::OPEN),
            (self.high.len(), "high", Inputs::HIGH),
            (self.low.len(), "low", Inputs::LOW),
            (self.close.len(), "close", Inputs::CLOSE),
            (self.volume.len(), "volume", Inputs::VOLUME),
        ];
        let mut found = None;
        for (len, name, _) in lengths.into_iter().filter(|(_, _, one)| used.has(*one)) {
            match found {
                Some(first) if first != len => return Err((name, len, first)),
                _ => found = Some(len),
            }
        }
        Ok(found.unwrap_or(0))
    }
}

/// `[f64; N]`: what an indicator gives for one bar.
pub trait Values: Copy {
    const NONE: Self;
    fn write(&self, out: &mut [f64]);
    /// Writes what `next` gives for each bar into the columns of `out`, which have one length.
    fn fill(out: &mut [&mut [f64]], next: impl FnMut(usize) -> Self);
}

impl<const N: usize> Values for [f64; N] {
    const NONE: Self = [f64::NAN; N];

    #[inline]
    fn write(&self, out: &mut [f64]) {
        out.copy_from_slice(self);
    }

    #[inline(always)]
    fn fill(out: &mut [&mut [f64]], mut next: impl FnMut(usize) -> Self) {
        let Ok(columns) = <&mut [&mut [f64]; N]>::try_from(out) else {
            return;
        };
        let len = columns.first().map_or(0, |column| column.len());
        // All are cut to one length here, so that the loop needs no check of bounds.
        let mut columns = columns.each_mut().map(|column| &mut column[..len]);
        for at in 0..len {
            let values = next(at);
            for (column, value) in columns.iter_mut().zip(values) {
                column[at] = value;
            }
        }
    }
}

/// An indicator of any kind; only the call itself is dynamic, once a bar or once a series.
pub(super) trait Series: Send + Sync {
    fn update(&mut self, bar: &Bar, out: &mut [f64]);
    fn batch(&mut self, len: usize, columns: &Columns, out: &mut [&mut [f64]]);
    fn first(&self, output: usize) -> usize;
    fn memory(&self) -> Memory;
}

#[inline(always)]
fn step<I: Indicator>(indicator: &mut I, bar: &Bar) -> I::Out {
    let used = const { I::SPEC.inputs };
    // Nothing times a number is nothing; times NaN or an infinity it is NaN. One comparison does for all.
    let nothing = |input: Inputs, value: f64| if used.has(input) { value * 0.0 } else { 0.0 };
    let sum = nothing(Inputs::OPEN, bar.open)
        + nothing(Inputs::HIGH, bar.high)
        + nothing(Inputs::LOW, bar.low)
        + nothing(Inputs::CLOSE, bar.close)
        + nothing(Inputs::VOLUME, bar.volume);
    let whole = sum == 0.0;
    if whole {
        indicator.update(bar)
    } else {
        I::Out::NONE
    }
}

impl<I: Indicator> Series for I {
    fn update(&mut self, bar: &Bar, out: &mut [f64]) {
        step(self, bar).write(out);
    }

    fn batch(&mut self, len: usize, columns: &Columns, out: &mut [&mut [f64]]) {
        let used = const { I::SPEC.inputs };
        let mut from = 0;
        while from < len {
            let (to, finite) = columns.stretch(used, from, len);
            let rows = columns.cut(used, from..to);
            let mut rest: Vec<&mut [f64]> = out.iter_mut().map(|column| &mut column[from..to]).collect();
            match finite {
                true => run(self, &rows, &mut rest),
                false => steps(self, &rows, &mut rest),
            }
            from = to;
        }
    }

    fn first(&self, output: usize) -> usize {
        Indicator::first(self, output)
    }

    fn memory(&self) -> Memory {
        Indicator::memory(self)
    }
}

/// Rows that are looked at before they are taken in, and rows that are taken in at once: their columns stay in a
/// near cache.
const CHUNK: usize = 1 << 11;
const RUN: usize = 1 << 15;

/// `run` in a function of its own, whose registers nothing else needs.
#[inline(never)]
fn run<I: Indicator>(indicator: &mut I, rows: &Columns, out: &mut [&mut [f64]]) {
    indicator.run(rows, out);
}

/// `update` of each of these rows.
#[inline(always)]
pub(super) fn each<I: Indicator>(indicator: &mut I, rows: &Columns, out: &mut [&mut [f64]]) {
    let used = const { I::SPEC.inputs };
    // A copy that nothing else can point to: the compiler keeps its numbers in registers.
    let mut own = indicator.clone();
    I::Out::fill(out, |at| own.update(&rows.bar(used, at)));
    *indicator = own;
}

/// The same of rows among which there are holes.
#[inline(never)]
fn steps<I: Indicator>(indicator: &mut I, rows: &Columns, out: &mut [&mut [f64]]) {
    let used = const { I::SPEC.inputs };
    I::Out::fill(out, |at| step(indicator, &rows.bar(used, at)));
}

/// Whether none is NaN or infinite.
fn are_finite(values: &[f64]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was just detected.
        return unsafe { are_finite_avx2(values) };
    }
    are_finite_anywhere(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn are_finite_avx2(values: &[f64]) -> bool {
    are_finite_anywhere(values)
}

/// Of NaN and infinity alone the exponent is all ones, and one more is carried into the bit of the sign.
#[inline(always)]
fn are_finite_anywhere(values: &[f64]) -> bool {
    const EXPONENT: u64 = 0x7ff << 52;
    let carried = values
        .iter()
        .fold(0, |all, value| all | ((value.to_bits() & EXPONENT) + (1 << 52)));
    carried >> 63 == 0
}
