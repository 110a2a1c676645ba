//! Bars for Python: the kernels' builder over record buffers, rows as one structured array.
//!
//! Rows cross as bytes of `tidemill.model.bar.BAR`, 112 bytes each: `np.frombuffer(rows, dtype=BAR)`.

use std::sync::{Mutex, MutexGuard};

use kernels::bar::{self, Bar, BarError, Bars, Emitted, Every, Interval, Pushed, Spans};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wire::Record;

use crate::array::Array;
use crate::lock::lock;
use crate::records::copy_from;

const ROW_BYTES: usize = 112;

pub(crate) fn parse(text: &str) -> PyResult<Interval> {
    text.parse()
        .map_err(|error: bar::IntervalError| PyValueError::new_err(error.to_string()))
}

pub(crate) fn refused(error: BarError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A bar with everything around it that Python sees.
struct Row {
    instrument: u32,
    interval: u32,
    revision: u32,
    end_ns: i64,
    ts_recv: i64,
    sequence: u64,
    bar: Bar,
}

impl Row {
    fn of(emitted: &Emitted) -> Self {
        Self {
            instrument: emitted.instrument,
            interval: emitted.interval as u32,
            revision: emitted.closed.revision,
            end_ns: emitted.closed.end_ns,
            ts_recv: emitted.ts_recv,
            sequence: emitted.sequence,
            bar: emitted.closed.bar,
        }
    }

    fn bare(interval: Interval, bar: Bar) -> Self {
        let end_ns = interval.end(bar.start_ns);
        Self {
            instrument: 0,
            interval: 0,
            revision: 0,
            end_ns,
            ts_recv: bar.ts_known,
            sequence: 0,
            bar,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let bar = &self.bar;
        out.extend_from_slice(&self.instrument.to_le_bytes());
        out.extend_from_slice(&self.interval.to_le_bytes());
        out.extend_from_slice(&self.revision.to_le_bytes());
        out.extend_from_slice(&[bar.price_scale, bar.size_scale, 0, 0]);
        for value in [bar.start_ns, self.end_ns, bar.open, bar.high, bar.low, bar.close] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&bar.volume.to_le_bytes());
        out.extend_from_slice(&bar.trades.to_le_bytes());
        out.extend_from_slice(&bar.ts_known.to_le_bytes());
        out.extend_from_slice(&self.ts_recv.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
    }

    /// `row` is `ROW_BYTES` long, which [`Held`] makes sure of.
    fn read(row: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&row[at..at + 8]);
            bytes
        };
        let i64_at = |at: usize| i64::from_le_bytes(word(at));
        let u64_at = |at: usize| u64::from_le_bytes(word(at));
        let mut volume = [0; 16];
        volume.copy_from_slice(&row[64..80]);
        Self {
            instrument: u32_at(0),
            interval: u32_at(4),
            revision: u32_at(8),
            end_ns: i64_at(24),
            ts_recv: i64_at(96),
            sequence: u64_at(104),
            bar: Bar {
                start_ns: i64_at(16),
                open: i64_at(32),
                high: i64_at(40),
                low: i64_at(48),
                close: i64_at(56),
                price_scale: row[12],
                volume: i128::from_le_bytes(volume),
                size_scale: row[13],
                trades: u64_at(80),
                ts_known: i64_at(88),
            },
        }
    }
}

fn bytes<'py>(py: Python<'py>, rows: impl IntoIterator<Item = Row>) -> Bound<'py, PyBytes> {
    let mut out = Vec::new();
    for row in rows {
        row.write(&mut out);
    }
    PyBytes::new(py, &out)
}

/// The bytes of any object with a contiguous buffer, in place. The interpreter's lock stays held while they
/// are looked at, so that no other thread can write to them meanwhile.
struct Held(PyUntypedBuffer);

impl Held {
    /// Raises ValueError for what is not whole items of `unit` bytes.
    fn of(object: &Bound<'_, PyAny>, unit: usize, what: &str) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() || !buffer.len_bytes().is_multiple_of(unit) {
            return Err(PyValueError::new_err(format!(
                "{what} need a contiguous buffer of whole {unit}-byte items, got {} bytes",
                buffer.len_bytes()
            )));
        }
        Ok(Self(buffer))
    }

    fn bytes(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: contiguous (checked), this long, and kept alive by the buffer.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), self.0.len_bytes()) }
    }

    /// The rows, of something held in units of `ROW_BYTES`.
    fn rows(&self) -> impl Iterator<Item = Row> {
        self.bytes().chunks_exact(ROW_BYTES).map(Row::read)
    }
}

fn rows_of(object: &Bound<'_, PyAny>) -> PyResult<Vec<Row>> {
    Ok(Held::of(object, ROW_BYTES, "bars")?.rows().collect())
}

