//! Follows one venue through a relay or a collector's own socket, here or on another machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use feed::failure::Failure;
use feed::relay::client::{Address, Client, Event, Start, Subscribe};
use journal::Position;
use pyo3::exceptions::{PyConnectionError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wire::frame::kind;

use crate::batch::{Batch, Batches};
use crate::lock::lock;
use crate::records::Records;
use crate::registry::describe;

/// The longest wait without looking at Python's signals, so that Ctrl+C works.
const SLICE: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(10);

/// (epoch, sequence)
type Place = (u32, u64);

struct State {
    client: Client,
    venue: String,
    batches: Batches,
    /// The record that must come next; a jump is a loss.
    expected: Option<Place>,
    newest: Place,
    lost: Vec<(u32, u64, u64)>,
    /// Why reading ended in the middle of the last batch: told once that batch is handed out.
    failure: Option<Failure>,
}

/// A subscription to one venue; `subscribe` first, then `read`.
#[pyclass(frozen)]
pub struct RelayReader {
    state: Mutex<State>,
}

fn failed(failure: Failure) -> PyErr {
    PyConnectionError::new_err(failure.to_string())
}

#[pymethods]
impl RelayReader {
    /// Connects to `address` (a socket's path, or tls:host:port or host:port with the `token` of that home). `ca`
    /// names a PEM file of certificates to trust besides the system's. Raises ConnectionError when nobody
    /// answers there, or none who can be trusted.
    #[new]
    #[pyo3(signature = (address, venue, token = None, ca = None))]
    fn new(
        py: Python<'_>,
        address: &str,
        venue: &str,
        token: Option<&str>,
        ca: Option<PathBuf>,
    ) -> PyResult<Self> {
        let client = connect(py, address, token, ca)?;
        Ok(Self {
            state: Mutex::new(State {
                client,
                venue: venue.to_owned(),
                batches: Batches::default(),
                expected: None,
                newest: (0, 0),
                lost: Vec::new(),
                failure: None,
            }),
        })
    }

    /// Asks for everything of the venue from `position` on (the first record wanted), or from the oldest
    /// record for None. Once per connection.
    fn subscribe(&self, py: Python<'_>, position: Option<Place>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let state = &mut *state;
        let from = match position {
            Some(place) => Start::At(BTreeMap::from([(state.venue.clone(), place)])),
            None => Start::Oldest,
        };
        let subscribe = Subscribe {
            venues: vec![state.venue.clone()],
            from,
            ..Subscribe::default()
        };
        state.expected = position;
        let (epoch, sequence) = position.unwrap_or_default();
        state.batches.begin(Position { epoch, sequence });
        py.detach(|| state.client.subscribe(&subscribe)).map_err(failed)
    }

    /// The next batch: up to `max_records` of one epoch with dense sequences. None when nothing came
    /// within `timeout_ms`. Raises ConnectionError when the connection ends.
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

    /// The next record to be written, as far as it was told: (epoch, sequence).
    fn newest(&self, py: Python<'_>) -> PyResult<Place> {
        Ok(self.lock(py)?.newest)
    }

    /// Holes seen since the last call, as (epoch, from, to, cause): `to` exclusive, cause "overrun".
    fn take_lost(&self, py: Python<'_>) -> PyResult<Vec<(u32, u64, u64, &'static str)>> {
        let lost = std::mem::take(&mut self.lock(py)?.lost);
        Ok(lost
            .into_iter()
            .map(|(epoch, from, to)| (epoch, from, to, "overrun"))
            .collect())
    }
}

impl RelayReader {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        lock(py, &self.state, "reader")
    }

    /// Called without the interpreter's lock, so that waiting for this one holds nobody up.
    fn read_once(&self, max: usize, wait: Duration) -> PyResult<Option<Batch>> {
        self.state
            .lock()
            .map_err(|_| PyRuntimeError::new_err("this reader failed earlier; make another"))?
            .fill(max, wait)
    }
}

impl State {
    fn fill(&mut self, max: usize, wait: Duration) -> PyResult<Option<Batch>> {
        if let Some(failure) = self.failure.take() {
            return Err(failed(failure));
        }
        while self.batches.has_room(max) {
            let limit = (self.batches.is_empty() && !wait.is_zero()).then_some(wait);
            match self.client.next(limit) {
                Ok(None) => break,
                Ok(Some(Event::Lapped(_))) => {} // the jump in the sequence says it
                Ok(Some(Event::Frame(frame))) => {
                    let header = &frame.header;
                    let next = (header.epoch, header.next_sequence());
                    self.newest = self.newest.max(next);
                    if header.kind != kind::RECORDS {
                        continue;
                    }
                    if let Some((epoch, sequence)) = self.expected
                        && header.sequence > sequence
                    {
                        self.lost.push((epoch, sequence, header.sequence));
                    }
                    self.expected = Some(next);
                    if !self.batches.push(header, frame.records()) {
                        break;
                    }
                }
                Err(failure) if self.batches.is_empty() => return Err(failed(failure)),
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
        }
        Ok(self.batches.take(max))
    }
}

fn connect(py: Python<'_>, address: &str, token: Option<&str>, ca: Option<PathBuf>) -> PyResult<Client> {
    let address: Address = address.parse().map_err(PyValueError::new_err)?;
    let address = address.trusting(ca.as_deref());
    py.detach(|| Client::connect(&address, token, CONNECT))
        .map_err(failed)
}

/// What a relay has: per venue its name, oldest and newest position, and instruments.
#[pyfunction]
#[pyo3(signature = (address, token = None, ca = None))]
pub fn relay_venues<'py>(
    py: Python<'py>,
    address: &str,
    token: Option<&str>,
    ca: Option<PathBuf>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let mut client = connect(py, address, token, ca)?;
    let hello = py.detach(|| client.look().cloned()).map_err(failed)?;
    hello
        .venues
        .iter()
        .map(|venue| {
            let dict = PyDict::new(py);
            dict.set_item("name", &venue.name)?;
            dict.set_item("oldest", venue.oldest)?;
            dict.set_item("newest", venue.newest)?;
            let instruments = venue
                .instruments
                .iter()
                .map(|instrument| describe(py, instrument))
                .collect::<PyResult<Vec<_>>>()?;
            dict.set_item("instruments", instruments)?;
            Ok(dict)
        })
        .collect()
}
