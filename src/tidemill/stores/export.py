"""Everything known of an instrument as plain rows, in files that others read.

CSV, JSON lines, Parquet and Arrow (a file on disk, a stream on stdout).

Prices and sizes leave as decimal text, digit for digit what the venue printed. A file appears whole or not
at all: it is written beside its place, made durable, and renamed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tidemill import adjusted, wire
from tidemill.errors import ConfigError, ResourceError, UsageError
from tidemill.model.adjust import Adjusted, Step
from tidemill.model.bar import volumes
from tidemill.model.instrument import resolve, venue_of
from tidemill.model.interval import DAY, HOUR
from tidemill.stores import join, select
from tidemill.stores.api import Query
from tidemill.stores.delta import sync
from tidemill.stores.live import LiveView
from tidemill.stores.table import LEVELS, QUOTES, TABLES, TRADES, Table

Format = Literal["csv", "jsonl", "parquet", "arrow"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet", "arrow")
KINDS = ("trades", "quotes", "levels", "bars", "gaps")

_PRICES = ("open", "high", "low", "close")
_CHUNK_ROWS = 1_000_000
_BARS_PAGE = 50_000


def meant(view: LiveView, asked: str) -> tuple[str, str | None]:
    """Venue and instrument that a word means; a venue's own name means all of its instruments.

    Raises `NotFoundError` with the nearest, `ConflictError` where several venues have it.
    """
    if asked in view.venues():
        return asked, None
    known = view.names()
    if asked not in known:
        known |= view.stored_names()
    name = resolve(asked, known)
    return venue_of(name), name


def pieces(
    view: LiveView,
    kind: str,
    venue: str,
    instrument: str | None,
    interval: str,
    start: int | None,
    end: int | None,
    way: Adjusted = "raw",
    known_at: int | None = None,
) -> Iterator[pa.Table]:
    """Rows of one of `KINDS`, in pieces; prices of bars as they were printed or adjusted in a `way`, with the
    facts known at a time (ns; None: all). Raises `UsageError` for bars of a whole venue, and for anything
    else adjusted."""
    if way != "raw" and kind != "bars":
        raise UsageError(
            "adjusted_kind", f"{kind} were asked for with adjusted prices", hint="only bars have them"
        )
    if kind == "bars":
        if instrument is None:
            raise UsageError(
                "export_bars_of_venue", f"bars of all of {venue} were asked for", hint="name one instrument"
            )
        steps = adjusted.steps(view, instrument, interval, way, known_at) if way != "raw" else []
        return bars(view, instrument, interval, start, end, steps)
    if kind == "gaps":
        return gaps(view, venue, instrument, start, end)
    return ticks(view, kind, venue, instrument, start, end)


def ticks(
    view: LiveView, kind: str, venue: str, instrument: str | None, start: int | None, end: int | None
) -> Iterator[pa.Table]:
    """Trades, quotes or levels, stored and just arrived, ascending by (ts_event, epoch, sequence), in
    pieces. `instrument` None is every instrument of the venue. Columns are those of `COLUMNS[kind]`."""
    table = TABLES[kind]
    query = Query(venues=(venue,), instruments=(instrument,) if instrument else None, start=start, end=end)
    met = join.meeting(view.store, table, view.home, venue)
    fresh, through = (
        join.journal_hours(view.home, table, venue, query, met.after) if met.journal else ({}, None)
    )
    stored = join.days(view.store, table, query)
    for day in sorted({*stored, *(hour * HOUR // DAY for hour in fresh)}):
        low, high = day * DAY, (day + 1) * DAY
        rows = stored.get(day, 0)
        rows += sum(count for hour, count in fresh.items() if low <= hour * HOUR < high)
        step = HOUR if rows > _CHUNK_ROWS else DAY
        for at in range(low, high, step):
            span = query.with_(
                start=at if start is None else max(at, start),
                end=at + step if end is None else min(at + step, end),
            )
            if span.start is not None and span.end is not None and span.start >= span.end:
                continue
            found = (
                view.store.read(table, span.with_(through=met.through)) if day in stored else table.empty()
            )
            if any(at <= hour * HOUR < at + step for hour in fresh):
                # Read again for each piece: what no recorder has stored for days would fill the memory.
                mine, _ = join.journal_rows(view.home, table, venue, span.with_(through=through), met.after)
                found = pa.concat_tables([found, mine])
            if len(found):
                yield _ticks(table, select.finish(table, found, Query()))


def _ticks(table: Table, rows: pa.Table) -> pa.Table:
    columns: dict[str, Any] = {
        name: rows[name] for name in ("venue", "instrument", "epoch", "sequence", "ts_event", "ts_recv")
    }
    if table is LEVELS:
        clear = rows["kind"].to_numpy() == wire.KIND_CLEAR
        columns["kind"] = np.where(clear, "clear", "level").astype(object)
    for name in ("price", "size"):
        columns[name] = pa.array(
            wire.texts(rows[name].to_numpy(), rows[f"{name}_scale"].to_numpy()), pa.string()
        )
    side = "aggressor" if table is TRADES else "side"
    columns[side] = rows[side]
    columns["id"] = rows["id"]
    if table is not TRADES:
        columns["snapshot"] = (rows["flags"].to_numpy() & wire.FLAG_SNAPSHOT) != 0
    return pa.table(columns)


def bars(
    view: LiveView,
    instrument: str,
    interval: str,
    start: int | None,
    end: int | None,
    steps: Sequence[Step] = (),
) -> Iterator[pa.Table]:
    """Closed bars, ascending, in pieces; prices and volume as decimal text, adjusted by `steps`."""
    at = -(2**62) if start is None else start
    while True:
        found = view.bars(instrument, interval, at, end, _BARS_PAGE)
        if len(found.bars):
            rows = found.bars
            columns: dict[str, Any] = {
                "venue": [instrument.rpartition(".")[2]] * len(rows),
                "instrument": [instrument] * len(rows),
                "interval": [interval] * len(rows),
                "ts": rows["start"],
                "ts_end": rows["end"],
            }
            if steps:
                columns |= adjusted.texts(rows, steps)
            else:
                columns |= {name: wire.texts(rows[name], rows["price_scale"]) for name in _PRICES}
                columns["volume"] = [
                    wire.text(volume, scale)
                    for volume, scale in zip(volumes(rows), rows["size_scale"].tolist(), strict=True)
                ]
            columns["trades"] = rows["trades"].astype(np.int64)
            columns["revision"] = rows["revision"].astype(np.int64)
            yield pa.table(columns)
        if not found.more:
            return
        at = int(found.bars["end"][-1])


def gaps(
    view: LiveView, venue: str, instrument: str | None, start: int | None, end: int | None
) -> Iterator[pa.Table]:
    """Known holes that reach into [start, end), by their opening; those of the whole venue are every
    instrument's."""
    lines = [
        line
        for line in view.gaps(venue, start, end)
        if instrument is None or line["instrument"] in (None, instrument)
    ]
    schema = pa.schema(
        [
            ("venue", pa.string()), ("instrument", pa.string()),
            ("epoch", pa.int64()), ("sequence", pa.int64()),
            ("opened_at", pa.int64()), ("ended_at", pa.int64()), ("ts_event_open", pa.int64()),
            ("ts_event_end", pa.int64()), ("channel", pa.string()), ("cause", pa.string()),
            ("missing", pa.int64()), ("venue_sequence_open", pa.int64()),
            ("venue_sequence_end", pa.int64()), ("state", pa.string()),
        ]
    )  # fmt: skip
    yield pa.Table.from_pylist(lines, schema)


