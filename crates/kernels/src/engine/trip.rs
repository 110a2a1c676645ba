//! Round trips: what a position brought from the fill that opened it to the one that closed it.

use super::account::FEE_UNIT;
use super::fault::Fault;
use super::fill::Fill;
use super::money::sign;
use super::order::Side;

/// A position from flat to flat; a fill that crosses to the other side ends one and begins the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    pub instrument: u32,
    /// Buy for a long position.
    pub side: Side,
    pub opened: i64,
    /// 0 while it is open.
    pub closed: i64,
    /// The largest that it was.
    pub size: i64,
    /// Sizes and amounts that built it up and took it down.
    pub entered: i128,
    pub entry: i128,
    pub left: i128,
    pub exit: i128,
    /// At [`super::cost::FEE_DIGITS`].
    pub fees: i128,
    pub funding: i128,
    pub fills: u32,
}

impl Trip {
    fn new(fill: &Fill) -> Self {
        Self {
            instrument: fill.instrument,
            side: fill.side,
            opened: fill.ts,
            closed: 0,
            size: 0,
            entered: 0,
            entry: 0,
            left: 0,
            exit: 0,
            fees: 0,
            funding: 0,
            fills: 0,
        }
    }

    /// What it brought, after fees and funding: what was sold less what was bought. Of an open one that is no
    /// profit yet.
    pub fn net(&self) -> i128 {
        (self.exit - self.entry) * i128::from(self.side.sign()) - (self.fees + self.funding) * FEE_UNIT
    }
}

/// The trips of all instruments, in the order in which they were opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trips {
    pub all: Vec<Trip>,
    /// Of each instrument the open one.
    open: Vec<Option<usize>>,
}

impl Trips {
    pub fn new(instruments: usize) -> Self {
        Self {
            all: Vec::new(),
            open: vec![None; instruments],
        }
    }

    /// A fill that took the position from `before` to where it is; `price` is what one of its size is worth.
    pub fn fill(&mut self, fill: &Fill, before: i64, price: i128) -> Result<(), Fault> {
        let at = fill.instrument as usize;
        let side = fill.side.sign();
        let closing = if sign(before) == -side {
            fill.size.min(before.abs())
        } else {
            0
        };
        let opening = fill.size - closing;
        // A fee of both halves is shared by size, what remains of the division with the second.
        let fee = i128::from(fill.fee);
        let shared = match opening {
            0 => fee,
            _ => (fee * i128::from(closing)).div_euclid(i128::from(fill.size)),
        };
        let worth = |size: i64| {
            price
                .checked_mul(i128::from(size))
                .ok_or(Fault::Overflow("what a position cost"))
        };
        if closing > 0
            && let Some(index) = self.open[at]
        {
            let trip = &mut self.all[index];
            trip.left += i128::from(closing);
            trip.exit += worth(closing)?;
            trip.fees += shared;
            trip.fills += 1;
            if closing == before.abs() {
                trip.closed = fill.ts;
                self.open[at] = None;
            }
        }
        if opening > 0 {
            let index = *self.open[at].get_or_insert(self.all.len());
            if index == self.all.len() {
                self.all.push(Trip::new(fill));
            }
            let trip = &mut self.all[index];
            trip.entered += i128::from(opening);
            trip.entry += worth(opening)?;
            trip.fees += fee - shared;
            trip.fills += 1;
            let held = if closing == 0 {
                before.abs() + opening
            } else {
                opening
            };
            trip.size = trip.size.max(held);
        }
        Ok(())
    }

    pub fn pay(&mut self, instrument: usize, amount: i64) {
        if let Some(index) = self.open[instrument] {
            self.all[index].funding += i128::from(amount);
        }
    }
}
