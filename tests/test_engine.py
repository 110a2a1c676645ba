"""The engine of backtests through its binding; its rules and laws are tested in crates/kernels/tests."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill._native import Engine

MINUTE = 60_000_000_000
STOCK = {"name": "A", "price_scale": 2, "size_scale": 0, "tick": 1, "lot": 1, "shorts": True}
COSTS = {"taker": "0.001", "maker": "0.0002", "spread_bps": "2", "slippage_bps": "1", "slippage_ticks": 1}

Columns = tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.uint32],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
]


def walk(rows: int, seed: int = 1, instruments: int = 1) -> Columns:
    dice = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(dice.integers(-20, 21, (rows, instruments)), axis=0)
    close = np.maximum(close, 100)
    open_ = np.vstack([close[:1], close[:-1]])
    high = np.maximum(open_, close) + dice.integers(0, 15, close.shape)
    low = np.minimum(open_, close) - dice.integers(0, 15, close.shape)
    end = np.repeat((np.arange(rows, dtype=np.int64) + 1) * MINUTE, instruments)
    number = np.tile(np.arange(instruments, dtype=np.uint32), rows)
    prices = [np.ascontiguousarray(column.ravel(), np.int64) for column in (open_, high, low, close)]
    return end, number, prices[0], prices[1], prices[2], prices[3]


def shares(rows: int, seed: int = 2) -> npt.NDArray[np.float64]:
    dice = np.random.default_rng(seed)
    return np.where(dice.random(rows) < 0.2, dice.integers(-2, 3, rows) / 4, np.nan)


def everything(engine: Engine) -> str:
    """All results as text, to be compared."""
    columns = [engine.fills(), engine.orders(), engine.positions(), engine.payments()]
    listed = [{name: list(values) for name, values in one.items()} for one in columns]
    return repr(
        (listed, engine.equity_curve().tobytes(), engine.cash(), engine.equity(), engine.open_orders())
    )


def test_a_round_trip_has_the_columns_and_figures_that_were_worked_out_by_hand() -> None:
    prices = {"open": [100_00, 101_00, 103_00], "high": [100_00, 102_50, 103_00]}
    prices |= {"low": [100_00, 100_50, 103_00], "close": [100_00, 102_00, 103_00]}
    costs = {"taker": "0.001", "spread_bps": "10", "slippage_ticks": 1}
    engine = Engine("1000", [STOCK], costs)
    engine.run(
        np.array([1, 2, 3], np.int64) * MINUTE,
        np.zeros(3, np.uint32),
        *(np.array(column, np.int64) for column in prices.values()),
        np.array([1.0, 0.0, np.nan]),
    )
    fills = engine.fills()
    assert {name: values.tolist() for name, values in fills.items()} == {
        "ts": [2 * MINUTE, 3 * MINUTE],
        "instrument": [0, 0],
        "order": [0, 1],
        "side": [1, -1],
        "price": [101_07, 102_93],
        "size": [10, 10],
        "fee": [1_010_700_000, 1_029_300_000],
        "maker": [False, False],
    }
    assert {name: values.dtype.name for name, values in fills.items()} == {
        "ts": "int64",
        "instrument": "uint32",
        "order": "uint32",
        "side": "int8",
        "price": "int64",
        "size": "int64",
        "fee": "int64",
        "maker": "bool",
    }
    assert (engine.cash(), engine.equity(), engine.equity_float()) == ("1016.56", "1016.56", 1016.56)
    assert engine.equity_curve().tolist() == [1000.0, 1008.2893, 1016.56]
    assert engine.orders()["state"] == ["filled", "filled"]
    assert engine.order(1) == {name: list(values)[1] for name, values in engine.orders().items()}
    positions = {name: values.tolist() for name, values in engine.positions().items()}
    assert positions == {
        "instrument": [0],
        "side": [1],
        "opened": [2 * MINUTE],
        "closed": [3 * MINUTE],
        "size": [10],
        "entry": [101.07],
        "exit": [102.93],
        "fees": [2_040_000_000],
        "funding": [0],
        "net": [16.56],
        "fills": [2],
    }


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 60), instruments=st.integers(1, 3))
def test_a_series_at_once_and_row_by_row_are_the_same(seed: int, rows: int, instruments: int) -> None:
    columns, target = walk(rows, seed, instruments), shares(rows * instruments, seed)
    due = columns[0][::3].copy(), columns[1][::3].copy(), np.full(len(columns[0][::3]), 0.0001)
    named = [STOCK | {"name": f"I{number}"} for number in range(instruments)]
    whole, steps = Engine("100000", named, COSTS), Engine("100000", named, COSTS)
    whole.run(*columns, target, due)
    for ts, number, rate in zip(*(column.tolist() for column in due), strict=True):
        steps.fund(ts, number, rate)
    fills = 0
    for row, share in zip(zip(*(column.tolist() for column in columns), strict=True), target, strict=True):
        fills += len(steps.step(*row))
        steps.target(row[1], share)
    assert fills == len(whole.fills()["ts"])
    assert everything(whole) == everything(steps)
    # Cash is what the fills, fees and payments say, to the last digit.
    made, paid = whole.fills(), whole.payments()
    columns_of = (made[name].tolist() for name in ("side", "price", "size", "fee"))
    spent = sum(
        (Decimal(side * price * size) / 100 + Decimal(fee) / 10**9)
        for side, price, size, fee in zip(*columns_of, strict=True)
    )
    assert Decimal(whole.cash()) == 100_000 - spent - Decimal(int(paid["amount"].sum())) / 10**9


def test_orders_of_each_kind_row_by_row() -> None:
    engine = Engine("100000", [STOCK], {})
    assert engine.step(MINUTE, 0, 100_00, 100_00, 100_00, 100_00) == ()
    assert engine.submit(0, "buy", 10) == 0
    target = engine.submit(0, -1, 10, "limit", limit=105_00, reduce_only=True)
    exit_ = engine.submit(0, "sell", 10, "stop", stop=95_00, reduce_only=True)
    entry = engine.submit(0, 1, 5, "stop_limit", limit=103_00, stop=102_00, time_in_force="day")
    assert engine.open_orders() == [0, target, exit_, entry]
    first, second = engine.step(2 * MINUTE, 0, 101_00, 102_00, 99_00, 102_00)
    assert (first.ts, first.order, first.side, first.price, first.size) == (2 * MINUTE, 0, 1, 101_00, 10)
    assert (second.order, second.price, second.maker) == (entry, 102_00, False)
    assert repr(second).startswith("Fill(ts=120000000000, instrument=0, order=3, side=1, price=10200, size=5")
    (third,) = engine.step(3 * MINUTE, 0, 94_00, 96_00, 93_00, 95_00)
    assert (third.order, third.price) == (exit_, 94_00)
    assert engine.position(0) == 5
    assert engine.order(target)["state"] == "open"
    assert engine.cancel(target)
    assert not engine.cancel(target)
    assert engine.order(target)["reason"] == "asked"
    refused = engine.submit(0, "buy", 10_000)
    assert (engine.order(refused)["state"], engine.order(refused)["reason"]) == ("refused", "leverage")


def _wrong(name: str, value: Any) -> dict[str, Any]:
    end, instrument, open_, high, low, close = walk(4)
    given = {"end": end, "instrument": instrument, "open": open_, "high": high, "low": low, "close": close}
    given["target"] = np.full(4, np.nan)
    return given | {name: value}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "close",
            np.ones(4),
            "close must be a contiguous array of int64, got items of 8 bytes in format 'd'",
        ),
        ("target", np.ones(4, np.int64), "target must be a contiguous array of float64"),
        ("instrument", np.zeros(4, np.int64), "instrument must be a contiguous array of uint32"),
        (
            "open",
            np.ones(8, np.int64)[::2],
            "open must be a contiguous array of int64, got one with gaps between its items",
        ),
        (
            "open",
            np.ones((4, 1), np.int64),
            "open must be a contiguous array of int64, got one of 2 dimensions",
        ),
        ("open", [1, 2, 3, 4], "open must be a contiguous array of int64, got <class 'list'>"),
        ("high", np.ones(3, np.int64), "high has 3 rows, but end has 4"),
        ("end", np.array([1, 2, 2, 1], np.int64), "row 3 ends at 1, before the one ahead of it at 2"),
        ("instrument", np.array([0, 0, 1, 0], np.uint32), "row 2 is of instrument 1, but there are 1"),
        ("high", np.ones(4, np.int64), "row 0 has a low of"),
        ("low", np.array([100, 100, 0, 100], np.int64), "row 2 has a price of 0"),
        ("close", np.full(4, 99_999), "row 0 opens at"),
        ("target", np.array([np.nan, np.inf, 0, 0]), "row 1 wants inf of the equity in A, but leverage is 1"),
        ("target", np.array([0, 0, 0, -1.5]), "row 3 wants -1.5"),
    ],
)
def test_arrays_that_cannot_be_rows_are_refused_and_nothing_is_taken(
    name: str, value: Any, words: str
) -> None:
    engine = Engine("1000", [STOCK])
    with pytest.raises(ValueError, match="^" + words.replace("[", r"\[")) as refused:
        engine.run(**_wrong(name, value))
    assert len(str(refused.value)) < 200
    assert len(engine.equity_curve()) == 0
    engine.run(*walk(4), np.full(4, np.nan))
    assert engine.equity_curve().tolist() == [1000.0] * 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cash": "1e6"}, "cash is a decimal number"),
        ({"instruments": []}, "needs one instrument"),
        ({"instruments": [STOCK | {"price_scale": 12, "size_scale": 8}]}, "20 together"),
        ({"instruments": [STOCK | {"ticks": 1}]}, "an instrument has no 'ticks'; have: name, price_scale"),
        ({"instruments": [{"name": "A"}]}, "an instrument needs 'price_scale'"),
        ({"costs": {"fee": "0.1"}}, "costs has no 'fee'; have: taker, maker"),
        ({"costs": {"taker": "10%"}}, "taker is a decimal number"),
        ({"costs": {"taker": 0.1}}, "taker of costs is text"),
        ({"costs": {"limit_fill": "never"}}, "limit_fill is touch or through"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Engine(**({"cash": "1000", "instruments": [STOCK]} | given))


def test_calls_that_cannot_be_meant_are_refused() -> None:
    engine = Engine("1000", [STOCK | {"shorts": False}])
    engine.step(MINUTE, 0, 100, 100, 100, 100)
    for call, words in [
        (lambda: engine.step(0, 0, 100, 100, 100, 100), "row 1 ends at 0, before"),
        (lambda: engine.step(MINUTE, 0, 100, 90, 100, 100), "low of 100 above its high of 90"),
        (lambda: engine.target(0, -0.5), "cannot be sold short"),
        (lambda: engine.target(1, 0.5), "there is no instrument 1"),
        (lambda: engine.submit(0, 0, 1), "a side is 1 or 'buy'"),  # type: ignore[arg-type]
        (lambda: engine.submit(0, 1, 1, "iceberg"), "an order is market, limit"),  # type: ignore[arg-type]
        (lambda: engine.submit(0, 1, 1, "limit"), "a limit order needs a limit price"),
        (lambda: engine.submit(0, 1, 1, stop=5), "a market order has no stop price"),
        (lambda: engine.submit(0, 1, -1), "the size of an order is above 0"),
        (lambda: engine.position(7), "there is no instrument 7"),
        (lambda: engine.order(0), "there is no order 0"),
        (lambda: engine.fund(0, 0, 0.1), "funding 0 is due at 0, before"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    assert everything(engine) == everything(_stepped(Engine("1000", [STOCK | {"shorts": False}])))


def _stepped(engine: Engine) -> Engine:
    engine.step(MINUTE, 0, 100, 100, 100, 100)
    return engine


def test_an_amount_beyond_128_bits_is_an_error() -> None:
    engine = Engine("1000", [STOCK | {"price_scale": 0}], {"leverage": "1000"})
    most = 2**63 - 1
    engine.step(MINUTE, 0, most, most, most, most)
    with pytest.raises(OverflowError, match="does not fit 128 bits"):
        engine.submit(0, 1, most)


def test_a_series_runs_without_the_interpreters_lock() -> None:
    rows = 300_000
    columns, target = walk(rows), shares(rows)
    engine = Engine("100000", [STOCK], {})
    done = threading.Event()

    def run() -> None:
        for _ in range(20):
            Engine("100000", [STOCK], {}).run(*columns, target)
        engine.run(*columns, target)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    turns = 0
    while not done.wait(0.001):
        turns += 1
    thread.join()
    assert len(engine.equity_curve()) == rows
    assert turns > 20
