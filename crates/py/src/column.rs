//! Bars as plain columns for Python: int64 arrays in, int64 arrays out, none of them copied.

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use kernels::bar::{self, Columns, Cut, Every, Made, Pool, Spans, Sums};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::Array;
use crate::bar::{parse, refused};

const FORMAT: &CStr = c"q";

/// Buffers that columns gave back, for those that come after them. Memory fresh from the system takes many
/// times as long to fill as memory that is mapped already, and bars are made again and again.
static POOL: Mutex<Vec<Vec<i64>>> = Mutex::new(Vec::new());
const POOL_BYTES: usize = 256 << 20;

/// That pool.
struct Used;

impl Pool for Used {
    /// The smallest that holds so many values, or an empty one.
    fn take(&self, rows: usize) -> Vec<i64> {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = (pool.iter().enumerate())
            .filter(|(_, buffer)| buffer.capacity() >= rows)
            .min_by_key(|(_, buffer)| buffer.capacity())
            .map(|(at, _)| at);
        fit.map_or_else(Vec::new, |at| pool.swap_remove(at))
    }

    /// Keeps it, while there is room; what is smallest goes first.
    fn give_back(&self, buffer: Vec<i64>) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.push(buffer);
        let bytes = |pool: &[Vec<i64>]| pool.iter().map(|one| one.capacity() * 8).sum::<usize>();
        while bytes(&pool) > POOL_BYTES || pool.len() > 256 {
            let smallest = (pool.iter().enumerate()).min_by_key(|(_, one)| one.capacity());
            let Some((at, _)) = smallest else { return };
            pool.swap_remove(at);
        }
    }
}

/// How many threads may run at once; asked once, since the answer takes files to read.
fn processors() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

fn reduced<'py>(
    py: Python<'py>,
    columns: &Bound<'py, PyDict>,
    cut: &(impl Cut + Clone + Sync),
) -> PyResult<Bound<'py, PyDict>> {
    let rows = Rows::of(columns)?;
    let rows = rows.columns();
    let threads = bar::threads(rows.ts.len(), processors());
    dict(
        py,
        bar::reduce_shared(cut, &rows, threads, &Used).map_err(refused)?,
    )
}

/// One column. `np.frombuffer(column, np.int64)` is a view of it and keeps it alive.
#[pyclass(frozen)]
pub struct Column {
    values: Vec<i64>,
    shape: [ffi::Py_ssize_t; 1],
    strides: [ffi::Py_ssize_t; 1],
}

impl Column {
    fn of(values: Vec<i64>) -> Self {
        Self {
            shape: [values.len() as ffi::Py_ssize_t],
            strides: [8],
            values,
        }
    }
}

impl Drop for Column {
    fn drop(&mut self) {
        Used.give_back(mem::take(&mut self.values));
    }
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.values.len()
    }

    /// # Safety
    /// Called by the interpreter with a valid view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("columns are read-only"));
        }
        let this = slf.get();
        let if_asked = |flag: c_int, pointer: *mut ffi::Py_ssize_t| match flags & flag == flag {
            true => pointer,
            false => ptr::null_mut(),
        };
        // SAFETY: `view` is valid for writes. Pointer, shape and strides belong to `slf`, which the
        // view keeps alive through `obj`; the class is frozen and never changes them.
        unsafe {
            (*view).buf = this.values.as_ptr() as *mut c_void;
            (*view).len = this.shape[0] * 8;
            (*view).readonly = 1;
            (*view).itemsize = 8;
            (*view).format = match flags & ffi::PyBUF_FORMAT == ffi::PyBUF_FORMAT {
                true => FORMAT.as_ptr().cast_mut(),
                false => ptr::null_mut(),
            };
            (*view).ndim = 1;
            (*view).shape = if_asked(ffi::PyBUF_ND, this.shape.as_ptr().cast_mut());
            (*view).strides = if_asked(ffi::PyBUF_STRIDES, this.strides.as_ptr().cast_mut());
            (*view).suboffsets = ptr::null_mut();
            (*view).internal = ptr::null_mut();
            (*view).obj = slf.into_any().into_ptr();
        }
        Ok(())
    }
}

/// Columns of rows, held while they are looked at; an array that stands for several columns is seen once.
struct Rows {
    ts: Array<i64>,
    open: Array<i64>,
    high: Array<i64>,
    low: Array<i64>,
    close: Array<i64>,
    volume: Array<i64>,
    volume_high: Option<Array<i64>>,
    trades: Option<Array<i64>>,
}

