//! The newest ticks and the book of one instrument, without a row becoming Python's before it is asked for.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use feed::recent::{Follower, Held, aggressor, id, side};
use journal::Position;
use kernels::recent::Row;
use pyo3::prelude::*;
use wire::{Decimal, kind};

use crate::error;
use crate::lock::lock;

/// (ts_event, ts_recv, price, size, aggressor, id, epoch, sequence)
type Trade = (i64, i64, String, String, &'static str, Option<i64>, u32, u64);
/// (ts_event, ts_recv, side, price, size, epoch, sequence)
type Quote = (i64, i64, &'static str, String, String, u32, u64);
/// (price, size)
type Level = (String, String);
/// ((epoch, sequence), ts_event, ts_recv, valid, bids, asks)
type Shown = ((u32, u64), i64, i64, bool, Vec<Level>, Vec<Level>);

/// One instrument of one venue, read on at each question.
#[pyclass(frozen)]
pub struct Recent {
    follower: Mutex<Follower>,
}

#[pymethods]
impl Recent {
    /// Of an instrument's number in the registry of `home`.
    #[new]
    fn new(home: &str, venue: &str, number: u32) -> Self {
        Self {
            follower: Mutex::new(Follower::new(Path::new(home), venue, number)),
        }
    }

    /// Takes in what was written since: the (epoch, sequence) from which on every trade and quote was seen, None
    /// where there is none. Raises RuntimeError while there is no journal.
    fn read_on(&self, py: Python<'_>) -> PyResult<Option<(u32, u64)>> {
        let mut follower = self.lock(py)?;
        let follower = &mut *follower;
        let first = py.detach(|| follower.read_ticks()).map_err(error::journal)?;
        Ok(first.map(pair))
    }

    /// Trades as (ts_event, ts_recv, price, size, aggressor, id, epoch, sequence), ascending: the oldest `limit`
    /// with `start`, else the newest. `before` is the greatest ts_event of those before what `read_on` named.
    /// None where the answer may need older ones than are kept.
    fn trades(
        &self,
        py: Python<'_>,
        start: Option<i64>,
        end: Option<i64>,
        limit: usize,
        before: Option<i64>,
    ) -> PyResult<Option<Vec<Trade>>> {
        let follower = self.lock(py)?;
        let follower = &*follower;
        Ok(py.detach(|| {
            let found = follower.select(kind::TRADE, (start, end), limit, before)?;
            Some(found.iter().map(trade).collect())
        }))
    }

    /// As `trades`: (ts_event, ts_recv, side, price, size, epoch, sequence).
    fn quotes(
        &self,
        py: Python<'_>,
        start: Option<i64>,
        end: Option<i64>,
        limit: usize,
        before: Option<i64>,
    ) -> PyResult<Option<Vec<Quote>>> {
        let follower = self.lock(py)?;
        let follower = &*follower;
        Ok(py.detach(|| {
            let found = follower.select(kind::QUOTE, (start, end), limit, before)?;
            Some(found.iter().map(quote).collect())
        }))
    }

    /// The book as of the newest record: ((epoch, sequence), ts_event, ts_recv, valid, bids, asks), levels as
    /// decimal text, best first. None where the journal holds no start of it.
    fn book(&self, py: Python<'_>, depth: usize) -> PyResult<Option<Shown>> {
        let mut follower = self.lock(py)?;
        let follower = &mut *follower;
        py.detach(|| Ok(follower.book()?.map(|(held, at)| shown(held, at, depth))))
            .map_err(error::journal)
    }
}

impl Recent {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Follower>> {
        lock(py, &self.follower, "view")
    }
}

fn pair(at: Position) -> (u32, u64) {
    (at.epoch, at.sequence)
}

fn trade(row: &Row) -> Trade {
    let one = &row.record;
    let (price, size) = (one.price().to_string(), one.size().to_string());
    (
        one.ts_event,
        one.ts_recv,
        price,
        size,
        aggressor(one),
        id(one),
        row.epoch,
        row.sequence,
    )
}

fn quote(row: &Row) -> Quote {
    let one = &row.record;
    let (price, size) = (one.price().to_string(), one.size().to_string());
    (
        one.ts_event,
        one.ts_recv,
        side(one),
        price,
        size,
        row.epoch,
        row.sequence,
    )
}

fn shown(held: &Held, at: Position, depth: usize) -> Shown {
    let level = |(price, size, _): (Decimal, Decimal, i64)| (price.to_string(), size.to_string());
    let bids = held.book.bids().take(depth).map(level).collect();
    let asks = held.book.asks().take(depth).map(level).collect();
    (
        pair(at),
        held.ts_event,
        held.ts_recv,
        held.book.valid(),
        bids,
        asks,
    )
}
