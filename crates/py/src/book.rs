//! The kernels' order book for Python: records in, best levels out.

use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;
use wire::Decimal;

use crate::lock::lock;
use crate::records::copy_from;

/// (price mantissa, price scale, size mantissa, size scale)
type Level = (i64, u8, i64, u8);

struct State {
    book: kernels::book::Book,
    ts_event: i64,
    ts_recv: i64,
}

/// Order book of one instrument.
#[pyclass(frozen)]
pub struct Book {
    state: Mutex<State>,
}

impl Book {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        lock(py, &self.state, "book")
    }
}

fn level((price, size, _): (Decimal, Decimal, i64)) -> Level {
    (price.mantissa, price.scale, size.mantissa, size.scale)
}

#[pymethods]
impl Book {
    #[new]
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                book: kernels::book::Book::new(),
                ts_event: 0,
                ts_recv: 0,
            }),
        }
    }

    /// Takes in records in order: those of `instrument`, and those of the whole venue.
    fn apply(&self, py: Python<'_>, records: &Bound<'_, PyAny>, instrument: u32) -> PyResult<()> {
        let records = copy_from(records)?;
        let mut state = self.lock(py)?;
        let state = &mut *state;
        py.detach(|| {
            for record in &records {
                let concerns = matches!(
                    record.kind,
                    wire::kind::LEVEL | wire::kind::CLEAR | wire::kind::GAP | wire::kind::STATUS
                );
                if concerns && (record.instrument == instrument || record.instrument == 0) {
                    state.book.apply(record);
                    state.ts_event = record.ts_event;
                    state.ts_recv = record.ts_recv;
                }
            }
        });
        Ok(())
    }

    /// The best `depth` levels of each side, best first: (bids, asks).
    fn top(&self, py: Python<'_>, depth: usize) -> PyResult<(Vec<Level>, Vec<Level>)> {
        let state = self.lock(py)?;
        let bids = state.book.bids().take(depth).map(level).collect();
        let asks = state.book.asks().take(depth).map(level).collect();
        Ok((bids, asks))
    }

    /// May this book be shown as the venue's?
    #[getter]
    fn valid(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.book.valid())
    }

    /// `ts_event` and `ts_recv` of the last record taken in, ns.
    #[getter]
    fn times(&self, py: Python<'_>) -> PyResult<(i64, i64)> {
        let state = self.lock(py)?;
        Ok((state.ts_event, state.ts_recv))
    }

    /// Number of levels of both sides.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.book.len())
    }
}
