"""A history and an outcome made by hand, by the simplest of engines: market orders at the next open."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.model.order import Fill
from tidemill.research import trade
from tidemill.research.history import History, Terms, Track
from tidemill.research.run import EQUITY, FILLS, ORDERS, Outcome, Settings

HOUR = 3_600_000_000_000
START = 1_704_067_200_000_000_000
"""2024-01-01T00:00:00Z."""
NAME = "BTC-USD.sim-kraken"


def track(
    count: int, *, name: str = NAME, start: int = START, step: int = HOUR, seed: int = 7, drift: float = 2e-4
) -> Track:
    """A random walk, priced in cents."""
    dice = np.random.default_rng(seed)
    close = np.round(50_000 * np.cumprod(1 + dice.normal(drift, 0.006, count)), 2)
    opened = np.concatenate([[50_000.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + dice.uniform(0, 0.002, count)), 2)
    low = np.round(np.minimum(opened, close) * (1 - dice.uniform(0, 0.002, count)), 2)
    starts = start + np.arange(count, dtype=np.int64) * step

    def exact(values: Any) -> Any:
        return np.round(values * 100).astype(np.int64)

    return Track(
        Terms(name, 2, 8), starts, starts + step, starts + step,
        exact(opened), exact(high), exact(low), exact(close), dice.uniform(1, 9, count),
    )  # fmt: skip


def history(count: int = 24 * 90, **rest: Any) -> History:
    one = track(count, **rest)
    return History("1h", {one.terms.name: one})


def crossing(found: History, fast: int = 12, slow: int = 72) -> np.ndarray[Any, Any]:
    """1 while the mean of the last `fast` closes is above that of the last `slow`."""
    close = next(iter(found.tracks.values())).series.columns["close"]

    def mean(length: int) -> Any:
        sums = np.cumsum(np.concatenate([[0.0], close]))
        out = np.full(len(close), np.nan)
        out[length - 1 :] = (sums[length:] - sums[:-length]) / length
        return out

    return np.where(mean(fast) > mean(slow), 1.0, 0.0)


def outcome(found: History, settings: Settings, target: np.ndarray[Any, Any] | None = None) -> Outcome:
    """What comes of holding these shares of equity in the first instrument."""
    (name, one), *_ = found.tracks.items()
    wanted = crossing(found) if target is None else target
    costs = settings.costs
    worse = (float(costs.spread_bps) / 2 + float(costs.slippage_bps)) / 1e4
    columns = one.series.columns
    cash, held, share = Decimal(settings.cash), Decimal(0), 0.0
    fills: list[Fill] = []
    rows: dict[str, list[float]] = {"equity": [], "gross": [], "net": []}
    orders = []
    due: Decimal | None = None
    for at in range(len(one)):
        if due:
            sign = 1 if due > 0 else -1
            price = round(Decimal(columns["open"][at] * (1 + sign * worse)), 2)
            fee = abs(due) * price * Decimal(costs.taker)
            side = "buy" if sign > 0 else "sell"
            fills.append(Fill(int(one.start[at]), name, len(orders), side, price, abs(due), fee, False))
            cash -= due * price + fee
            held += due
            due = None
        close = Decimal(repr(float(columns["close"][at])))
        equity = cash + held * close
        rows["equity"].append(float(equity))
        rows["gross"].append(float(abs(held * close)))
        rows["net"].append(float(held * close))
        if wanted[at] != share and not np.isnan(wanted[at]) and at + 1 < len(one):
            share = float(wanted[at])
            due = round(equity * Decimal(share) / close * Decimal("0.99"), 6) - held
            orders.append(_order(len(orders) + 1, int(one.end[at]), name, due))
    lines = [vars(fill) for fill in fills]
    return Outcome(
        orders=pa.Table.from_pylist(orders, schema=ORDERS),
        fills=pa.Table.from_pylist(lines, schema=FILLS),
        equity=pa.table({"ts": one.end, **rows}, schema=EQUITY),
        trades=trade.of(fills, found.tracks),
        cash=cash,
        positions={name: held} if held else {},
    )


def _order(number: int, ts: int, name: str, size: Decimal) -> Mapping[str, Any]:
    return {
        "order": number, "ts": ts, "instrument": name, "side": "buy" if size > 0 else "sell",
        "kind": "market", "size": abs(size), "limit": None, "stop": None, "state": "filled", "reason": None,
    }  # fmt: skip
