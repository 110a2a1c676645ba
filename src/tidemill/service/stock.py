"""Rows of stocks: bars with vwap, transactions, market time and three indicators, and what is projected.

Runs in worker threads. An indicator is computed over the `indicator.WARM` bars before the first row as well,
so that pages agree with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from tidemill import wire
from tidemill.errors import UsageError
from tidemill.metadata import projection
from tidemill.model.bar import Bars
from tidemill.query import indicator
from tidemill.service import instant, series
from tidemill.service.instant import TimeFormat
from tidemill.service.platform import Platform
from tidemill.stores.live import BarSeries

INDICATORS = ("sma_20", "ema_20", "rsi_14")
TRADES_MAX = 500_000
"""Trades that are looked at for the vwap of one answer, the newest first."""
PROJECTED_MAX = 5_000
_NEW_YORK = "America/New_York"


def zone(instrument: str) -> ZoneInfo:
    """Where its market's day is: pairs trade by UTC, what has no quote currency in its name in New York."""
    return ZoneInfo("UTC" if "-" in instrument.rpartition(".")[0] else _NEW_YORK)


def table_name(service: Platform, table: str) -> str:
    """The instrument whose bars a table is: `AAPL.polygon:bars`, or its instrument alone."""
    name, colon, kind = table.rpartition(":")
    if colon and kind != "bars":
        raise UsageError(
            "table_unfit", f"{table[:200]!r} has no rows of stocks", hint="name a dataset of bars: …:bars"
        )
    return service.view.resolve(name if colon else table)


def rows(
    service: Platform,
    instrument: str,
    interval: str,
    start: int | None,
    end: int | None,
    limit: int,
    projections: bool,
    as_: TimeFormat,
) -> dict[str, Any]:
    """An answer's facts and its `rows`, ascending."""
    series.checked(interval)
    service.accessed.note(instrument, "bars")
    if start is None:
        found = service.view.call(
            lambda live: live.bars(instrument, interval, None, end, limit + indicator.WARM)
        )
        first = max(0, len(found.bars) - limit)
        more = first > 0 or found.more
    else:
        found = service.view.call(lambda live: live.bars(instrument, interval, start, end, limit))
        more = found.more
        before = service.view.call(
            lambda live: live.bars(instrument, interval, None, start, indicator.WARM)
        ).bars
        first = len(before)
        found = _behind(before, found)
    bars = found.bars
    shown = bars[first:]
    lines = _lines(service, instrument, shown, as_)
    for name, values in _indicators(bars).items():
        for line, value in zip(lines, values[first:].tolist(), strict=True):
            line[name] = None if math.isnan(value) else value
    whole = start is None or not more
    if projections and whole:
        last = int(shown["start"][-1]) if len(shown) else -(2**63)
        with service.metadata.read() as connection:
            made = projection.beyond(connection, instrument, interval, last, end, PROJECTED_MAX)
        lines += [_projected(line, zone(instrument), as_) for line in made]
    return {
        "table": f"{instrument}:bars", "instrument": instrument, "interval": interval,
        "zone": zone(instrument).key, "complete": found.complete,
        "gaps": [series.show_gap(one, as_) for one in found.gaps], "more": more, "rows": lines,
    }  # fmt: skip


def _behind(before: Bars, found: BarSeries) -> BarSeries:
    return BarSeries(
        found.instrument, found.interval, np.concatenate([before, found.bars]), found.current,
        found.through, found.gaps, found.more, found.dropped, found.settling,
    )  # fmt: skip


def _lines(service: Platform, instrument: str, bars: Bars, as_: TimeFormat) -> list[dict[str, Any]]:
    vwaps = _vwaps(service, instrument, bars)
    where = zone(instrument)
    lines = []
    for row, bar, vwap in zip(series.bar_rows(bars, as_), bars, vwaps, strict=True):
        row["transactions"] = row.pop("trades")
        market = datetime.fromtimestamp(int(bar["start"]) / 1e9, where).isoformat()
        lines.append(
            {**row, "vwap": vwap, "market_time": market, "is_projection": False, "projection_source": None}
        )
    return lines


def _indicators(bars: Bars) -> dict[str, indicator.Values]:
    closes = wire.floats(bars["close"], bars["price_scale"])
    return {
        "sma_20": indicator.sma(closes, 20),
        "ema_20": indicator.ema(closes, 20),
        "rsi_14": indicator.rsi(closes, 14),
    }


def _vwaps(service: Platform, instrument: str, bars: Bars) -> Sequence[float | None]:
    """Sum of price × size by sum of sizes, of each bar all of whose trades are there; None for others."""
    if not len(bars) or f"{instrument}:trades" not in service.view.datasets():
        return [None] * len(bars)
    low, high = int(bars["start"][0]), int(bars["end"][-1])
    found: pa.Table = service.view.call(lambda live: live.trades(instrument, None, high, TRADES_MAX)).rows
    ts = found["ts_event"].to_numpy()
    at = np.searchsorted(bars["start"], ts, side="right") - 1
    inside = (at >= 0) & (ts >= low) & (ts < bars["end"][np.maximum(at, 0)])
    prices = wire.floats(found["price"].to_numpy(), found["price_scale"].to_numpy())[inside]
    sizes = wire.floats(found["size"].to_numpy(), found["size_scale"].to_numpy())[inside]
    count = np.bincount(at[inside], minlength=len(bars))
    size = np.bincount(at[inside], sizes, len(bars))
    value = np.bincount(at[inside], prices * sizes, len(bars))
    whole = (count == bars["trades"]) & (size > 0)
    return [v / s if ok else None for v, s, ok in zip(value.tolist(), size.tolist(), whole, strict=True)]


def _projected(line: Mapping[str, Any], where: ZoneInfo, as_: TimeFormat) -> dict[str, Any]:
    ts = int(line["ts"])
    return {
        "ts": instant.show(ts, as_),
        **{name: line.get(name) for name in ("open", "high", "low", "close", "volume")},
        "revision": 0, "transactions": None, "vwap": None,
        "market_time": datetime.fromtimestamp(ts / 1e9, where).isoformat(),
        "is_projection": True, "projection_source": line["source"],
        **dict.fromkeys(INDICATORS),
    }  # fmt: skip
