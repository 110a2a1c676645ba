"""Quotes that came no live way: best bids and offers, kept once per chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import wire
from tidemill.model.instrument import venue_of
from tidemill.stores.api import Store
from tidemill.stores.imported import application
from tidemill.stores.table import QUOTES, rows_of

Ints = npt.NDArray[np.int64]
BID, ASK = 1, 2


@dataclass(frozen=True)
class QuoteColumns:
    """Sides of quotes, shape (n,) each, ascending by `ts_event`; the two of one update follow each other."""

    ts_event: Ints
    """ns UTC."""
    side: npt.NDArray[np.uint8]
    """`BID` or `ASK`."""
    price: Ints
    price_scale: npt.NDArray[np.int8]
    size: Ints
    size_scale: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ts_event)


def keep_quotes(
    store: Store,
    instrument: str,
    columns: QuoteColumns,
    *,
    source: str,
    chunk: str,
    ts_recv: int,
    delay_ns: int = 0,
) -> bool:
    """Keeps quotes that came no live way (epoch 0), once per (source, instrument, chunk); False when this one
    was kept before. A row's `sequence` is its place among those of its nanosecond, so chunks share none."""
    name = application(source, instrument, "quotes", chunk)
    if not len(columns):
        return False
    records = np.zeros(len(columns), wire.RECORD)
    records["kind"], records["instrument"] = wire.KIND_QUOTE, 1
    records["ts_event"], records["ts_recv"] = columns.ts_event, ts_recv
    for field in ("price", "price_scale", "size", "size_scale"):
        records[field] = getattr(columns, field)
    records["flags"] = columns.side | wire.FLAG_BACKFILLED
    begins = np.flatnonzero(np.append(True, np.diff(columns.ts_event) != 0))
    lengths = np.diff(np.append(begins, len(columns)))
    places = np.arange(len(columns)) - np.repeat(begins, lengths) + 1
    rows = rows_of(QUOTES, records, places, 0, venue_of(instrument), lambda _: instrument, source)
    rows = rows.cast(QUOTES.schema)
    at = rows.schema.get_field_index("ts_known")
    rows = rows.set_column(at, "ts_known", pa.array(columns.ts_event + delay_ns, pa.int64()))
    return store.append(QUOTES, rows, {name: 1})
