//! Venues and instruments of a home, as dictionaries.

use std::path::Path;

use journal::registry::{self, Instrument, Registry};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error;

/// All venues of a home: number, name, protocol.
#[pyfunction]
pub fn venues<'py>(py: Python<'py>, home: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let found = registry::venues(Path::new(home)).map_err(error::journal)?;
    found
        .iter()
        .map(|venue| {
            let dict = PyDict::new(py);
            dict.set_item("number", venue.number)?;
            dict.set_item("name", &venue.name)?;
            dict.set_item("protocol", &venue.protocol)?;
            Ok(dict)
        })
        .collect()
}

/// All instruments of a venue, newest version each; tick and lot are decimal text.
#[pyfunction]
pub fn instruments<'py>(py: Python<'py>, home: &str, venue: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let registry = Registry::open(Path::new(home), venue).map_err(error::journal)?;
    registry
        .instruments()
        .map(|instrument| describe(py, instrument))
        .collect()
}

pub fn describe<'py>(py: Python<'py>, instrument: &Instrument) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", instrument.number)?;
    dict.set_item("name", &instrument.name)?;
    dict.set_item("symbol", &instrument.symbol)?;
    dict.set_item("base", &instrument.base)?;
    dict.set_item("quote", &instrument.quote)?;
    dict.set_item("tick", instrument.tick.to_string())?;
    dict.set_item("lot", instrument.lot.to_string())?;
    dict.set_item("price_scale", instrument.price_scale)?;
    dict.set_item("size_scale", instrument.size_scale)?;
    dict.set_item("status", &instrument.status)?;
    Ok(dict)
}
