//! Rows: a bar of an instrument each, or a trade as a bar of one price.

use super::fault::Fault;

/// Prices at the instrument's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// End of the bar, or the time of the trade, ns.
    pub end: i64,
    pub instrument: u32,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
}

impl Row {
    #[inline]
    pub(crate) fn well_formed(&self) -> bool {
        (self.low > 0)
            & (self.low <= self.open)
            & (self.low <= self.close)
            & (self.open <= self.high)
            & (self.close <= self.high)
    }

    /// What is wrong with it after a row that ended at `before`, where there are so many instruments.
    pub(crate) fn wrong(&self, before: i64, instruments: usize) -> Option<String> {
        let Self {
            end,
            instrument,
            open,
            high,
            low,
            close,
        } = self;
        if *end < before {
            Some(format!(
                "ends at {end}, before the one ahead of it at {before}: sort rows by time"
            ))
        } else if *instrument as usize >= instruments {
            Some(format!(
                "is of instrument {instrument}, but there are {instruments}, counted from 0"
            ))
        } else if low > high {
            Some(format!("has a low of {low} above its high of {high}"))
        } else if *low <= 0 {
            Some(format!("has a price of {low}, but prices are above 0"))
        } else if !self.well_formed() {
            Some(format!(
                "opens at {open} and closes at {close}, which must lie between its low of {low} and its high of {high}"
            ))
        } else {
            None
        }
    }

    /// The prices in the order in which they are taken to have been traded: of high and low the one nearer to
    /// the open first, the low where both are as near.
    #[inline]
    pub(crate) const fn path(&self) -> [i64; 4] {
        if self.high - self.open < self.open - self.low {
            [self.open, self.high, self.low, self.close]
        } else {
            [self.open, self.low, self.high, self.close]
        }
    }
}

/// Columns of rows, and what share of the equity is wanted in each one's instrument at its close: NaN for no
/// change.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub end: &'a [i64],
    pub instrument: &'a [u32],
    pub open: &'a [i64],
    pub high: &'a [i64],
    pub low: &'a [i64],
    pub close: &'a [i64],
    pub target: &'a [f64],
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        self.end.len()
    }

    pub fn is_empty(&self) -> bool {
        self.end.is_empty()
    }

    /// Each row with what is wanted at its close.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Row, f64)> {
        let prices = self.open.iter().zip(self.high).zip(self.low).zip(self.close);
        let rows = self.end.iter().zip(self.instrument).zip(prices).zip(self.target);
        rows.map(
            |(((&end, &instrument), (((&open, &high), &low), &close)), &target)| {
                let row = Row {
                    end,
                    instrument,
                    open,
                    high,
                    low,
                    close,
                };
                (row, target)
            },
        )
    }

    pub(crate) fn check(&self, before: i64, instruments: usize) -> Result<(), Fault> {
        let len = self.len();
        for (what, found) in [
            ("instrument", self.instrument.len()),
            ("open", self.open.len()),
            ("high", self.high.len()),
            ("low", self.low.len()),
            ("close", self.close.len()),
            ("target", self.target.len()),
        ] {
            if found != len {
                return Fault::refused(format!("{what} has {found} rows, but end has {len}"));
            }
        }
        // Without a branch for each row; which one is wrong is looked up only when one is.
        let mut good = self.end.first().is_none_or(|first| *first >= before);
        good &= self.end.is_sorted();
        for (row, _) in self.iter() {
            good &= row.well_formed() & ((row.instrument as usize) < instruments);
        }
        if good {
            return Ok(());
        }
        let mut before = before;
        for (at, (row, _)) in self.iter().enumerate() {
            if let Some(why) = row.wrong(before, instruments) {
                return Fault::refused(format!("row {at} {why}"));
            }
            before = row.end;
        }
        Ok(())
    }
}
