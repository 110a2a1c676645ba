//! Sweeps for Python: arrays in, the bytes of arrays out.

use kernels::sweep::{self as kernel, Average, Found, Rule};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::array::Array;

/// Crossing averages for many pairs of windows: for each pair, in their order, `total`, `drawdown`, `mean`, `deviation`
/// and `exposure` as float64, `trades` as uint64. `close` and `open` are float64, which nobody may write meanwhile:
/// the interpreter's lock is released.
#[pyfunction]
#[pyo3(signature = (close, fast, slow, *, open = None, average = "simple", shorts = false, cost = 0.0, threads = 1))]
#[allow(clippy::too_many_arguments)] // by name, in Python
pub fn sweep_cross<'py>(
    py: Python<'py>,
    close: &Bound<'py, PyAny>,
    fast: Vec<u32>,
    slow: Vec<u32>,
    open: Option<&Bound<'py, PyAny>>,
    average: &str,
    shorts: bool,
    cost: f64,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let average = match average {
        "simple" => Average::Simple,
        "exponential" => Average::Exponential,
        other => {
            return Err(PyValueError::new_err(format!(
                "an average is simple or exponential, not '{other}'"
            )));
        }
    };
    if fast.len() != slow.len() {
        return Err(PyValueError::new_err(format!(
            "{} fast and {} slow windows",
            fast.len(),
            slow.len()
        )));
    }
    let rule = Rule {
        average,
        shorts,
        cost,
    };
    let pairs: Vec<(u32, u32)> = fast.into_iter().zip(slow).collect();
    let close = Array::<f64>::of(close, "close")?;
    let open = open.map(|open| Array::<f64>::of(open, "open")).transpose()?;
    let (closes, opens) = (close.slice(), open.as_ref().map(Array::slice));
    let found = py
        .detach(|| kernel::cross(closes, opens, &pairs, rule, threads))
        .map_err(|fault| PyValueError::new_err(fault.to_string()))?;
    let told = PyDict::new(py);
    let column = |name: &str, of: fn(&Found) -> [u8; 8]| {
        let bytes: Vec<u8> = found.iter().flat_map(of).collect();
        told.set_item(name, PyBytes::new(py, &bytes))
    };
    column("total", |one| one.total.to_le_bytes())?;
    column("drawdown", |one| one.drawdown.to_le_bytes())?;
    column("trades", |one| one.trades.to_le_bytes())?;
    column("mean", |one| one.mean.to_le_bytes())?;
    column("deviation", |one| one.deviation.to_le_bytes())?;
    column("exposure", |one| one.exposure.to_le_bytes())?;
    Ok(told)
}