impl Rows {
    fn of(columns: &Bound<'_, PyDict>) -> PyResult<Self> {
        let maybe = |name: &str| match columns.get_item(name)? {
            Some(column) if !column.is_none() => Array::of(&column, name).map(Some),
            _ => Ok(None),
        };
        let need = |name: &str| {
            maybe(name)?
                .ok_or_else(|| pyo3::exceptions::PyValueError::new_err(format!("there is no column {name}")))
        };
        Ok(Self {
            ts: need("start")?,
            open: need("open")?,
            high: need("high")?,
            low: need("low")?,
            close: need("close")?,
            volume: need("volume")?,
            volume_high: maybe("volume_high")?,
            trades: maybe("trades")?,
        })
    }

    fn columns(&self) -> Columns<'_> {
        Columns {
            ts: self.ts.slice(),
            open: self.open.slice(),
            high: self.high.slice(),
            low: self.low.slice(),
            close: self.close.slice(),
            volume: self.volume.slice(),
            volume_high: self.volume_high.as_ref().map(Array::slice),
            trades: self.trades.as_ref().map(Array::slice),
        }
    }
}

fn dict(py: Python<'_>, made: Made) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let columns = [
        ("start", made.start),
        ("open", made.open),
        ("high", made.high),
        ("low", made.low),
        ("close", made.close),
        ("volume", made.volume),
        ("trades", made.trades),
    ];
    for (name, values) in columns {
        dict.set_item(name, Bound::new(py, Column::of(values))?)?;
    }
    if let Some(high) = made.volume_high {
        dict.set_item("volume_high", Bound::new(py, Column::of(high))?)?;
    }
    Ok(dict)
}

/// Bars of an interval from columns (start, open, high, low, close, volume, and perhaps volume_high and trades)
/// that ascend by start, as such columns again.
#[pyfunction]
pub fn resample_columns<'py>(
    py: Python<'py>,
    columns: &Bound<'py, PyDict>,
    interval: &str,
) -> PyResult<Bound<'py, PyDict>> {
    reduced(py, columns, &Every::new(parse(interval)?))
}

/// Bars of several intervals at once, in their order.
#[pyfunction]
pub fn resample_every<'py>(
    py: Python<'py>,
    columns: &Bound<'py, PyDict>,
    intervals: Vec<String>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let intervals = intervals
        .iter()
        .map(|text| parse(text))
        .collect::<PyResult<Vec<_>>>()?;
    let rows = Rows::of(columns)?;
    let made = bar::reduce_all(&intervals, &rows.columns(), processors(), &Used).map_err(refused)?;
    made.into_iter().map(|one| dict(py, one)).collect()
}

/// Bars of spans, such as sessions or the days of a zone: ascending int64 `starts` and `ends`. What lies in no
/// span is in no bar.
#[pyfunction]
pub fn resample_by<'py>(
    py: Python<'py>,
    columns: &Bound<'py, PyDict>,
    starts: &Bound<'py, PyAny>,
    ends: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let (starts, ends) = (Array::of(starts, "starts")?, Array::of(ends, "ends")?);
    let cut = Spans::new(starts.slice(), ends.slice()).map_err(refused)?;
    reduced(py, columns, &cut)
}

/// What was traded in each span, by default each UTC day, from int64 arrays that ascend by time: columns
/// start, rows, and size and value (the sum of price × size) as lower and upper halves of 128 bits.
#[pyfunction]
#[pyo3(signature = (ts, price, size, starts = None, ends = None))]
pub fn day_sums<'py>(
    py: Python<'py>,
    ts: &Bound<'py, PyAny>,
    price: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    starts: Option<&Bound<'py, PyAny>>,
    ends: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (ts, price, size) = (
        Array::of(ts, "ts")?,
        Array::of(price, "price")?,
        Array::of(size, "size")?,
    );
    let (ts, price, size) = (ts.slice(), price.slice(), size.slice());
    let threads = bar::threads(ts.len(), processors());
    let found = match (starts, ends) {
        (Some(starts), Some(ends)) => {
            let (starts, ends) = (Array::of(starts, "starts")?, Array::of(ends, "ends")?);
            let cut = Spans::new(starts.slice(), ends.slice()).map_err(refused)?;
            bar::sums_shared(&cut, ts, price, size, threads)
        }
        _ => bar::sums_shared(&Every::new(parse("1d")?), ts, price, size, threads),
    }
    .map_err(refused)?;
    let dict = PyDict::new(py);
    let set = |name: &str, of: fn(&Sums) -> i64| {
        let values = found.iter().map(of).collect();
        dict.set_item(name, Bound::new(py, Column::of(values))?)
    };
    set("start", |sums| sums.start_ns)?;
    set("rows", |sums| sums.rows as i64)?;
    set("size_low", |sums| sums.size as i64)?;
    set("size_high", |sums| (sums.size >> 64) as i64)?;
    set("value_low", |sums| sums.value as i64)?;
    set("value_high", |sums| (sums.value >> 64) as i64)?;
    Ok(dict)
}
