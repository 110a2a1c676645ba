//! A journal writer for collectors written in Python: same files, same lock, same promises.

use std::path::PathBuf;
use std::sync::Mutex;

use journal::registry::{self, Instrument};
use journal::{Options, Pressure, Writer};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use wire::Decimal;

use crate::error;
use crate::live;
use crate::records;

const HOUR_NS: i64 = 3_600_000_000_000;

/// The one writer of a venue's journal. Records are visible to readers when `append` returns.
#[pyclass(frozen)]
pub struct JournalWriter {
    writer: Mutex<Option<Writer>>,
}

#[pymethods]
impl JournalWriter {
    /// Opens the journal of `venue` below `home` for writing; the epoch grows by one. Raises when another
    /// process writes it. `max_bytes` bounds the journal (0: the smaller of 10 GiB and 10 % of the disk);
    /// records leave it after `keep_hours` (0: while there is room they stay), never before they are stored.
    #[new]
    #[pyo3(signature = (home, venue, protocol, *, max_bytes = 0, keep_hours = 0, segment_bytes = 64 << 20))]
    fn new(
        py: Python<'_>,
        home: PathBuf,
        venue: &str,
        protocol: &str,
        max_bytes: u64,
        keep_hours: u32,
        segment_bytes: u64,
    ) -> PyResult<Self> {
        let options = Options {
            segment_bytes,
            max_bytes,
            keep_ns: i64::from(keep_hours).saturating_mul(HOUR_NS),
            ..Options::default()
        };
        // What a writer that died left behind is read through first.
        let opened = py.detach(|| {
            registry::register(&home, venue, protocol)?;
            Writer::open(&home, venue, &options)
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

    /// Why no new segments can be made now, "bound" or "disk_full"; None when all is well. What is not read
    /// in time is lost meanwhile.
    #[getter]
    fn pressure(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        self.with(py, |writer| {
            Ok(writer.pressure().map(|pressure| match pressure {
                Pressure::Bound => "bound",
                Pressure::DiskFull => "disk_full",
            }))
        })
    }

    /// The same in words: what was tried, what was found.
    #[getter]
    fn trouble(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |writer| Ok(writer.trouble()))
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
    /// buffer of them; returns the sequence of the first. Raises ValueError, and appends none, when one of
    /// them may not be in a live journal. Python's other threads run meanwhile.
    fn append(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<u64> {
        let records = records::copy_from(buffer)?;
        if records.is_empty() {
            return Err(PyValueError::new_err("append needs at least one record"));
        }
        self.with(py, |writer| {
            live::check(&records, writer.registry().venue()).map_err(PyValueError::new_err)?;
            Ok(writer.append(&records).map_err(error::journal)?.sequence)
        })
    }

    /// Adds a control message, JSON text without a sequence of its own, for those who read the log.
    fn control(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        self.with(py, |writer| writer.control(json).map_err(error::journal))
    }

    /// Returns when a power cut can take nothing that was appended. Done in the background anyway: see `durable`.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |writer| writer.sync().map_err(error::journal))
    }

    /// Syncs, and releases the journal: another process may write it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.held(py, |writer| {
            writer.take();
            Ok(())
        })
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
    /// Acts without the interpreter's lock: a new segment, or another thread that makes one, holds nobody up.
    fn held<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Option<Writer>) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut writer = self
                .writer
                .lock()
                .map_err(|_| PyRuntimeError::new_err("this writer failed earlier; make another"))?;
            act(&mut writer)
        })
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Writer) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        self.held(py, |writer| match writer {
            Some(writer) => act(writer),
            None => Err(PyRuntimeError::new_err("this writer is closed; make another")),
        })
    }
}

fn decimal(what: &str, text: &str) -> PyResult<Decimal> {
    text.parse()
        .map_err(|error| PyValueError::new_err(format!("{what} {text:?}: {error}")))
}
