//! Tails a journal in place and hands batches to Python.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use journal::{From, Loss, Position, Reader, Seek};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::batch::{Batch, Batches};
use crate::error;
use crate::lock::lock;
use crate::records::Records;

/// The longest wait without looking at Python's signals, so that Ctrl+C works.
const SLICE: Duration = Duration::from_millis(100);

struct State {
    reader: Reader,
    batches: Batches,
    lost: Vec<Hole>,
    /// Why reading ended in the middle of the last batch: told once that batch is handed out.
    failure: Option<journal::Error>,
}

/// Epoch, first sequence, the one after the last, why.
type Hole = (u32, u64, u64, &'static str);

/// A read-only cursor over the journal of one venue, in place, in any process of this machine.
#[pyclass(frozen)]
pub struct JournalReader {
    state: Mutex<State>,
}

#[pymethods]
impl JournalReader {
    /// Opens the journal of `venue` below `home`, at its oldest record. Raises when there is none. `read`
    /// spins for up to `spin_us` before it sleeps, less while that does not pay: microseconds for a core.
    #[new]
    #[pyo3(signature = (home, venue, *, spin_us = 0))]
    fn new(py: Python<'_>, home: &str, venue: &str, spin_us: u32) -> PyResult<Self> {
        let mut reader = py
            .detach(|| Reader::open(Path::new(home), venue))
            .map_err(error::journal)?;
        reader.set_spin(Duration::from_micros(u64::from(spin_us)));
        Ok(Self {
            state: Mutex::new(State {
                reader,
                batches: Batches::default(),
                lost: Vec::new(),
                failure: None,
            }),
        })
    }

    /// Oldest record still there, as (epoch, sequence).
    fn oldest(&self, py: Python<'_>) -> PyResult<(u32, u64)> {
        Ok(pair(self.lock(py)?.reader.oldest()))
    }

    /// The next record to be written, as (epoch, sequence).
    fn newest(&self, py: Python<'_>) -> PyResult<(u32, u64)> {
        Ok(pair(self.lock(py)?.reader.newest()))
    }

    /// Sequence up to which (inclusive) records survive a power cut.
    fn durable(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.reader.durable())
    }

    /// Moves to a position (the first record wanted), "oldest" or "newest". Returns None, or the oldest
    /// position that exists when the wanted one is gone: the reader then stands there.
    fn seek(&self, py: Python<'_>, position: &Bound<'_, PyAny>) -> PyResult<Option<(u32, u64)>> {
        let from = if let Ok((epoch, sequence)) = position.extract::<(u32, u64)>() {
            From::At(Position { epoch, sequence })
        } else {
            match position.extract::<String>()?.as_str() {
                "oldest" => From::Oldest,
                "newest" => From::Newest,
                other => {
                    let message =
                        format!("position {other:?}; use (epoch, sequence), \"oldest\" or \"newest\"");
                    return Err(PyValueError::new_err(message));
                }
            }
        };
        let mut state = self.lock(py)?;
        match state.seek(py, from)? {
            Seek::Lapped { oldest, .. } => Ok(Some(pair(oldest))),
            _ => Ok(None),
        }
    }

    /// Moves to the newest start of an instrument's book (its clear record, or a little before); False
    /// when the journal holds none: the reader then stands at the newest position.
    fn seek_snapshot(&self, py: Python<'_>, instrument: u32) -> PyResult<bool> {
        let found = self.lock(py)?.seek(py, From::Snapshot(instrument))?;
        Ok(matches!(found, Seek::At(_)))
    }

    /// The next batch: up to `max_records` of one epoch with dense sequences. None when nothing came
    /// within `timeout_ms`. Python's other threads run meanwhile.
    fn read(&self, py: Python<'_>, max_records: usize, timeout_ms: u64) -> PyResult<Option<Records>> {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        loop {
            let slice = SLICE.min(deadline.saturating_duration_since(Instant::now()));
            let batch = py.detach(|| self.read_once(max_records.max(1), slice))?;
            if let Some(batch) = batch {
                return Ok(Some(Records::new(batch.records, batch.epoch, batch.sequence)));
            }
            py.check_signals()?;
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Holes of the journal itself seen since the last call, as (epoch, from, to, cause): `to` exclusive,
    /// cause "corrupt" or "overrun".
    fn take_lost(&self, py: Python<'_>) -> PyResult<Vec<Hole>> {
        Ok(std::mem::take(&mut self.lock(py)?.lost))
    }
}

impl JournalReader {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        lock(py, &self.state, "reader")
    }

    /// Called without the interpreter's lock, so that waiting for this one holds nobody up.
    fn read_once(&self, max: usize, wait: Duration) -> PyResult<Option<Batch>> {
        let mut state = self
            .state
            .lock()
            .map_err(|_| PyRuntimeError::new_err("this reader failed earlier; make another"))?;
        let state = &mut *state;
        let mut batch = state.fill(max)?;
        if batch.is_none() && !wait.is_zero() {
            state.reader.wait(wait);
            batch = state.fill(max)?;
        }
        Ok(batch)
    }
}

impl State {
    fn seek(&mut self, py: Python<'_>, from: From) -> PyResult<Seek> {
        self.failure = None;
        let found = py.detach(|| self.reader.seek(from)).map_err(error::journal)?;
        self.batches.begin(match (from, found) {
            (From::At(wanted), Seek::At(_)) => wanted,
            _ => Position::default(),
        });
        Ok(found)
    }

    fn fill(&mut self, max: usize) -> PyResult<Option<Batch>> {
        if let Some(failure) = self.failure.take() {
            return Err(error::journal(failure));
        }
        while self.batches.has_room(max) {
            match self.reader.next() {
                Ok(Some(frame)) => {
                    if !self.batches.push(&frame.header, frame.records()) {
                        break;
                    }
                }
                Ok(None) => break,
                // Told by `take_lost`; reading goes on at the oldest record there is.
                Err(journal::Error::Lapped { .. }) => {}
                Err(failure) if self.batches.is_empty() => return Err(error::journal(failure)),
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
        }
        for lost in self.reader.take_lost() {
            let cause = match lost.loss {
                Loss::Corrupt => "corrupt",
                Loss::Overrun => "overrun",
            };
            self.lost.push((lost.epoch, lost.from, lost.to, cause));
        }
        Ok(self.batches.take(max))
    }
}

fn pair(position: Position) -> (u32, u64) {
    (position.epoch, position.sequence)
}
