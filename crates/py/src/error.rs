//! Errors of the crates as Python exceptions.

use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyRuntimeError};

/// A journal error as the exception Python people expect.
pub fn journal(error: journal::Error) -> PyErr {
    match error {
        journal::Error::Io { .. } => PyOSError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}