fn words(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<u64>> {
    let held = Held::of(object, 8, what)?;
    let (words, _) = held.bytes().as_chunks::<8>();
    Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

struct State {
    bars: Bars,
    intervals: Vec<Interval>,
    refused: Vec<(u64, String)>,
    forgotten: Vec<u64>,
}

/// Bars of every instrument of a venue in several intervals, from its records in order.
#[pyclass(frozen)]
pub struct BarBuilder {
    state: Mutex<State>,
}

impl BarBuilder {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        lock(py, &self.state, "builder")
    }
}

#[pymethods]
impl BarBuilder {
    /// `intervals` as text, for example `["1s", "1m"]`. Raises ValueError for what is none.
    #[new]
    fn new(intervals: Vec<String>) -> PyResult<Self> {
        let intervals = intervals
            .iter()
            .map(|text| parse(text))
            .collect::<PyResult<Vec<_>>>()?;
        Ok(Self {
            state: Mutex::new(State {
                bars: Bars::new(&intervals),
                intervals,
                refused: Vec::new(),
                forgotten: Vec::new(),
            }),
        })
    }

    /// Takes in records of dense sequences from `sequence`; returns the bars that they closed, as rows.
    fn push<'py>(
        &self,
        py: Python<'py>,
        records: &Bound<'py, PyAny>,
        sequence: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let records = copy_from(records)?;
        let mut state = self.lock(py)?;
        let State {
            bars,
            refused,
            forgotten,
            ..
        } = &mut *state;
        let emitted = py.detach(|| {
            let mut emitted = Vec::new();
            for (record, sequence) in records.iter().zip(sequence..) {
                match bars.push(record, sequence, &mut emitted) {
                    Ok(Pushed::Forgotten) => forgotten.push(sequence),
                    Ok(_) => {}
                    Err(error) => refused.push((sequence, error.to_string())),
                }
            }
            emitted
        });
        Ok(bytes(py, emitted.iter().map(Row::of)))
    }

    /// Takes in stored trades without closing anything. `sequences` is a buffer of u64, one a record.
    fn count(
        &self,
        py: Python<'_>,
        records: &Bound<'_, PyAny>,
        sequences: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let records = copy_from(records)?;
        let sequences = words(sequences, "sequences")?;
        if sequences.len() != records.len() {
            return Err(PyValueError::new_err(format!(
                "{} records, but {} sequences",
                records.len(),
                sequences.len()
            )));
        }
        let mut state = self.lock(py)?;
        let State { bars, refused, .. } = &mut *state;
        py.detach(|| {
            for (record, &sequence) in records.iter().zip(&sequences) {
                if let Err(error) = bars.count(record, sequence) {
                    refused.push((sequence, error.to_string()));
                }
            }
        });
        Ok(())
    }

    /// Tells that these rows are stored already; what differs will come again with the next revision.
    fn settle(&self, py: Python<'_>, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let rows = rows_of(rows)?;
        let mut state = self.lock(py)?;
        for row in rows {
            let interval = row.interval as usize;
            state
                .bars
                .settle(row.instrument, interval, &row.bar, row.revision, row.sequence);
        }
        Ok(())
    }

    /// Nothing that ends at or before these times (one per interval, ns) is known here.
    fn begin(&self, py: Python<'_>, floors_ns: Vec<i64>) -> PyResult<()> {
        self.lock(py)?.bars.begin(&floors_ns);
        Ok(())
    }

    /// Forgets closed bars that end at or before this time.
    fn forget(&self, py: Python<'_>, before_ns: i64) -> PyResult<()> {
        self.lock(py)?.bars.forget(before_ns);
        Ok(())
    }

    /// Bars not closed yet, as rows, ordered by interval, instrument and start.
    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.lock(py)?;
        let mut rows: Vec<Row> = state
            .bars
            .open()
            .map(|(instrument, interval, end_ns, bar)| Row {
                instrument,
                interval: interval as u32,
                revision: 0,
                end_ns,
                ts_recv: state.bars.watermark(),
                sequence: 0,
                bar: *bar,
            })
            .collect();
        rows.sort_by_key(|row| (row.interval, row.instrument, row.bar.start_ns));
        Ok(bytes(py, rows))
    }

    /// Every bar of one series that is not forgotten, as rows ascending by start.
    fn series<'py>(
        &self,
        py: Python<'py>,
        instrument: u32,
        interval: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.lock(py)?;
        let rows = state
            .bars
            .series(instrument, interval)
            .map(|(end_ns, revision, bar)| Row {
                instrument,
                interval: interval as u32,
                revision,
                end_ns,
                ts_recv: state.bars.watermark(),
                sequence: 0,
                bar: *bar,
            });
        Ok(bytes(py, rows))
    }

    /// Newest arrival time seen, ns; None before the first record.
    #[getter]
    fn watermark(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        let watermark = self.lock(py)?.bars.watermark();
        Ok((watermark != i64::MIN).then_some(watermark))
    }

    /// The intervals as text.
    #[getter]
    fn intervals(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(self.lock(py)?.intervals.iter().map(Interval::to_string).collect())
    }

    /// Trades that could not be counted since the last call: (sequence, why).
    fn take_refused(&self, py: Python<'_>) -> PyResult<Vec<(u64, String)>> {
        Ok(std::mem::take(&mut self.lock(py)?.refused))
    }

    /// Sequences of trades since the last call whose bars were forgotten.
    fn take_forgotten(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        Ok(std::mem::take(&mut self.lock(py)?.forgotten))
    }
}

