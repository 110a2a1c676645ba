"""Bars that came no live way: checked, merged into the longer stored intervals, kept once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.errors import UsageError
from tidemill.model.bar import BAR, Bars, set_volumes
from tidemill.model.instrument import venue_of
from tidemill.model.interval import STORED, Interval
from tidemill.stores.api import Store
from tidemill.stores.table import BARS, bar_rows


def keep(
    store: Store,
    instrument: str,
    interval: str,
    columns: Mapping[str, Any],
    *,
    source: str,
    chunk: str,
    ts_recv: int,
) -> bool:
    """Keeps bars that came no live way (epoch 0), once per (source, instrument, interval, chunk).

    `columns` holds arrays of one length: `start` (ns, ascending, each the start of an interval),
    `open` `high` `low` `close` `volume` (integer mantissas), `trades`, and the numbers `price_scale`
    and `size_scale`. `ts_recv` is when this platform got them. Longer stored intervals are merged from
    them and kept with them; where such a bar is only partly covered, readers rebuild it from its parts.
    Returns False when this chunk was kept before. Raises `UsageError` for what is no such series.
    """
    if interval not in STORED:
        raise UsageError(
            "interval_not_stored",
            f"bars of {interval} are not stored",
            hint=f"import one of: {', '.join(STORED)}",
        )
    bars = imported_bars(interval, columns, ts_recv)
    held = [bars]
    for longer in STORED[STORED.index(interval) + 1 :]:
        held.append(merged(held[-1], longer, STORED.index(longer)))
    venue = venue_of(instrument)
    rows = pa.concat_tables(
        [bar_rows(part, venue, 0, lambda _: instrument, source=source).cast(BARS.schema) for part in held]
    )
    return store.append(BARS, rows, {f"import/{source}/{instrument}/{interval}/{chunk}": 1})


def imported_bars(interval: str, columns: Mapping[str, Any], ts_recv: int) -> Bars:
    """Checked columns as bars. Raises `UsageError` naming the first row that cannot be a bar."""
    starts = np.asarray(columns["start"], np.int64)
    bars = np.zeros(len(starts), BAR)
    parsed = Interval.parse(interval)
    bars["interval"] = STORED.index(interval)
    bars["start"] = starts
    bars["end"] = starts + parsed.length_ns
    for name in ("open", "high", "low", "close", "trades"):
        bars[name] = np.asarray(columns[name])
    set_volumes(bars, columns["volume"])
    bars["price_scale"], bars["size_scale"] = columns["price_scale"], columns["size_scale"]
    bars["ts_recv"] = ts_recv
    bars["ts_known"] = bars["end"]
    bars["sequence"] = np.arange(1, len(bars) + 1)
    low, high = bars["low"], bars["high"]
    wrong = (starts % parsed.length_ns != 0) | (low > high)
    for name in ("open", "close"):
        wrong |= (bars[name] < low) | (bars[name] > high)
    wrong[1:] |= starts[1:] <= starts[:-1]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            "bars_invalid",
            f"row {row} (start {int(starts[row])}) is not a {interval} bar that follows the row before it",
            hint="starts ascend on interval boundaries, low <= open, close <= high",
        )
    return bars


def merged(bars: Bars, interval: str, index: int) -> Bars:
    """Bars of a longer interval; `index` is what their `interval` field says."""
    from tidemill import _native

    longer = np.frombuffer(_native.merge_bars(np.ascontiguousarray(bars), interval), BAR).copy()
    longer["interval"] = index
    return longer
