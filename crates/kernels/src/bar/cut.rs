//! Where time is cut into bars: at every multiple of an interval, or at given spans.

use super::column::count_max;
use super::{BarError, Interval};

/// Cuts time into spans that do not overlap.
pub trait Cut {
    /// Start and end (exclusive) of the span that holds `ts`; `None` between two of them.
    fn span(&mut self, ts: i64) -> Option<(i64, i64)>;

    /// Where the first span after `ts` begins, `ts` lying in none; `i64::MAX` where there is none.
    fn next(&self, ts: i64) -> i64;

    /// No more spans than this hold one of these times, which ascend.
    fn count_max(&self, ts: &[i64]) -> usize;
}

/// Intervals one after the other, without a hole.
#[derive(Clone, Copy, Debug)]
pub struct Every {
    interval: Interval,
    /// End of the span that was asked for last: the next one mostly begins there, which saves a division.
    end: Option<i64>,
}

impl Every {
    pub fn new(interval: Interval) -> Self {
        Self { interval, end: None }
    }
}

impl Cut for Every {
    #[inline(always)]
    fn span(&mut self, ts: i64) -> Option<(i64, i64)> {
        if let (Some(start), Interval::Fixed { length_ns, .. }) = (self.end, self.interval)
            && ts >= start
            && ts.wrapping_sub(start) as u64 <= (length_ns - 1) as u64
        {
            self.end = start.checked_add(length_ns);
            return Some((start, start.saturating_add(length_ns)));
        }
        let start = self.interval.start(ts);
        let end = self.interval.end(start);
        // At the ends of the range of i64 start and end saturate, and are no multiples any more.
        self.end = (end < i64::MAX && start > i64::MIN).then_some(end);
        Some((start, end))
    }

    fn next(&self, _: i64) -> i64 {
        i64::MAX // every time lies in a span
    }

    fn count_max(&self, ts: &[i64]) -> usize {
        count_max(self.interval, ts)
    }
}

/// Given spans, such as the sessions of an exchange or the days of a zone.
#[derive(Clone, Copy, Debug)]
pub struct Spans<'a> {
    starts: &'a [i64],
    ends: &'a [i64],
    at: usize,
}

impl<'a> Spans<'a> {
    /// Spans `[starts[i], ends[i])` that ascend and do not overlap. Raises [`BarError::Spans`] for others.
    pub fn new(starts: &'a [i64], ends: &'a [i64]) -> Result<Self, BarError> {
        let whole = starts.len() == ends.len() && starts.iter().zip(ends).all(|(start, end)| start < end);
        if !whole
            || ends
                .iter()
                .zip(starts.iter().skip(1))
                .any(|(end, next)| next < end)
        {
            return Err(BarError::Spans);
        }
        Ok(Self { starts, ends, at: 0 })
    }
}

impl Cut for Spans<'_> {
    #[inline(always)]
    fn span(&mut self, ts: i64) -> Option<(i64, i64)> {
        let near = |at: usize| self.starts.get(at).is_some_and(|&start| start <= ts);
        if !near(self.at) || near(self.at + 1) {
            self.at = match near(self.at + 1) && !near(self.at + 2) {
                true => self.at + 1,
                false => self
                    .starts
                    .partition_point(|&start| start <= ts)
                    .saturating_sub(1),
            };
        }
        match (self.starts.get(self.at), self.ends.get(self.at)) {
            (Some(&start), Some(&end)) if start <= ts && ts < end => Some((start, end)),
            _ => None,
        }
    }

    fn next(&self, ts: i64) -> i64 {
        let at = self.starts.partition_point(|&start| start <= ts);
        self.starts.get(at).copied().unwrap_or(i64::MAX)
    }

    fn count_max(&self, ts: &[i64]) -> usize {
        self.starts.len().min(ts.len())
    }
}