def empty(kind: str) -> pa.Table:
    """No rows, with the columns of a kind: what a file without rows still says."""
    if kind in ("trades", "quotes", "levels"):
        return _ticks({"trades": TRADES, "quotes": QUOTES, "levels": LEVELS}[kind], TABLES[kind].empty())
    text = ("venue", "instrument", "interval", "open", "high", "low", "close", "volume")
    names = (
        "venue", "instrument", "interval", "ts", "ts_end",
        "open", "high", "low", "close", "volume", "trades", "revision",
    )  # fmt: skip
    return pa.schema([(name, pa.string() if name in text else pa.int64()) for name in names]).empty_table()


# ── writing ───────────────────────────────────────────────────────────────────────────────────────


def write(pieces: Iterator[pa.Table], kind: str, format: Format, target: Path | None) -> int:  # noqa: A002
    """Writes the pieces to `target`, or to stdout for None; returns the number of rows.

    Raises `ConfigError` where the file cannot be made and `ResourceError` when the disk is full; what was
    at `target` before is then still there.
    """
    if target is None:
        return _write(pieces, kind, format, sys.stdout.buffer, stream=True)
    try:
        with _whole(target) as file:
            return _write(pieces, kind, format, file, stream=False)
    except OSError as error:
        if error.errno in (28, 122):  # no space, no quota
            raise ResourceError(
                "disk_full", f"{target} could not be written: {error.strerror}",
                hint="free space or name another file", http_status=507,
            ) from error  # fmt: skip
        raise ConfigError(
            "file_unwritable", f"{target} could not be written: {error.strerror or error}",
            hint="name a file in a folder that exists and is yours",
        ) from error  # fmt: skip


@contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `target` when, and only when, everything is written and durable."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync(target.absolute().parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write(
    pieces: Iterator[pa.Table],
    kind: str,
    format: Format,  # noqa: A002
    file: IO[bytes],
    *,
    stream: bool,
) -> int:
    put: Callable[[pa.Table], None] | None = None
    close: Callable[[], None] = file.flush
    rows = 0
    for piece in pieces:
        if put is None:
            put, close = _writer(piece.schema, format, file, stream)
        put(piece)
        rows += len(piece)
    if put is None:
        piece = empty(kind)
        put, close = _writer(piece.schema, format, file, stream)
        put(piece)
    close()
    return rows


def _writer(
    schema: pa.Schema,
    format: Format,  # noqa: A002
    file: IO[bytes],
    stream: bool,
) -> tuple[Callable[[pa.Table], None], Callable[[], None]]:
    if format == "jsonl":
        return lambda rows: _write_lines(rows, file), file.flush
    if format == "csv":
        options = pyarrow.csv.WriteOptions(include_header=True, quoting_style="needed")
        csv = pyarrow.csv.CSVWriter(file, schema, write_options=options)
        return csv.write_table, csv.close
    if format == "parquet":
        parquet = pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression="zstd")
        return parquet.write_table, parquet.close
    arrow = pa.ipc.new_stream(file, schema) if stream else pa.ipc.new_file(file, schema)
    return arrow.write_table, arrow.close


_AS_TEXT = {
    "ts_event",
    "ts_recv",
    "ts",
    "ts_end",
    "id",
    "opened_at",
    "ended_at",
    "ts_event_open",
    "ts_event_end",
    "venue_sequence_open",
    "venue_sequence_end",
}


def _write_lines(rows: pa.Table, file: IO[bytes]) -> None:
    """JSON lines; 64-bit integers that pass 2^53 leave as text, as everywhere in JSON here."""
    text = [name for name in rows.column_names if name in _AS_TEXT]
    for name in text:
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, rows[name].cast(pa.string()))
    for batch in rows.to_batches(max_chunksize=20_000):
        file.write("".join(json.dumps(line) + "\n" for line in batch.to_pylist()).encode())
