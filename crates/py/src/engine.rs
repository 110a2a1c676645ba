//! The engine of backtests for Python: arrays in place, columns out.

use kernels::engine::{
    self as kernel, CostText, Fault, Funding, Instrument, Kind, Order, Request, Row, Rows, Side, TimeInForce,
    money,
};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::array::{Array, column, flags};

fn refused(fault: Fault) -> PyErr {
    match fault {
        Fault::Refused(why) => PyValueError::new_err(why),
        Fault::Overflow(_) => PyOverflowError::new_err(fault.to_string()),
    }
}

/// Refuses keys that nobody reads: a setting with a slip in its name would be one that is not set.
fn known(what: &str, dict: &Bound<'_, PyDict>, keys: &[&str]) -> PyResult<()> {
    for key in dict.keys() {
        let key: String = key.extract()?;
        if !keys.contains(&key.as_str()) {
            return Err(PyValueError::new_err(format!(
                "{what} has no '{key}'; have: {}",
                keys.join(", ")
            )));
        }
    }
    Ok(())
}

fn instrument(dict: &Bound<'_, PyDict>) -> PyResult<Instrument> {
    known(
        "an instrument",
        dict,
        &["name", "price_scale", "size_scale", "tick", "lot", "shorts"],
    )?;
    let need = |key: &str| {
        let value = dict.get_item(key)?;
        value.ok_or_else(|| PyValueError::new_err(format!("an instrument needs '{key}'")))
    };
    let shorts = match dict.get_item("shorts")? {
        Some(shorts) => shorts.extract()?,
        None => false,
    };
    let name: String = need("name")?.extract()?;
    let (price_scale, size_scale) = (need("price_scale")?.extract()?, need("size_scale")?.extract()?);
    let (tick, lot) = (need("tick")?.extract()?, need("lot")?.extract()?);
    Instrument::new(&name, price_scale, size_scale, tick, lot, shorts).map_err(refused)
}

fn cost(dict: Option<&Bound<'_, PyDict>>) -> PyResult<kernel::Cost> {
    const TEXTS: [&str; 7] = [
        "taker",
        "maker",
        "spread_bps",
        "slippage_bps",
        "leverage",
        "limit_fill",
        "gap_fill",
    ];
    let Some(dict) = dict else {
        return CostText::default().read().map_err(refused);
    };
    known("costs", dict, &[&TEXTS[..], &["slippage_ticks"]].concat())?;
    let mut texts: [Option<String>; 7] = Default::default();
    for (text, key) in texts.iter_mut().zip(TEXTS) {
        if let Some(value) = dict.get_item(key)? {
            *text =
                Some(value.extract().map_err(|_| {
                    PyValueError::new_err(format!("{key} of costs is text, such as '0.001'"))
                })?);
        }
    }
    let plain = CostText::default();
    let [
        taker,
        maker,
        spread_bps,
        slippage_bps,
        leverage,
        limit_fill,
        gap_fill,
    ] = &texts;
    CostText {
        taker: taker.as_deref().unwrap_or(plain.taker),
        maker: maker.as_deref().unwrap_or(plain.maker),
        spread_bps: spread_bps.as_deref().unwrap_or(plain.spread_bps),
        slippage_bps: slippage_bps.as_deref().unwrap_or(plain.slippage_bps),
        slippage_ticks: match dict.get_item("slippage_ticks")? {
            Some(ticks) => ticks.extract()?,
            None => 0,
        },
        leverage: leverage.as_deref().unwrap_or(plain.leverage),
        limit_fill: limit_fill.as_deref().unwrap_or(plain.limit_fill),
        gap_fill: gap_fill.as_deref().unwrap_or(plain.gap_fill),
    }
    .read()
    .map_err(refused)
}

fn side(given: &Bound<'_, PyAny>) -> PyResult<Side> {
    let named = match given.extract::<i64>() {
        Ok(1) => Some(Side::Buy),
        Ok(-1) => Some(Side::Sell),
        Ok(_) => None,
        Err(_) => given.extract::<String>().ok().and_then(|name| Side::named(&name)),
    };
    named.ok_or_else(|| PyValueError::new_err("a side is 1 or 'buy', or -1 or 'sell'"))
}

