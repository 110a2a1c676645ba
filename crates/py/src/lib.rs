//! Python binding of the crates: thin, no logic. The module is `tidemill._native`.

use std::path::PathBuf;

use pyo3::prelude::*;

mod array;
mod bar;
mod batch;
mod book;
mod column;
mod engine;
mod error;
mod indicator;
mod live;
mod lock;
mod reader;
mod recent;
mod records;
mod registry;
mod relay;
mod simulated;
mod sweep;
mod writer;

/// Runs a native part (`collector`, `relay`, `bridge`, `sim`) until it ends; returns its exit code.
/// The part installs its own signal handlers, and the interpreter's lock is released meanwhile.
#[pyfunction]
fn run(py: Python<'_>, argv: Vec<String>) -> i32 {
    py.detach(|| feed::cli::run(argv))
}

/// Where the socket `name` of this home is; makes the short folder that a long home needs.
#[pyfunction]
fn socket_path(home: PathBuf, name: &str) -> PyResult<PathBuf> {
    Ok(feed::part::socket_path(&home, name)?)
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add_function(wrap_pyfunction!(socket_path, module)?)?;
    module.add_function(wrap_pyfunction!(registry::venues, module)?)?;
    module.add_function(wrap_pyfunction!(registry::instruments, module)?)?;
    module.add_class::<bar::BarBuilder>()?;
    module.add_class::<book::Book>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<engine::Fill>()?;
    module.add_function(wrap_pyfunction!(bar::bars_of_trades, module)?)?;
    module.add_function(wrap_pyfunction!(bar::merge_bars, module)?)?;
    module.add_function(wrap_pyfunction!(bar::merge_bars_by, module)?)?;
    module.add_function(wrap_pyfunction!(bar::resample, module)?)?;
    module.add_class::<column::Column>()?;
    module.add_function(wrap_pyfunction!(column::resample_columns, module)?)?;
    module.add_function(wrap_pyfunction!(column::resample_every, module)?)?;
    module.add_function(wrap_pyfunction!(column::resample_by, module)?)?;
    module.add_function(wrap_pyfunction!(column::day_sums, module)?)?;
    module.add_function(wrap_pyfunction!(bar::interval_bounds, module)?)?;
    module.add_function(wrap_pyfunction!(indicator::indicators, module)?)?;
    module.add_function(wrap_pyfunction!(indicator::indicator, module)?)?;
    module.add_class::<indicator::Indicator>()?;
    module.add_function(wrap_pyfunction!(sweep::sweep_cross, module)?)?;
    module.add_function(wrap_pyfunction!(simulated::sim_instruments, module)?)?;
    module.add_function(wrap_pyfunction!(simulated::sim_history, module)?)?;
    module.add_class::<records::Records>()?;
    module.add_class::<reader::JournalReader>()?;
    module.add_class::<recent::Recent>()?;
    module.add_class::<relay::RelayReader>()?;
    module.add_function(wrap_pyfunction!(relay::relay_venues, module)?)?;
    module.add_class::<writer::JournalWriter>()?;
    Ok(())
}
