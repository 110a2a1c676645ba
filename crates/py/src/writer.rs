//! A journal writer for collectors written in Python: same files, same lock, same promises.

use std::path::Path;
use std::sync::Mutex;

use journal::registry::{self, Instrument};
use journal::{Options, Writer};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use wire::Decimal;

use crate::error;
use crate::lock::lock;
use crate::records;

/// The one writer of a venue's journal. Records are visible to readers when `append` returns.
#[pyclass(frozen)]
pub struct JournalWriter {
    writer: Mutex<Option<Writer>>,
}

#[pymethods]
impl JournalWriter {
    /// Opens the journal of `venue` below `home` for writing; the epoch grows by one. Raises when another
    /// process writes it.
    #[new]
    fn new(py: Python<'_>, home: &str, venue: &str, protocol: &str) -> PyResult<Self> {
        let home = Path::new(home);
        // What a writer that died left behind is read through first.
        let opened = py.detach(|| {
            registry::register(home, venue, protocol)?;
            Writer::open(home, venue, &Options::default())
        });
        let writer = opened.map_err(error::journal)?;
        Ok(Self {
            writer: Mutex::new(Some(writer)),
        })
    }

    #[getter]
    fn epoch(&self, py: Python<'_>) -> PyResult<u32> {
        self.with(py, |writer| Ok(writer.epoch()))
    }

    /// The sequence the next record will get.
    #[getter]
    fn next_sequence(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |writer| Ok(writer.next_sequence()))
    }

    /// Sequence up to which (inclusive) records survive a power cut.
    #[getter]
    fn durable(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |writer| Ok(writer.durable()))
    }

    /// The number of an instrument, given to it now if it is new. `tick` and `lot` are decimal text.
    #[pyo3(signature = (name, *, symbol, base, quote, tick, lot, price_scale, size_scale, status = "online"))]
    #[allow(clippy::too_many_arguments)] // keyword-only in Python, one for each column of the registry
    fn instrument(
        &self,
        py: Python<'_>,
        name: &str,
        symbol: &str,
        base: &str,
        quote: &str,
        tick: &str,
        lot: &str,
        price_scale: u8,
        size_scale: u8,
        status: &str,
    ) -> PyResult<u32> {
        let wanted = Instrument {
            number: 0,
            name: name.to_owned(),
            symbol: symbol.to_owned(),
            base: base.to_owned(),
            quote: quote.to_owned(),
            tick: decimal("tick", tick)?,
            lot: decimal("lot", lot)?,
            price_scale,
            size_scale,
            status: status.to_owned(),
        };
        self.with(py, |writer| {
            let numbers = writer.registry().add(&[wanted]).map_err(error::journal)?;
            Ok(numbers[0])
        })
    }

    /// Appends the records of one venue message, an array of `tidemill.wire.RECORD` or any contiguous
    /// buffer of them; returns the sequence of the first.
    fn append(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<u64> {
        let records = records::copy_from(buffer)?;
        if records.is_empty() {
            return Err(PyValueError::new_err("append needs at least one record"));
        }
        self.with(py, |writer| {
            Ok(writer.append(&records).map_err(error::journal)?.sequence)
        })
    }

    /// Releases the journal: another process may write it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        lock(py, &self.writer, "writer")?.take();
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }
}

impl JournalWriter {
    fn with<T>(&self, py: Python<'_>, act: impl FnOnce(&mut Writer) -> PyResult<T>) -> PyResult<T> {
        match &mut *lock(py, &self.writer, "writer")? {
            Some(writer) => act(writer),
            None => Err(PyRuntimeError::new_err("this writer is closed")),
        }
    }
}

fn decimal(what: &str, text: &str) -> PyResult<Decimal> {
    text.parse()
        .map_err(|error| PyValueError::new_err(format!("{what} {text:?}: {error}")))
}
