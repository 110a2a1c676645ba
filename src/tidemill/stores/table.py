"""The tables: their columns, how they are partitioned and sorted, and how records become rows.

Every row says where it came from and when: `ts_event` (the venue's clock), `ts_recv` (our socket, or when
it was imported), `ts_known` (earliest time a strategy may use it), `source`, `epoch`, `sequence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import wire
from tidemill.model.bar import BAR, Bars, set_volumes, volumes
from tidemill.model.interval import DAY, STORED
from tidemill.model.time import date_of

LIVE = "live"
"""`source` of rows that came from a journal."""

_NAME = pa.string()
_TIMES = [("ts_event", pa.int64()), ("ts_recv", pa.int64()), ("ts_known", pa.int64())]
_ORIGIN = [("source", _NAME), ("epoch", pa.int32()), ("sequence", pa.int64())]
_PRICED = [
    ("price", pa.int64()),
    ("price_scale", pa.int8()),
    ("size", pa.int64()),
    ("size_scale", pa.int8()),
]
# u64 of the wire as two's complement: Delta has no unsigned numbers. No venue counts past 2^63.
_ID = [("id", pa.int64())]
_FLAGS = [("flags", pa.int16())]


@dataclass(frozen=True)
class Table:
    """One kind of row."""

    name: str
    schema: pa.Schema
    """All columns, the partition's included."""
    partition: tuple[str, ...]
    """Columns that are folder names, not in the files."""
    kinds: tuple[int, ...] = ()
    """Kinds of record whose rows these are."""
    order: tuple[str, ...] = ("ts_event", "epoch", "sequence")
    """What reading sorts by. Files are sorted by instrument, then arrival."""

    @property
    def file_schema(self) -> pa.Schema:
        return pa.schema([field for field in self.schema if field.name not in self.partition])

    @property
    def file_order(self) -> list[tuple[str, str]]:
        names = ("instrument", "ts_recv", "sequence") if self.name != "bars" else ("instrument", "ts_event")
        return [(column, "ascending") for column in names]

    def empty(self) -> pa.Table:
        empty: pa.Table = self.schema.empty_table()
        return empty


def _ticks(name: str, kinds: tuple[int, ...], columns: list[tuple[str, pa.DataType]]) -> Table:
    schema = pa.schema(
        [("venue", _NAME), ("date", pa.date32()), ("instrument", _NAME), *_ORIGIN, *_TIMES, *columns]
    )
    return Table(name, schema, ("venue", "date"), kinds)


TRADES = _ticks("trades", (wire.KIND_TRADE,), [*_PRICED, ("aggressor", _NAME), *_ID, *_FLAGS])
QUOTES = _ticks("quotes", (wire.KIND_QUOTE,), [*_PRICED, ("side", _NAME), *_ID, *_FLAGS])
# A clear row (`kind` 4) empties the book: price and size 0, side "none".
LEVELS = _ticks(
    "levels",
    (wire.KIND_LEVEL, wire.KIND_CLEAR),
    [("kind", pa.int8()), *_PRICED, ("side", _NAME), *_ID, *_FLAGS],
)
STATUS = _ticks(
    "status",
    (wire.KIND_STATUS,),
    [("channel", _NAME), ("code", _NAME), ("connection", pa.int64()), ("value", pa.int64()), *_FLAGS],
)
GAPS = _ticks(
    "gaps",
    (wire.KIND_GAP,),
    [
        ("channel", _NAME),
        ("cause", _NAME),
        # open, end, or journal: a hole of our own numbering, which has no two ends
        ("edge", _NAME),
        # sequence of the opening record, in both
        ("opened", pa.int64()),
        # the venue's own id there, -1 if it has none
        ("venue_sequence", pa.int64()),
        # records missing, -1 unknown
        ("missing", pa.int64()),
        *_FLAGS,
    ],
)
# Extra facts of the record before it, bytes 16 to 47, and kinds that this version does not know.
DETAILS = _ticks("details", (), [("kind", pa.int8()), ("payload", pa.binary()), *_FLAGS])
BARS = Table(
    "bars",
    pa.schema(
        [
            ("interval", _NAME),
            ("month", _NAME),
            ("venue", _NAME),
            ("instrument", _NAME),
            *_ORIGIN,
            *_TIMES,  # ts_event is the start
            ("ts_end", pa.int64()),
            ("revision", pa.int32()),
            ("open", pa.int64()),
            ("high", pa.int64()),
            ("low", pa.int64()),
            ("close", pa.int64()),
            ("price_scale", pa.int8()),
            ("volume", pa.decimal128(38, 0)),
            ("size_scale", pa.int8()),
            ("trades", pa.int64()),
        ]
    ),
    ("interval", "month"),
    order=("ts_event", "revision"),
)
INSTRUMENTS = Table(
    "instruments",
    pa.schema(
        [
            ("venue", _NAME),
            ("instrument", _NAME),
            *_ORIGIN,
            *_TIMES,
            ("revision", pa.int32()),
            ("symbol", _NAME),
            ("base", _NAME),
            ("quote", _NAME),
            ("tick", _NAME),
            ("lot", _NAME),
            ("price_scale", pa.int8()),
            ("size_scale", pa.int8()),
            ("status", _NAME),
        ]
    ),
    ("venue",),
    order=("instrument", "revision"),
)

