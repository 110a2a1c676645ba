//! A batch of records that numpy sees in place, through the buffer protocol.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use wire::{RECORD_BYTES, Record};

const BYTES_FORMAT: &CStr = c"B";

/// Records of one epoch with dense sequences. Read-only:
/// `np.frombuffer(records, dtype=tidemill.wire.RECORD)` is a view, not a copy.
#[pyclass(frozen)]
pub struct Records {
    pub records: Vec<Record>,
    /// The writer's generation.
    #[pyo3(get)]
    pub epoch: u32,
    /// Sequence of the first record; the i-th has `sequence + i`.
    #[pyo3(get)]
    pub sequence: u64,
    shape: [ffi::Py_ssize_t; 1],
    strides: [ffi::Py_ssize_t; 1],
}

impl Records {
    pub fn new(records: Vec<Record>, epoch: u32, sequence: u64) -> Self {
        let bytes = (records.len() * RECORD_BYTES) as ffi::Py_ssize_t;
        Self {
            records,
            epoch,
            sequence,
            shape: [bytes],
            strides: [1],
        }
    }
}

#[pymethods]
impl Records {
    fn __len__(&self) -> usize {
        self.records.len()
    }

    fn __repr__(&self) -> String {
        format!(
            "<Records {} from ({}, {})>",
            self.records.len(),
            self.epoch,
            self.sequence
        )
    }

    /// # Safety
    /// Called by the interpreter with a valid view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("records are read-only"));
        }
        let this = slf.get();
        // SAFETY: `view` is valid for writes. Pointer, shape and strides belong to `slf`, which the
        // view keeps alive through `obj`; the class is frozen and never changes them.
        unsafe {
            (*view).buf = this.records.as_ptr() as *mut c_void;
            (*view).len = this.shape[0];
            (*view).readonly = 1;
            (*view).itemsize = 1;
            (*view).format = if flags & ffi::PyBUF_FORMAT == ffi::PyBUF_FORMAT {
                BYTES_FORMAT.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            };
            (*view).ndim = 1;
            (*view).shape = if flags & ffi::PyBUF_ND == ffi::PyBUF_ND {
                this.shape.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            };
            (*view).strides = if flags & ffi::PyBUF_STRIDES == ffi::PyBUF_STRIDES {
                this.strides.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            };
            (*view).suboffsets = ptr::null_mut();
            (*view).internal = ptr::null_mut();
            (*view).obj = slf.into_any().into_ptr();
        }
        Ok(())
    }
}

/// A copy of the records in any object with a contiguous buffer.
pub fn copy_from(object: &Bound<'_, PyAny>) -> PyResult<Vec<Record>> {
    let buffer = pyo3::buffer::PyUntypedBuffer::get(object)?;
    if !buffer.is_c_contiguous() || !buffer.len_bytes().is_multiple_of(RECORD_BYTES) {
        return Err(PyValueError::new_err(format!(
            "records need a contiguous buffer of whole {RECORD_BYTES}-byte records, got {} bytes",
            buffer.len_bytes()
        )));
    }
    let mut records = vec![Record::new(0); buffer.len_bytes() / RECORD_BYTES];
    // SAFETY: source and target are `len_bytes` long and do not overlap; the buffer is held and the
    // interpreter's lock with it, and any bytes are a valid Record.
    unsafe {
        ptr::copy_nonoverlapping(
            buffer.buf_ptr().cast::<u8>(),
            records.as_mut_ptr().cast::<u8>(),
            buffer.len_bytes(),
        );
    }
    Ok(records)
}
