"""Rows of pages, put together: nothing twice, in order, and only what was asked.

Providers repeat rows where pages meet, send rows beyond what was asked and end pages early. All of that is
mended here, in one place; rows out of order are not, because then a page may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.errors import UpstreamError
from tidemill.providers import exact
from tidemill.providers.api import BarColumns, Chunk, Ints, TradeColumns


def bars(
    who: str,
    start: Ints,
    prices: Sequence[Sequence[Any]],
    volume: Sequence[Any],
    trades: Sequence[Any] | None,
    *,
    places: int | None = None,
) -> BarColumns:
    """Bars of columns as they came: `prices` are open, high, low and close. A bar that came twice counts
    once, as it came last. Raises `UpstreamError` for bars that do not ascend, or are none."""
    start, last = _unique_last(start)
    if len(start) > 1 and not (np.diff(start) > 0).all():
        raise disordered(who, "bars")
    pick = last.tolist()
    (opens, high, low, close), price_scale = exact.together(
        [[column[i] for i in pick] for column in prices], f"a price of {who}"
    )
    volumes, size_scale = exact.mantissas([volume[i] for i in pick], f"a volume of {who}", places)
    count = exact.counts([trades[i] for i in pick], f"a count of {who}") if trades else np.zeros_like(start)
    wrong = (low > np.minimum(opens, close)) | (high < np.maximum(opens, close)) | (volumes < 0) | (count < 0)
    if wrong.any():
        raise UpstreamError(
            "provider_answer",
            f"{who} sends a bar whose high, low or volume cannot be, at {int(start[wrong][0])} ns",
            retryable=False,
        )
    return BarColumns(start, opens, high, low, close, volumes, count, price_scale, size_scale)


def _unique_last(start: Ints) -> tuple[Ints, npt.NDArray[np.intp]]:
    """Each moment once, where it stood first, and the place where it stood last."""
    _, first = np.unique(start, return_index=True)
    _, from_end = np.unique(start[::-1], return_index=True)
    order = np.argsort(first, kind="stable")
    return start[np.sort(first)], (len(start) - 1 - from_end)[order]


def select_bars(columns: BarColumns, mask: npt.NDArray[np.bool_]) -> BarColumns:
    """The bars where `mask` is true."""
    fields = ("start", "open", "high", "low", "close", "volume", "trades")
    return replace(columns, **{name: getattr(columns, name)[mask] for name in fields})


def within(columns: BarColumns, start: int, end: int) -> BarColumns:
    """The bars that start in [start, end)."""
    return select_bars(columns, (columns.start >= start) & (columns.start < end))


def joined(who: str, parts: Sequence[BarColumns]) -> BarColumns:
    """Bars one part after the other, at the larger of their scales."""
    parts = [part for part in parts if len(part)] or list(parts[:1])
    price = max(part.price_scale for part in parts)
    size = max(part.size_scale for part in parts)

    def column(name: str, scale: int, field: str) -> Ints:
        what = f"a number of {who}"
        return np.concatenate(
            [exact.rescaled(getattr(p, name), getattr(p, field), scale, what) for p in parts]
        )

    opens, high, low, close = (
        column(name, price, "price_scale") for name in ("open", "high", "low", "close")
    )
    return BarColumns(
        np.concatenate([part.start for part in parts]),
        opens,
        high,
        low,
        close,
        column("volume", size, "size_scale"),
        np.concatenate([part.trades for part in parts]),
        price,
        size,
    )


def built(trades: TradeColumns, length_ns: int) -> BarColumns:
    """Bars of trades, each `length_ns` long and begun where that divides the time; irregular ones stay out.

    Intervals without a trade have no bar.
    """
    keep = ~trades.irregular
    ts, price, size = trades.ts_event[keep], trades.price[keep], trades.size[keep]
    starts, first, count = np.unique(ts // length_ns * length_ns, return_index=True, return_counts=True)
    if not len(starts):
        empty = np.empty(0, np.int64)
        return BarColumns(
            empty, empty, empty, empty, empty, empty, empty, trades.price_scale, trades.size_scale
        )
    return BarColumns(
        starts,
        price[first],
        np.maximum.reduceat(price, first),
        np.minimum.reduceat(price, first),
        price[first + count - 1],
        np.add.reduceat(size, first),
        count.astype(np.int64),
        trades.price_scale,
        trades.size_scale,
    )


def trades(
    who: str,
    chunk: Chunk,
    *,
    ts: Ints,
    price: Sequence[Any],
    size: Sequence[Any],
    aggressor: Sequence[int] | None = None,
    ids: Sequence[int | str],
    keys: Sequence[Any] | None = None,
    irregular: Sequence[bool] | None = None,
    conditions: Sequence[str] = (),
    exchange: Sequence[str] = (),
    places: int | None = None,
) -> TradeColumns:
    """Trades of columns as they came, ascending. `keys` are what makes a trade the same one, its `ids` where
    that is enough. Raises `UpstreamError` where the rows do not ascend in time."""
    seen: set[Any] = set()
    pick: list[int] = []
    inside = ((ts >= chunk.start) & (ts < chunk.end)).tolist()
    for i, key in enumerate(ids if keys is None else keys):
        if key not in seen:
            seen.add(key)
            if inside[i]:
                pick.append(i)
    at = ts[pick]
    if len(at) > 1 and (np.diff(at) < 0).any():
        raise disordered(who, "trades")
    prices, price_scale = exact.mantissas([price[i] for i in pick], f"a price of {who}")
    sizes, size_scale = exact.mantissas([size[i] for i in pick], f"a size of {who}", places)
    named = [ids[i] for i in pick]
    numbers = all(isinstance(name, int) for name in named)
    return TradeColumns(
        at,
        prices,
        sizes,
        np.array([aggressor[i] for i in pick] if aggressor else [0] * len(pick), np.int8),
        np.array(named if numbers else [-1] * len(pick), np.int64),
        np.array([irregular[i] for i in pick] if irregular else [False] * len(pick), np.bool_),
        price_scale,
        size_scale,
        () if numbers else tuple(str(name) for name in named),
        tuple(conditions[i] for i in pick) if conditions else (),
        tuple(exchange[i] for i in pick) if exchange else (),
    )


def disordered(who: str, what: str) -> UpstreamError:
    return UpstreamError(
        "provider_disordered", f"{who} sends {what} out of order", hint="trying again may help"
    )
