//! Arrays of Python in place, checked for type and layout, and columns for it as arrays of numpy.

use std::marker::PhantomData;

use pyo3::buffer::{ElementType, PyUntypedBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

/// What an array holds. Any bits are a value of it.
pub trait Item: Copy {
    const NAME: &'static str;
    const TYPE: ElementType;
}

macro_rules! item {
    ($($kind:ty, $name:literal, $variant:ident;)+) => {
        $(impl Item for $kind {
            const NAME: &'static str = $name;
            const TYPE: ElementType = ElementType::$variant { bytes: size_of::<$kind>() };
        })+
    };
}

item! {
    i64, "int64", SignedInteger;
    u32, "uint32", UnsignedInteger;
    f64, "float64", Float;
    i8, "int8", SignedInteger;
}

/// A contiguous array of one dimension, seen in place. Code that runs meanwhile, because the interpreter's lock
/// was let go, may write to it; what is made of it is then wrong, as it would be with any order of the two.
pub struct Array<T> {
    buffer: PyUntypedBuffer,
    item: PhantomData<T>,
}

impl<T: Item> Array<T> {
    /// Raises ValueError for anything else.
    pub fn of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        let refused = |found: String| {
            PyValueError::new_err(format!(
                "{what} must be a contiguous array of {}, got {found}",
                T::NAME
            ))
        };
        let buffer = PyUntypedBuffer::get(object).map_err(|_| refused(object.get_type().to_string()))?;
        if buffer.dimensions() != 1 {
            return Err(refused(format!("one of {} dimensions", buffer.dimensions())));
        }
        if !buffer.is_c_contiguous() {
            return Err(refused("one with gaps between its items: copy it".into()));
        }
        let aligned = (buffer.buf_ptr() as usize).is_multiple_of(align_of::<T>());
        // A float64 array has items of 8 bytes too: read as integers they would be numbers nobody meant.
        let kind =
            ElementType::from_format(buffer.format()) == T::TYPE && buffer.item_size() == size_of::<T>();
        if !kind || !aligned {
            return Err(refused(format!(
                "items of {} bytes in format '{}'",
                buffer.item_size(),
                buffer.format().to_string_lossy()
            )));
        }
        Ok(Self {
            buffer,
            item: PhantomData,
        })
    }

    pub fn slice(&self) -> &[T] {
        let items = self.buffer.len_bytes() / size_of::<T>();
        if items == 0 {
            return &[];
        }
        // SAFETY: contiguous, aligned (both checked) and kept alive by the buffer; any bits are a `T`.
        unsafe { std::slice::from_raw_parts(self.buffer.buf_ptr().cast::<T>(), items) }
    }

    /// # Safety
    /// Nobody else may know the array.
    pub unsafe fn slice_mut(&mut self) -> &mut [T] {
        let items = self.buffer.len_bytes() / size_of::<T>();
        if items == 0 {
            return &mut [];
        }
        // SAFETY: as above, and the caller promises that it is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.buf_ptr().cast::<T>(), items) }
    }
}

/// A new array of numpy.
pub fn column<'py, T: Item>(
    py: Python<'py>,
    values: impl ExactSizeIterator<Item = T>,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyByteArray::new_with(py, values.len() * size_of::<T>(), |bytes| {
        for (place, value) in bytes.chunks_exact_mut(size_of::<T>()).zip(values) {
            // SAFETY: the place is as long as the value, and bytes have no alignment.
            unsafe { place.as_mut_ptr().cast::<T>().write_unaligned(value) };
        }
        Ok(())
    })?;
    py.import("numpy")?.call_method1("frombuffer", (bytes, T::NAME))
}

/// A new array of numpy of truth values.
pub fn flags<'py>(
    py: Python<'py>,
    values: impl ExactSizeIterator<Item = bool>,
) -> PyResult<Bound<'py, PyAny>> {
    column(py, values.map(i8::from))?.call_method1("view", ("bool",))
}