TABLES: Mapping[str, Table] = {
    table.name: table for table in (GAPS, STATUS, DETAILS, LEVELS, QUOTES, TRADES, BARS, INSTRUMENTS)
}
"""By name. The order of the first seven is the order in which a batch is committed (see `docs/lake.md`)."""

COMMITTED = (GAPS, STATUS, DETAILS, LEVELS, QUOTES, TRADES, BARS)
"""Tables with an offset in a journal, in commit order. The last one is committed with every batch."""


# ── records to rows ───────────────────────────────────────────────────────────────────────────────


def _names(values: npt.NDArray[Any], table: Callable[[int], str]) -> pa.Array:
    codes, inverse = np.unique(values, return_inverse=True)
    dictionary = pa.array([table(int(code)) for code in codes], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(inverse.astype(np.int32)), dictionary)


def _constant(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.string()))


def _dates(ts: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array((ts // DAY).astype(np.int32), pa.int32()).cast(pa.date32())


def _named(table: tuple[str, ...]) -> Callable[[int], str]:
    return lambda code: wire.name(table, code)


def rows_of(
    table: Table,
    records: wire.Records,
    sequences: npt.NDArray[np.int64],
    epoch: int,
    venue: str,
    names: Callable[[int], str],
    source: str = LIVE,
) -> pa.Table:
    """Rows of `table` from those of `records` that belong to it, shape (n,); strings are dictionaries.

    `sequences` has one number per record. `names` turns an instrument's number into its name; number 0,
    the whole venue, becomes "".
    """
    if table is DETAILS:
        known = [kind for other in TABLES.values() for kind in other.kinds]
        mask = ~np.isin(records["kind"], known)
    else:
        mask = np.isin(records["kind"], table.kinds)
    records, sequences = records[mask], sequences[mask]
    rows = len(records)
    backfilled = (records["flags"] & wire.FLAG_BACKFILLED) != 0
    ts_event, ts_recv = records["ts_event"].copy(), records["ts_recv"].copy()
    side = records["flags"] & wire.FLAG_SIDE
    has_id = (records["flags"] & wire.FLAG_HAS_ID) != 0
    columns: dict[str, Any] = {
        "venue": _constant(venue, rows),
        "instrument": _names(records["instrument"], lambda n: names(n) if n else ""),
        "source": _constant(source, rows),
        "epoch": np.full(rows, epoch, np.int32),
        "sequence": sequences,
        "flags": records["flags"].astype(np.int16),
    }
    if table is DETAILS:
        raw = np.ascontiguousarray(records).view(np.uint8).reshape(rows, wire.RECORD_BYTES)
        # A detail has no times of its own: bytes 16 to 47 are the venue's.
        ts_recv = ts_event.copy()
        columns["kind"] = records["kind"].astype(np.int8)
        columns["payload"] = pa.array([bytes(line[16:]) for line in raw], pa.binary())
    elif table is STATUS:
        columns["channel"] = _names(records["price_scale"], _named(wire.CHANNELS))
        columns["code"] = _names(records["id"], _named(wire.STATUSES))
        columns["connection"] = records["price"].copy()
        columns["value"] = records["size"].copy()
    elif table is GAPS:
        columns["channel"] = _names(records["price_scale"], _named(wire.CHANNELS))
        columns["cause"] = _names(records["size_scale"], _named(wire.CAUSES))
        columns["edge"] = _names(side, lambda code: {1: "open", 2: "end"}.get(code, "none"))
        columns["opened"] = np.where(side == 1, sequences, records["id"].astype(np.int64))
        columns["venue_sequence"] = records["price"].copy()
        columns["missing"] = records["size"].copy()
    else:
        columns["price"], columns["size"] = records["price"].copy(), records["size"].copy()
        columns["price_scale"] = records["price_scale"].astype(np.int8)
        columns["size_scale"] = records["size_scale"].astype(np.int8)
        columns["id"] = pa.array(records["id"].view(np.int64), mask=~has_id)
        if table is TRADES:
            columns["aggressor"] = _names(side, _named(wire.AGGRESSORS))
        else:
            columns["side"] = _names(side, _named(wire.SIDES))
        if table is LEVELS:
            columns["kind"] = records["kind"].astype(np.int8)
    columns["date"] = _dates(ts_event)
    columns["ts_event"], columns["ts_recv"] = ts_event, ts_recv
    columns["ts_known"] = np.where(backfilled, ts_event, ts_recv)
    return pa.table({name: columns[name] for name in table.schema.names})


def _decoded(rows: pa.Table, column: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Codes and names of a string column, dictionary or not."""
    encoded = rows[column].combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], pa.string())
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def records_of(table: Table, rows: pa.Table, numbers: Callable[[str], int]) -> wire.Records:
    """Rows of trades, quotes or levels as records again, shape (n,); the inverse of `rows_of`."""
    records = np.zeros(len(rows), wire.RECORD)
    codes, names = _decoded(rows, "instrument")
    lookup = np.array([numbers(name) for name in names] or [0], np.uint32)
    records["instrument"] = lookup[codes] if len(codes) else 0
    for column in ("price_scale", "size_scale", "ts_event", "ts_recv", "price", "size", "flags"):
        records[column] = rows[column].to_numpy()
    records["id"] = rows["id"].fill_null(0).to_numpy().view(np.uint64)
    records["kind"] = rows["kind"].to_numpy() if table is LEVELS else table.kinds[0]
    return records


# ── bars ──────────────────────────────────────────────────────────────────────────────────────────


def months(starts: npt.NDArray[np.int64]) -> pa.DictionaryArray:
    """The column `month` of bars that start then."""
    days, inverse = np.unique(starts // DAY, return_inverse=True)
    found = [date_of(int(day) * DAY)[:7] for day in days]
    dictionary, codes = np.unique(np.array(found, dtype=object), return_inverse=True)
    indices = codes.astype(np.int32)[inverse] if len(starts) else np.zeros(0, np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(dictionary.tolist(), pa.string()))


def _decimals(bars: Bars) -> pa.Array:
    halves = np.empty((len(bars), 2), np.int64)
    halves[:, 0], halves[:, 1] = bars["volume_low"].view(np.int64), bars["volume_high"]
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(bars), [None, pa.py_buffer(halves.tobytes())])


def bar_rows(
    bars: Bars,
    venue: str,
    epoch: int,
    names: Callable[[int], str],
    intervals: tuple[str, ...] = STORED,
    source: str = LIVE,
) -> pa.Table:
    """Rows of the bars table. `intervals` are what the `interval` field of each bar counts in."""
    rows = len(bars)
    starts = bars["start"].copy()
    columns: dict[str, Any] = {
        "interval": _names(bars["interval"], lambda at: intervals[at]),
        "month": months(starts),
        "venue": _constant(venue, rows),
        "instrument": _names(bars["instrument"], names),
        "source": _constant(source, rows),
        "epoch": np.full(rows, epoch, np.int32),
        "sequence": bars["sequence"].astype(np.int64),
        "ts_event": starts,
        "ts_recv": bars["ts_recv"].copy(),
        "ts_known": bars["ts_known"].copy(),
        "ts_end": bars["end"].copy(),
        "revision": bars["revision"].astype(np.int32),
        "price_scale": bars["price_scale"].astype(np.int8),
        "volume": _decimals(bars),
        "size_scale": bars["size_scale"].astype(np.int8),
        "trades": bars["trades"].astype(np.int64),
    }
    for price in ("open", "high", "low", "close"):
        columns[price] = bars[price].copy()
    return pa.table({name: columns[name] for name in BARS.schema.names})


def bars_of(
    rows: pa.Table,
    numbers: Callable[[str], int] = lambda _: 0,
    intervals: tuple[str, ...] = STORED,
) -> Bars:
    """Rows of the bars table as an array; the inverse of `bar_rows`. Intervals not in `intervals` raise."""
    bars = np.zeros(len(rows), BAR)
    if not len(rows):
        return bars
    codes, names = _decoded(rows, "instrument")
    bars["instrument"] = np.array([numbers(name) for name in names], np.uint32)[codes]
    if "interval" in rows.column_names:
        codes, names = _decoded(rows, "interval")
        bars["interval"] = np.array([intervals.index(name) for name in names], np.uint32)[codes]
    for field, column in (("start", "ts_event"), ("end", "ts_end")):
        bars[field] = rows[column].to_numpy()
    for column in (
        "open", "high", "low", "close", "price_scale", "size_scale",
        "trades", "ts_known", "ts_recv", "sequence", "revision",
    ):  # fmt: skip
        bars[column] = rows[column].to_numpy()
    volume = rows["volume"].combine_chunks()
    if isinstance(volume, pa.ChunkedArray):
        volume = pa.concat_arrays(volume.chunks)
    halves = np.frombuffer(volume.buffers()[1], np.int64)[2 * volume.offset :][: 2 * len(volume)].reshape(
        -1, 2
    )
    bars["volume_low"], bars["volume_high"] = halves[:, 0].view(np.uint64), halves[:, 1]
    return bars


def plain(table: Table, rows: pa.Table) -> pa.Table:
    """The same rows with the table's own schema: strings instead of dictionaries, columns in order."""
    return rows.select(table.schema.names).cast(table.schema)


__all__ = [
    "BARS",
    "COMMITTED",
    "DETAILS",
    "GAPS",
    "INSTRUMENTS",
    "LEVELS",
    "LIVE",
    "QUOTES",
    "STATUS",
    "TABLES",
    "TRADES",
    "Table",
    "bar_rows",
    "bars_of",
    "months",
    "plain",
    "records_of",
    "rows_of",
    "set_volumes",
    "volumes",
]
