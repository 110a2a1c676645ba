//! The lock of an object that several Python threads may use at once.

use std::sync::{Mutex, MutexGuard};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

/// Takes the lock. The wait is without the interpreter's own lock: whoever holds this one may be waiting for
/// the interpreter before it can let go. After a panic in another call, `what` says which object is unusable.
pub fn lock<'a, T>(py: Python<'_>, mutex: &'a Mutex<T>, what: &str) -> PyResult<MutexGuard<'a, T>> {
    mutex
        .lock_py_attached(py)
        .map_err(|_| PyRuntimeError::new_err(format!("this {what} failed earlier; make another")))
}
