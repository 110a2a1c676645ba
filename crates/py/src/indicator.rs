//! Indicators for Python: the registry, a whole series, and one that is fed bar after bar.

use kernels::indicator::{self as kernel, Bar, Columns, Fault, Inputs, Instance, Kind, Memory, Spec};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::array::Array;

fn refused(fault: Fault) -> PyErr {
    match fault {
        Fault::Unknown(_) => PyKeyError::new_err(fault.to_string()),
        _ => PyValueError::new_err(fault.to_string()),
    }
}

fn made(name: &str, params: Option<&Bound<'_, PyDict>>) -> PyResult<Instance> {
    let entry = kernel::find(name).map_err(refused)?;
    let mut given: Vec<(String, f64)> = Vec::new();
    for (key, value) in params.into_iter().flatten() {
        let key: String = key.extract()?;
        let number = value.extract().map_err(|_| {
            let shown = value
                .repr()
                .map_or_else(|_| "that".into(), |text| text.to_string());
            PyValueError::new_err(format!("{key} of {name} is a number, not {shown}"))
        })?;
        given.push((key, number));
    }
    let given = given.iter().map(|(key, value)| (key.as_str(), *value));
    entry.with(given).map_err(refused)
}

/// The columns that an indicator uses; others may be missing.
struct Held {
    start: Option<Array<i64>>,
    prices: [Option<Array<f64>>; 5],
}

impl Held {
    fn of(columns: &Bound<'_, PyDict>, spec: &Spec) -> PyResult<Self> {
        let need = |name: &str| {
            let column = columns.get_item(name)?;
            column.ok_or_else(|| PyValueError::new_err(format!("{} needs a column {name}", spec.name)))
        };
        let one = |name: &str, input: Inputs| match spec.inputs.has(input) {
            true => Array::of(&need(name)?, name).map(Some),
            false => Ok(None),
        };
        Ok(Self {
            start: match spec.inputs.has(Inputs::START) {
                true => Some(Array::of(&need("start")?, "start")?),
                false => None,
            },
            prices: [
                one("open", Inputs::OPEN)?,
                one("high", Inputs::HIGH)?,
                one("low", Inputs::LOW)?,
                one("close", Inputs::CLOSE)?,
                one("volume", Inputs::VOLUME)?,
            ],
        })
    }

    fn columns(&self) -> Columns<'_> {
        let [open, high, low, close, volume] = self
            .prices
            .each_ref()
            .map(|one| one.as_ref().map_or(&[][..], Array::slice));
        Columns {
            start_ns: self.start.as_ref().map_or(&[][..], Array::slice),
            open,
            high,
            low,
            close,
            volume,
        }
    }
}

fn batch<'py>(
    py: Python<'py>,
    instance: &mut Instance,
    columns: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let held = Held::of(columns, instance.spec)?;
    let columns = held.columns();
    let len = instance.len(&columns).map_err(refused)?;
    let empty = py.import("numpy")?.getattr("empty")?;
    let found = PyDict::new(py);
    let mut buffers = Vec::new();
    for output in instance.spec.outputs {
        let array = empty.call1((len,))?;
        buffers.push(Array::of(&array, output.name)?);
        found.set_item(output.name, array)?;
    }
    // SAFETY: the arrays were made just now and nobody has them yet.
    let mut out: Vec<&mut [f64]> = buffers.iter_mut().map(|one| unsafe { one.slice_mut() }).collect();
    py.detach(|| instance.batch(&columns, &mut out))
        .map_err(refused)?;
    Ok(found)
}

fn memory(dict: &Bound<'_, PyDict>, instance: &Instance) -> PyResult<()> {
    let memory = instance.memory();
    dict.set_item("memory", memory.name())?;
    dict.set_item("cumulative", memory == Memory::Whole)?;
    dict.set_item("warm_up", memory.warm_up())
}

/// All indicators as dicts, those drawn over prices first; `warm_up`, `first` and `shift` are those of the
/// defaults.
#[pyfunction]
pub fn indicators(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for entry in kernel::all() {
        list.append(described(py, &entry.with([]).map_err(refused)?)?)?;
    }
    Ok(list)
}

fn described<'py>(py: Python<'py>, instance: &Instance) -> PyResult<Bound<'py, PyDict>> {
    let spec = instance.spec;
    let dict = PyDict::new(py);
    dict.set_item("name", spec.name)?;
    dict.set_item("title", spec.title)?;
    dict.set_item("description", spec.description)?;
    dict.set_item("source", spec.source)?;
    dict.set_item("inputs", spec.inputs.names())?;
    let params = PyList::empty(py);
    for param in spec.params {
        let one = PyDict::new(py);
        one.set_item("name", param.name)?;
        let values = [
            ("default", param.default),
            ("low", param.low),
            ("high", param.high),
        ];
        match param.kind {
            Kind::Int => {
                one.set_item("kind", "int")?;
                for (key, value) in values {
                    one.set_item(key, value as i64)?;
                }
            }
            Kind::Float => {
                one.set_item("kind", "float")?;
                for (key, value) in values {
                    one.set_item(key, value)?;
                }
            }
        }
        params.append(one)?;
    }
    dict.set_item("params", params)?;
    let outputs = PyList::empty(py);
    for (at, output) in spec.outputs.iter().enumerate() {
        let one = PyDict::new(py);
        one.set_item("name", output.name)?;
        one.set_item("draw", output.draw.name())?;
        one.set_item("pane", output.pane.name())?;
        one.set_item("first", instance.first(at))?;
        one.set_item("shift", instance.shift(at))?;
        outputs.append(one)?;
    }
    dict.set_item("outputs", outputs)?;
    memory(&dict, instance)?;
    Ok(dict)
}

/// A whole series: one float64 array for each output. `columns` has those that the indicator uses (`start` int64,
/// the rest float64), which nobody may write meanwhile: the interpreter's lock is released.
#[pyfunction]
#[pyo3(signature = (name, columns, params = None))]
pub fn indicator<'py>(
    py: Python<'py>,
    name: &str,
    columns: &Bound<'py, PyDict>,
    params: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    batch(py, &mut made(name, params)?, columns)
}

/// One indicator with its parameters and all it has seen.
#[pyclass]
pub struct Indicator {
    instance: Instance,
    out: Vec<f64>,
}

#[pymethods]
impl Indicator {
    #[new]
    #[pyo3(signature = (name, params = None))]
    fn new(name: &str, params: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let instance = made(name, params)?;
        Ok(Self {
            out: vec![f64::NAN; instance.spec.outputs.len()],
            instance,
        })
    }

    /// What `indicators` says of one, for these parameters.
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        described(py, &self.instance)
    }

    /// Takes one bar; the value of each output, NaN until there is one.
    #[allow(clippy::too_many_arguments)] // one for each field of a bar
    fn update<'py>(
        &mut self,
        py: Python<'py>,
        start: i64,
        open: f64,
        high: f64,
        low: f64,
        close: f64,
        volume: f64,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let bar = Bar {
            start_ns: start,
            open,
            high,
            low,
            close,
            volume,
        };
        self.instance.update(&bar, &mut self.out);
        PyTuple::new(py, &self.out)
    }

    /// Takes a series, as if `update` were called for each bar of it.
    fn extend<'py>(&mut self, py: Python<'py>, columns: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        batch(py, &mut self.instance, columns)
    }
}
