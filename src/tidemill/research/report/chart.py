"""What the script of a report draws, as plain data: few enough points that the file stays small."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.research import drawdown, returns, stat
from tidemill.research.returns import Floats
from tidemill.research.thin import thinned

POINTS: Final = 1_500
MARKS: Final = 400
_BINS: Final = 21


def of(tables: Mapping[str, pa.Table], per_year: int, benchmark: str) -> dict[str, Any]:
    """Specifications by the id of the element that shows them."""
    ends, equity, kept = (tables["days"][name].to_numpy() for name in ("end", "equity", "benchmark"))
    ours = returns.of_equity(equity) if len(equity) else np.empty(0)
    fallen = drawdown.curve(ours)
    at = thinned(equity, POINTS)
    found: dict[str, Any] = {
        "equity": {
            "xs": _ms(ends[at]),
            "format": "money",
            "series": [
                {"label": "buy and hold", "look": "bench", "values": _list(kept[at], 2)},
                {"label": "strategy", "look": "", "values": _list(equity[at], 2), "fill": True},
            ],
            "x": False,
        },
        "underwater": {
            "xs": _ms(ends[at]),
            "format": "percent",
            "zero": True,
            "series": [{"label": "drawdown", "look": "down", "values": _list(fallen[at], 5), "fill": True}],
        },
    }
    found |= _rolling(ours, ends, per_year)
    found |= _price(tables, benchmark)
    closed = tables["trades"]["return"].to_numpy()[np.asarray(tables["trades"]["closed"].is_valid())]
    if len(closed):
        edges = _edges(closed)
        counts, _ = np.histogram(closed, edges)
        found["results"] = {"edges": _list(edges, 5), "counts": counts.tolist()}
    return found


def window(periods: int, per_year: int) -> int:
    """Of rolling numbers: a quarter of a year, of short runs a quarter of them; 0 where that says nothing."""
    found = min(per_year // 4, periods // 4)
    return found if found >= 15 else 0


def _rolling(ours: Floats, ends: npt.NDArray[np.int64], per_year: int) -> dict[str, Any]:
    length = window(len(ours), per_year)
    if not length:
        return {}
    at = np.arange(length - 1, len(ours))
    at = at[thinned(at.astype(np.float64), POINTS // 2)]
    parts = [ours[end + 1 - length : end + 1] for end in at.tolist()]
    xs = _ms(ends[1:][at])
    sharpe = [stat.sharpe(part, per_year) for part in parts]
    spread = [stat.volatility(part, per_year) for part in parts]
    return {
        "rolling_sharpe": {
            "xs": xs, "format": "number", "zero": True,
            "series": [{"label": "Sharpe ratio", "look": "", "values": _rounded(sharpe, 3)}],
        },
        "rolling_volatility": {
            "xs": xs, "format": "percent",
            "series": [{"label": "volatility", "look": "ma1", "values": _rounded(spread, 5)}],
        },
    }  # fmt: skip


def _price(tables: Mapping[str, pa.Table], name: str) -> dict[str, Any]:
    """The first instrument's closes, with what was bought and sold of it."""
    prices = tables["prices"]
    mine = prices.filter(pa.compute.equal(prices["instrument"], name))
    if not len(mine):
        return {}
    fills = tables["fills"]
    done = fills.filter(pa.compute.equal(fills["instrument"], name))
    at = done["ts"].to_numpy() // 1_000_000
    price = np.asarray(done["price"].cast(pa.float64()).to_numpy())
    sign = np.where(np.asarray(done["side"]) == "buy", 1, -1) if len(done) else np.empty(0, np.int64)
    kept = np.linspace(0, len(done) - 1, min(len(done), MARKS)).astype(np.int64)
    return {
        "price": {
            "xs": _ms(mine["ts"].to_numpy()),
            "format": "price",
            "moments": True,
            "series": [{"label": name, "look": "plain", "values": mine["close"].to_pylist()}],
            "marks": [[int(at[i]), float(price[i]), int(sign[i])] for i in kept.tolist()],
        }
    }


def _edges(values: Floats) -> Floats:
    """Of a histogram: equal steps, one of which ends at 0; the furthest twentieth shares the outer ones."""
    low, high = np.quantile(values, [0.01, 0.99])
    reach = max(float(high) - min(float(low), 0.0), max(float(high), 0.0) - float(low), 1e-6)
    step = reach / (_BINS - 2)
    below = int(np.ceil(max(-float(values.min()), 0.0) / step))
    above = int(np.ceil(max(float(values.max()), 0.0) / step))
    below, above = min(below, _BINS), min(max(above, 1), _BINS)
    inner = np.arange(-below, above + 1) * step
    inner[0], inner[-1] = min(inner[0], float(values.min())), max(inner[-1], float(values.max()))
    return np.asarray(inner)


def _ms(ns: npt.NDArray[np.int64]) -> list[int]:
    found: list[int] = (ns // 1_000_000).tolist()
    return found


def _list(values: Floats, digits: int) -> list[float | None]:
    return _rounded(values.tolist(), digits)


def _rounded(values: list[float] | list[float | None], digits: int) -> list[float | None]:
    return [None if v is None or not isfinite(v) else round(v, digits) for v in values]