/// One fill.
#[pyclass(frozen, get_all)]
pub struct Fill {
    ts: i64,
    instrument: u32,
    order: u32,
    side: i64,
    price: i64,
    size: i64,
    fee: i64,
    maker: bool,
}

#[pymethods]
impl Fill {
    fn __repr__(&self) -> String {
        let Self {
            ts,
            instrument,
            order,
            side,
            price,
            size,
            fee,
            maker,
        } = self;
        format!(
            "Fill(ts={ts}, instrument={instrument}, order={order}, side={side}, price={price}, size={size}, \
             fee={fee}, maker={})",
            if *maker { "True" } else { "False" }
        )
    }
}

impl From<&kernel::Fill> for Fill {
    fn from(fill: &kernel::Fill) -> Self {
        Self {
            ts: fill.ts,
            instrument: fill.instrument,
            order: fill.order,
            side: fill.side.sign(),
            price: fill.price,
            size: fill.size,
            fee: fill.fee,
            maker: fill.maker,
        }
    }
}

/// A backtest, event by event.
#[pyclass]
pub struct Engine {
    engine: kernel::Engine,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (cash, instruments, costs = None))]
    fn new(
        cash: &str,
        instruments: Vec<Bound<'_, PyDict>>,
        costs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let amount = money::parse(cash, money::DIGITS);
        let amount = amount.ok_or_else(|| {
            PyValueError::new_err(format!(
                "cash is a decimal number of at most 18 digits, not '{cash}'"
            ))
        })?;
        let instruments = instruments.iter().map(instrument).collect::<PyResult<Vec<_>>>()?;
        let engine = kernel::Engine::new(amount, instruments, cost(costs)?).map_err(refused)?;
        Ok(Self { engine })
    }

    /// Takes a series; the interpreter's lock is released meanwhile.
    #[pyo3(signature = (end, instrument, open, high, low, close, target, funding = None))]
    #[allow(clippy::too_many_arguments)] // one for each column
    fn run(
        &mut self,
        py: Python<'_>,
        end: &Bound<'_, PyAny>,
        instrument: &Bound<'_, PyAny>,
        open: &Bound<'_, PyAny>,
        high: &Bound<'_, PyAny>,
        low: &Bound<'_, PyAny>,
        close: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        funding: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    ) -> PyResult<()> {
        let (end, instrument) = (Array::of(end, "end")?, Array::of(instrument, "instrument")?);
        let (open, high) = (Array::of(open, "open")?, Array::of(high, "high")?);
        let (low, close) = (Array::of(low, "low")?, Array::of(close, "close")?);
        let target = Array::of(target, "target")?;
        let rows = Rows {
            end: end.slice(),
            instrument: instrument.slice(),
            open: open.slice(),
            high: high.slice(),
            low: low.slice(),
            close: close.slice(),
            target: target.slice(),
        };
        let funding = funding.map_or_else(
            || Ok(Vec::new()),
            |(ts, instrument, rate)| due(&ts, &instrument, &rate),
        )?;
        let engine = &mut self.engine;
        py.detach(|| {
            engine.fund(&funding)?;
            engine.run(&rows)
        })
        .map_err(refused)
    }

    /// Takes one row; its fills.
    #[allow(clippy::too_many_arguments)] // one for each field of a row
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        end: i64,
        instrument: u32,
        open: i64,
        high: i64,
        low: i64,
        close: i64,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let row = Row {
            end,
            instrument,
            open,
            high,
            low,
            close,
        };
        let fills = self.engine.step(&row).map_err(refused)?;
        if fills.is_empty() {
            return Ok(PyTuple::empty(py));
        }
        let fills = fills.iter().map(|fill| Bound::new(py, Fill::from(fill)));
        PyTuple::new(py, fills.collect::<PyResult<Vec<_>>>()?)
    }

    /// Sends an order; its number.
    #[pyo3(signature = (
        instrument, side, size, kind = "market", limit = None, stop = None, time_in_force = "gtc", reduce_only = false,
        after = i64::MIN
    ))]
    #[allow(clippy::too_many_arguments)] // one for each field of an order
    fn submit(
        &mut self,
        instrument: u32,
        side: &Bound<'_, PyAny>,
        size: i64,
        kind: &str,
        limit: Option<i64>,
        stop: Option<i64>,
        time_in_force: &str,
        reduce_only: bool,
        after: i64,
    ) -> PyResult<u32> {
        let request = Request {
            instrument,
            side: self::side(side)?,
            kind: Kind::named(kind).ok_or_else(|| {
                PyValueError::new_err(format!(
                    "an order is market, limit, stop or stop_limit, not '{kind}'"
                ))
            })?,
            size,
            limit: limit.unwrap_or(0),
            stop: stop.unwrap_or(0),
            time_in_force: TimeInForce::named(time_in_force).ok_or_else(|| {
                PyValueError::new_err(format!("time_in_force is gtc, ioc or day, not '{time_in_force}'"))
            })?,
            reduce_only,
        };
        self.engine.submit_after(request, after).map_err(refused)
    }

    /// Wants this share of the equity.
    #[pyo3(signature = (instrument, share, after = i64::MIN))]
    fn target(&mut self, instrument: u32, share: f64, after: i64) -> PyResult<()> {
        self.engine
            .target_after(instrument, share, after)
            .map_err(refused)
    }

    /// A payment that will fall due.
    fn fund(&mut self, ts: i64, instrument: u32, rate: f64) -> PyResult<()> {
        let due = Funding { ts, instrument, rate };
        self.engine.fund(&[due]).map_err(refused)
    }

    fn cancel(&mut self, order: u32) -> bool {
        self.engine.cancel(order)
    }

    fn position(&self, instrument: u32) -> PyResult<i64> {
        self.engine.position(instrument).map_err(refused)
    }

    fn equity(&self) -> PyResult<String> {
        self.engine.equity().map(money::text).map_err(refused)
    }

    fn equity_float(&self) -> f64 {
        self.engine.equity_float()
    }

    fn cash(&self) -> String {
        money::text(self.engine.cash())
    }

    fn open_orders(&self) -> Vec<u32> {
        self.engine.open_orders()
    }

    /// One order as a dict.
    fn order<'py>(&self, py: Python<'py>, order: u32) -> PyResult<Bound<'py, PyDict>> {
        let Some(order) = self.engine.orders().get(order as usize) else {
            return Err(PyValueError::new_err(format!(
                "there is no order {order}; there are {}, counted from 0",
                self.engine.orders().len()
            )));
        };
        let Order {
            request,
            ts,
            state,
            reason,
            done,
            filled,
            ..
        } = order;
        let dict = PyDict::new(py);
        dict.set_item("ts", ts)?;
        dict.set_item("instrument", request.instrument)?;
        dict.set_item("side", request.side.sign())?;
        dict.set_item("kind", request.kind.name())?;
        dict.set_item("size", request.size)?;
        dict.set_item("limit", request.limit)?;
        dict.set_item("stop", request.stop)?;
        dict.set_item("time_in_force", request.time_in_force.name())?;
        dict.set_item("reduce_only", request.reduce_only)?;
        dict.set_item("state", state.name())?;
        dict.set_item("reason", reason.name())?;
        dict.set_item("done", done)?;
        dict.set_item("filled", filled)?;
        Ok(dict)
    }

    /// All fills as columns.
    fn fills<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fills = self.engine.fills();
        let dict = PyDict::new(py);
        dict.set_item("ts", column(py, fills.iter().map(|one| one.ts))?)?;
        dict.set_item("instrument", column(py, fills.iter().map(|one| one.instrument))?)?;
        dict.set_item("order", column(py, fills.iter().map(|one| one.order))?)?;
        dict.set_item("side", column(py, fills.iter().map(|one| one.side.sign() as i8))?)?;
        dict.set_item("price", column(py, fills.iter().map(|one| one.price))?)?;
        dict.set_item("size", column(py, fills.iter().map(|one| one.size))?)?;
        dict.set_item("fee", column(py, fills.iter().map(|one| one.fee))?)?;
        dict.set_item("maker", flags(py, fills.iter().map(|one| one.maker))?)?;
        Ok(dict)
    }

    /// All orders as columns, by number.
    fn orders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let orders = self.engine.orders();
        let words = |of: fn(&Order) -> &'static str| {
            PyList::new(py, orders.iter().map(|one| PyString::intern(py, of(one))))
        };
        let dict = PyDict::new(py);
        dict.set_item("ts", column(py, orders.iter().map(|one| one.ts))?)?;
        dict.set_item(
            "instrument",
            column(py, orders.iter().map(|one| one.request.instrument))?,
        )?;
        dict.set_item(
            "side",
            column(py, orders.iter().map(|one| one.request.side.sign() as i8))?,
        )?;
        dict.set_item("kind", words(|one| one.request.kind.name())?)?;
        dict.set_item("size", column(py, orders.iter().map(|one| one.request.size))?)?;
        dict.set_item("limit", column(py, orders.iter().map(|one| one.request.limit))?)?;
        dict.set_item("stop", column(py, orders.iter().map(|one| one.request.stop))?)?;
        dict.set_item("time_in_force", words(|one| one.request.time_in_force.name())?)?;
        dict.set_item(
            "reduce_only",
            flags(py, orders.iter().map(|one| one.request.reduce_only))?,
        )?;
        dict.set_item("state", words(|one| one.state.name())?)?;
        dict.set_item("reason", words(|one| one.reason.name())?)?;
        dict.set_item("done", column(py, orders.iter().map(|one| one.done))?)?;
        dict.set_item("filled", column(py, orders.iter().map(|one| one.filled))?)?;
        Ok(dict)
    }

    /// Equity after each row.
    fn equity_curve<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, self.engine.equity_curve().iter().copied())
    }

    /// Positions from flat to flat as columns.
    fn positions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let trips = self.engine.trips();
        // Through the amount, so that a mean of one price is that price.
        let mean = |one: &kernel::Trip, amount: i128, size: i128| {
            let instrument = &self.engine.instruments()[one.instrument as usize];
            let whole = 10i128.pow(u32::from(instrument.size_scale));
            let price = (size != 0).then(|| money::part(amount, whole, size)).flatten();
            price.map_or(f64::NAN, money::float)
        };
        let dict = PyDict::new(py);
        dict.set_item("instrument", column(py, trips.iter().map(|one| one.instrument))?)?;
        dict.set_item("side", column(py, trips.iter().map(|one| one.side.sign() as i8))?)?;
        dict.set_item("opened", column(py, trips.iter().map(|one| one.opened))?)?;
        dict.set_item("closed", column(py, trips.iter().map(|one| one.closed))?)?;
        dict.set_item("size", column(py, trips.iter().map(|one| one.size))?)?;
        dict.set_item(
            "entry",
            column(py, trips.iter().map(|one| mean(one, one.entry, one.entered)))?,
        )?;
        dict.set_item(
            "exit",
            column(py, trips.iter().map(|one| mean(one, one.exit, one.left)))?,
        )?;
        dict.set_item("fees", column(py, trips.iter().map(|one| one.fees as i64))?)?;
        dict.set_item("funding", column(py, trips.iter().map(|one| one.funding as i64))?)?;
        dict.set_item(
            "net",
            column(py, trips.iter().map(|one| money::float(one.net())))?,
        )?;
        dict.set_item("fills", column(py, trips.iter().map(|one| one.fills))?)?;
        Ok(dict)
    }

    /// What positions paid as columns.
    fn payments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let payments = self.engine.payments();
        let dict = PyDict::new(py);
        dict.set_item("ts", column(py, payments.iter().map(|one| one.ts))?)?;
        dict.set_item(
            "instrument",
            column(py, payments.iter().map(|one| one.instrument))?,
        )?;
        dict.set_item("amount", column(py, payments.iter().map(|one| one.amount))?)?;
        Ok(dict)
    }
}

fn due(
    ts: &Bound<'_, PyAny>,
    instrument: &Bound<'_, PyAny>,
    rate: &Bound<'_, PyAny>,
) -> PyResult<Vec<Funding>> {
    let (ts, instrument) = (
        Array::<i64>::of(ts, "ts of funding")?,
        Array::<u32>::of(instrument, "instrument of funding")?,
    );
    let rate = Array::<f64>::of(rate, "rate of funding")?;
    let (ts, instrument, rate) = (ts.slice(), instrument.slice(), rate.slice());
    if ts.len() != instrument.len() || ts.len() != rate.len() {
        return Err(PyValueError::new_err(format!(
            "funding has {} times, {} instruments and {} rates",
            ts.len(),
            instrument.len(),
            rate.len()
        )));
    }
    let all = ts.iter().zip(instrument).zip(rate);
    Ok(all
        .map(|((&ts, &instrument), &rate)| Funding { ts, instrument, rate })
        .collect())
}