/// The bars of one instrument's trades in any order, as rows ascending by start.
#[pyfunction]
pub fn bars_of_trades<'py>(
    py: Python<'py>,
    records: &Bound<'py, PyAny>,
    sequences: &Bound<'py, PyAny>,
    interval: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let interval = parse(interval)?;
    let records: Vec<Record> = copy_from(records)?;
    let sequences = words(sequences, "sequences")?;
    if sequences.len() != records.len() {
        return Err(PyValueError::new_err(format!(
            "{} records, but {} sequences",
            records.len(),
            sequences.len()
        )));
    }
    let bars = py
        .detach(|| bar::batch(interval, records.iter().zip(sequences)))
        .map_err(refused)?;
    Ok(bytes(py, bars.into_iter().map(|bar| Row::bare(interval, bar))))
}

/// Bars of a longer interval from rows of one series that ascend by start.
#[pyfunction]
pub fn merge_bars<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    interval: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let interval = parse(interval)?;
    merged(py, rows, &mut Every::new(interval))
}

/// Bars of spans (ascending int64 `starts` and `ends`) from rows of one series that ascend by start and reach
/// over no edge of a span; what begins in no span is in none.
#[pyfunction]
pub fn merge_bars_by<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    starts: &Bound<'py, PyAny>,
    ends: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (starts, ends) = (Array::of(starts, "starts")?, Array::of(ends, "ends")?);
    merged(
        py,
        rows,
        &mut Spans::new(starts.slice(), ends.slice()).map_err(refused)?,
    )
}

fn merged<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyAny>,
    cut: &mut impl bar::Cut,
) -> PyResult<Bound<'py, PyBytes>> {
    let held = Held::of(rows, ROW_BYTES, "bars")?;
    let merged = bar::merge_by(cut, held.rows().map(|row| row.bar)).map_err(refused)?;
    let mut parts = held.rows().peekable();
    let merged = merged.into_iter().map(|(end_ns, bar)| {
        let mut row = Row {
            instrument: 0,
            interval: 0,
            revision: 0,
            end_ns,
            ts_recv: bar.ts_known,
            sequence: 0,
            bar,
        };
        while let Some(part) = parts.next_if(|part| part.bar.start_ns < end_ns) {
            if part.bar.start_ns < bar.start_ns {
                continue; // between two spans
            }
            row.instrument = part.instrument;
            row.revision = row.revision.max(part.revision);
            row.sequence = row.sequence.max(part.sequence);
            row.ts_recv = row.ts_recv.max(part.ts_recv);
        }
        row
    });
    Ok(bytes(py, merged))
}

/// Bars from arrays of i64 (buffers of one length, ascending by time) at one scale, as rows.
#[pyfunction]
pub fn resample<'py>(
    py: Python<'py>,
    ts_event: &Bound<'py, PyAny>,
    price: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    price_scale: u8,
    size_scale: u8,
    interval: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let interval = parse(interval)?;
    let ts_event = Array::of(ts_event, "ts_event")?;
    let price = Array::of(price, "price")?;
    let size = Array::of(size, "size")?;
    if price.slice().len() != ts_event.slice().len() || size.slice().len() != ts_event.slice().len() {
        return Err(PyValueError::new_err(format!(
            "the arrays differ in length: ts_event {}, price {}, size {}",
            ts_event.slice().len(),
            price.slice().len(),
            size.slice().len()
        )));
    }
    let bars = bar::resample(
        interval,
        ts_event.slice(),
        price.slice(),
        size.slice(),
        (price_scale, size_scale),
    )
    .map_err(refused)?;
    Ok(bytes(py, bars.into_iter().map(|bar| Row::bare(interval, bar))))
}

/// Start and end (exclusive) of the interval that holds `ts`, ns. Raises ValueError for no interval.
#[pyfunction]
pub fn interval_bounds(interval: &str, ts: i64) -> PyResult<(i64, i64)> {
    let interval = parse(interval)?;
    let start = interval.start(ts);
    Ok((start, interval.end(start)))
}
