//! The two drivers: a bar at a time, and a whole series in one loop that the compiler makes for each indicator.

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

impl Columns<'_> {
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
    /// Writes what `next` gives for each of `len` bars into the columns of `out`.
    fn fill(len: usize, out: &mut [&mut [f64]], next: impl FnMut(usize) -> Self);
}

impl<const N: usize> Values for [f64; N] {
    const NONE: Self = [f64::NAN; N];

    #[inline]
    fn write(&self, out: &mut [f64]) {
        out.copy_from_slice(self);
    }

    #[inline(always)]
    fn fill(len: usize, out: &mut [&mut [f64]], mut next: impl FnMut(usize) -> Self) {
        let Ok(columns) = <&mut [&mut [f64]; N]>::try_from(out) else {
            return;
        };
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
        let cut = |input: Inputs, column| if used.has(input) { prefix(column, len) } else { &[] };
        let (open, high) = (cut(Inputs::OPEN, columns.open), cut(Inputs::HIGH, columns.high));
        let (low, close) = (cut(Inputs::LOW, columns.low), cut(Inputs::CLOSE, columns.close));
        let volume = cut(Inputs::VOLUME, columns.volume);
        let start: &[i64] = if used.has(Inputs::START) {
            &columns.start_ns[..len]
        } else {
            &[]
        };
        let pick = |input: Inputs, column: &[f64], at: usize| match used.has(input) {
            true => column[at],
            false => f64::NAN,
        };
        // A copy that nothing else can point to: the compiler keeps its numbers in registers.
        let mut own = self.clone();
        I::Out::fill(len, out, |at| {
            let bar = Bar {
                start_ns: if used.has(Inputs::START) { start[at] } else { 0 },
                open: pick(Inputs::OPEN, open, at),
                high: pick(Inputs::HIGH, high, at),
                low: pick(Inputs::LOW, low, at),
                close: pick(Inputs::CLOSE, close, at),
                volume: pick(Inputs::VOLUME, volume, at),
            };
            step(&mut own, &bar)
        });
        *self = own;
    }

    fn first(&self, output: usize) -> usize {
        Indicator::first(self, output)
    }

    fn memory(&self) -> Memory {
        Indicator::memory(self)
    }
}

fn prefix(column: &[f64], len: usize) -> &[f64] {
    &column[..len]
}
