"""What `tidemill bench engine` measures: crossing averages through our event engine and NautilusTrader's."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill import _native, indicator
from tidemill.cli.bench_research import compared

FAST, SLOW = 20, 50
MINUTE_NS = 60_000_000_000
Ints = npt.NDArray[np.int64]


def bars(rows: int) -> dict[str, Ints]:
    """One-minute bars in cents of a market that wanders."""
    dice = np.random.default_rng(1)
    close = np.maximum(100_000 + np.cumsum(dice.integers(-20, 21, rows)), 1_000)
    opened = np.concatenate([close[:1], close[:-1]])
    return {
        "end": (np.arange(rows, dtype=np.int64) + 1) * MINUTE_NS, "open": opened, "close": close,
        "high": np.maximum(opened, close) + dice.integers(0, 15, rows),
        "low": np.minimum(opened, close) - dice.integers(0, 15, rows),
    }  # fmt: skip


def targets(columns: dict[str, Ints]) -> npt.NDArray[np.float64]:
    """Half of equity while the fast average is above the slow one."""
    close = {"close": columns["close"].astype(np.float64)}
    fast, slow = (indicator.compute("sma", close, period=n)["sma"] for n in (FAST, SLOW))
    return np.where(np.isnan(slow), np.nan, np.where(fast > slow, 0.5, 0.0))


def measured(rows: int, peer_rows: int, rounds: int) -> dict[str, Any]:
    """Medians of processor time, ns a bar, signals included; ours over all rows, others over the first of
    them."""
    columns = bars(rows)
    part = {name: values[:peer_rows] for name, values in columns.items()}
    spent: dict[str, list[float]] = {"tidemill": [], "tidemill, bar by bar": []}
    fills, absent = {}, {}
    for _ in range(rounds):
        began = time.process_time()
        found = _whole(columns)
        spent["tidemill"].append((time.process_time() - began) / rows * 1e9)
        fills["tidemill"] = len(found.fills()["ts"])
        began = time.process_time()
        _stepped(part)
        spent["tidemill, bar by bar"].append((time.process_time() - began) / peer_rows * 1e9)
    # In a process of its own: NautilusTrader needs pandas, which is kept out of this one.
    code = f"from tidemill.cli import bench_engine; bench_engine.say_nautilus({peer_rows})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        told = json.loads(done.stdout.splitlines()[-1])
        spent["nautilus_trader"], fills["nautilus_trader"] = told["spent"], told["fills"]
    else:
        absent["nautilus_trader"] = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    rate = {name: round(1e9 / statistics.median(some)) for name, some in spent.items()}
    return {"cross": compared(spent), "bars_per_s": rate, "fills": fills, "absent": absent}


def say_nautilus(rows: int) -> None:
    """Prints what NautilusTrader takes for so many bars, ns a bar, three times, and what it filled."""
    some = [_nautilus(bars(rows)) for _ in range(3)]
    print(json.dumps({"spent": [spent / rows * 1e9 for spent, _ in some], "fills": some[0][1]}))


def _engine() -> _native.Engine:
    terms = {"name": "A", "price_scale": 2, "size_scale": 8, "tick": 1, "lot": 1, "shorts": False}
    return _native.Engine("1000000", [terms], {"taker": "0.0005"})


def _whole(columns: dict[str, Ints]) -> _native.Engine:
    engine = _engine()
    end, opened, high, low, close = (columns[name] for name in ("end", "open", "high", "low", "close"))
    engine.run(end, np.zeros(len(end), np.uint32), opened, high, low, close, targets(columns))
    return engine


def _stepped(columns: dict[str, Ints]) -> None:
    engine = _engine()
    rows = zip(*(columns[name].tolist() for name in ("end", "open", "high", "low", "close")), strict=True)
    for (end, *prices), share in zip(rows, targets(columns).tolist(), strict=True):
        engine.step(end, 0, *prices)
        engine.target(0, share)


def _nautilus(columns: dict[str, Ints]) -> tuple[float, int]:
    """Seconds of its run alone, without what it takes to make its bars, and orders that were filled."""
    base = "nautilus_trader."
    model: Any = import_module(base + "model")
    currencies: Any = import_module(base + "model.currencies")
    data: Any = import_module(base + "model.data")
    enums: Any = import_module(base + "model.enums")
    kit: Any = import_module(base + "test_kit.providers")
    bt: Any = import_module(base + "backtest.engine")
    config: Any = import_module(base + "config")
    trading: Any = import_module(base + "trading.strategy")

    class Cross(trading.Strategy):  # type: ignore[misc]
        def __init__(self, instrument: Any, kind: Any) -> None:
            super().__init__()
            self.instrument, self.kind = instrument, kind
            self.closes: list[float] = []
            self.fast = self.slow = 0.0
            self.long = False

        def on_start(self) -> None:
            self.subscribe_bars(self.kind)

        def on_bar(self, bar: Any) -> None:
            closes = self.closes
            closes.append(float(bar.close))
            self.fast += closes[-1] - (closes[-FAST - 1] if len(closes) > FAST else 0.0)
            self.slow += closes[-1] - (closes[-SLOW - 1] if len(closes) > SLOW else 0.0)
            above = len(closes) >= SLOW and self.fast / FAST > self.slow / SLOW
            if above != self.long:
                self.long = above
                side = enums.OrderSide.BUY if above else enums.OrderSide.SELL
                size = self.instrument.make_qty(Decimal(1))
                self.submit_order(self.order_factory.market(self.instrument.id, side, size))

    instrument = kit.TestInstrumentProvider.btcusdt_binance()
    kind = data.BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    engine = bt.BacktestEngine(
        bt.BacktestEngineConfig(
            logging=config.LoggingConfig(bypass_logging=True),
            risk_engine=config.RiskEngineConfig(bypass=True),
        )
    )
    engine.add_venue(
        instrument.id.venue,
        oms_type=enums.OmsType.NETTING,
        account_type=enums.AccountType.CASH,
        base_currency=None,
        starting_balances=[
            model.Money(100_000_000, currencies.USDT),
            model.Money(1_000, currencies.BTC),
        ],
    )
    engine.add_instrument(instrument)
    size = instrument.make_qty(Decimal(1_000))
    price = instrument.make_price
    rows = zip(*(columns[name].tolist() for name in ("end", "open", "high", "low", "close")), strict=True)
    engine.add_data(
        [data.Bar(kind, *(price(one / 100) for one in prices), size, end, end) for end, *prices in rows]
    )
    engine.add_strategy(Cross(instrument, kind))
    began = time.process_time()
    engine.run()
    took = time.process_time() - began
    orders = sum(order.is_closed for order in engine.cache.orders())
    engine.dispose()
    return took, orders
