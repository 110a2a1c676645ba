//! Generated history of the simulated venues.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use sim::Protocol;

/// Names of the instruments that the simulator has at the venue of this protocol.
#[pyfunction]
pub fn sim_instruments(protocol: &str) -> PyResult<Vec<String>> {
    let protocol = Protocol::by_name(protocol)
        .ok_or_else(|| PyValueError::new_err(format!("no simulated protocol named '{protocol}'")))?;
    Ok(sim::instruments(protocol)
        .into_iter()
        .map(|spec| spec.id)
        .collect())
}

/// The `minutes` one-minute bars before `end_ns` of one instrument. Columns are bytes of int64 mantissas:
/// start, open, high, low, close, volume, trades; price_scale and size_scale are numbers.
#[pyfunction]
pub fn sim_history<'py>(
    py: Python<'py>,
    seed: u64,
    instrument: &str,
    minutes: usize,
    end_ns: i64,
) -> PyResult<Bound<'py, PyDict>> {
    let history = py
        .detach(|| sim::history(seed, instrument, minutes, end_ns))
        .map_err(PyValueError::new_err)?;
    let column = |pick: fn(&sim::Bar) -> i64| {
        let bytes: Vec<u8> = history
            .bars
            .iter()
            .flat_map(|bar| pick(bar).to_le_bytes())
            .collect();
        PyBytes::new(py, &bytes)
    };
    let dict = PyDict::new(py);
    dict.set_item("start", column(|bar| bar.start_ns))?;
    dict.set_item("open", column(|bar| bar.open))?;
    dict.set_item("high", column(|bar| bar.high))?;
    dict.set_item("low", column(|bar| bar.low))?;
    dict.set_item("close", column(|bar| bar.close))?;
    dict.set_item("volume", column(|bar| bar.volume))?;
    dict.set_item(
        "trades",
        column(|bar| i64::try_from(bar.trades).unwrap_or(i64::MAX)),
    )?;
    dict.set_item("price_scale", history.price_scale)?;
    dict.set_item("size_scale", history.size_scale)?;
    Ok(dict)
}
