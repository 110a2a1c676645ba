"""Series and books as answers: from `LiveView` to JSON columns, rows, Arrow, CSV or Parquet.

Runs in worker threads; numpy and pyarrow are imported here and not at the start of the service.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fastapi import Response

from tidemill import adjusted, wire
from tidemill.errors import UsageError
from tidemill.model import time
from tidemill.model.adjust import Adjusted, Step
from tidemill.model.bar import Bars, volumes
from tidemill.model.fact import Fact
from tidemill.model.gap import Gap
from tidemill.model.interval import DAY, Interval
from tidemill.service import answer, cursor, instant, packed
from tidemill.service.instant import TimeFormat
from tidemill.service.platform import Platform
from tidemill.service.shape import MEDIA, Adjusting, Asked, Format
from tidemill.stores.live import BarSeries, Ticks

INTERVAL_NS_MAX = 3660 * DAY
CHUNK = 5_000
_PRICES = ("open", "high", "low", "close")
Key = tuple[int, int, int]


# ── bars ──────────────────────────────────────────────────────────────────────────────────────────


def bars(service: Platform, asked: Asked, interval: str, told: Sequence[Fact] = ()) -> Response:
    """Bars, ascending: without a start the newest up to the end and `next` leads to older ones, with a
    start the first ones from there and `next` goes on. `told` are the facts that adjusted prices need."""
    checked(interval)
    instrument = service.view.resolve(asked.symbol)
    service.accessed.note(instrument, "bars")
    filters = (instrument, interval, asked.start, asked.end, *asked.by.values(), *asked.adjusting)
    edge = cursor.read(service.keeper, "bars", filters, asked.cursor)
    start, end = asked.start, asked.end
    if edge is not None and start is None:
        end = int(edge[0])
    elif edge is not None:
        start = int(edge[0]) + 1
    steps = steps_of(service, instrument, interval, asked.adjusting, told)
    found = service.view.call(
        lambda live: live.bars(instrument, interval, start, end, asked.limit, **asked.by)
    )
    facts = facts_of(found, asked.time)
    facts["next"] = None
    shown = found.bars if len(found.bars) else found.current
    if found.more and len(shown):
        edge_ts = int(shown["start"][0 if asked.start is None else -1])
        facts["next"] = cursor.make(service.keeper, "bars", filters, [edge_ts])
    facts["current"] = _current(found, asked.time, steps)
    facts["settling"] = found.settling
    head = {"instrument": instrument, "interval": interval}
    if asked.format in ("columns", "rows"):
        return packed.response(_packed(service, found, head, facts, asked.format, asked.time, steps))
    return _file(_bar_table(found.bars, steps), asked, {**head, **facts}, f"{instrument}-{interval}")


def steps_of(
    service: Platform,
    instrument: str,
    interval: str,
    adjusting: Adjusting,
    told: Sequence[Fact],
) -> list[Step]:
    """What changes the prices of a series that was asked for adjusted; `told` are its instrument's facts."""
    if not adjusting:
        return []
    by, known_at = adjusting
    way: Adjusted = "all" if by == "all" else "split"
    return service.view.call(lambda live: adjusted.steps(live, instrument, interval, way, known_at, told))


def _packed(
    service: Platform,
    found: BarSeries,
    head: dict[str, Any],
    facts: dict[str, Any],
    form: Format,
    as_: TimeFormat,
    steps: Sequence[Step] = (),
) -> bytes:
    """JSON of bars and what is said of them, packed. Closed bars are written once: they are found again by
    what they are, and so are never old, while what is open and how far it reaches is written anew."""

    def begun() -> bytes:
        if form == "columns":
            made = answer.encode({**head, **_bar_columns(found, as_, steps)})
        else:
            made = answer.encode({**head, "items": bar_rows(found.bars, as_, steps)})
        return packed.begin(made[:-1] + b",")

    said = repr((head, form, as_, steps)).encode()
    digest = hashlib.sha256(said)
    digest.update(found.bars.tobytes())
    first = service.cache.get_or_compute(f"begun:{digest.hexdigest()}", begun, alone=True)
    return packed.whole(first, answer.encode(facts)[1:])


def checked(interval: str) -> Interval:
    """An interval that is asked for. Raises `UsageError` for what is none, and for one too long."""
    parsed = Interval.parse(interval)
    if parsed.about_ns > INTERVAL_NS_MAX:
        raise UsageError(
            "interval_invalid", f"{interval!r} is longer than ten years", hint="ask for a shorter one"
        )
    return parsed


def chunk(
    service: Platform,
    instrument: str,
    interval: str,
    start: int | None,
    end: int | None,
    as_: TimeFormat,
    request_id: str,
    adjusting: Adjusting = (),
    told: Sequence[Fact] = (),
) -> bytes:
    """The newest `CHUNK` bars before `end` that do not begin before `start`, as packed JSON columns; `before`
    is the end to ask for the chunk of older ones with, null where there is none."""
    service.accessed.note(instrument, "bars")
    steps = steps_of(service, instrument, interval, adjusting, told)
    found = service.view.call(lambda live: live.bars(instrument, interval, None, end, CHUNK))
    more = found.more
    if start is not None:
        late = found.bars["start"] >= start
        more = more and bool(late.all())
        found = replace(found, bars=found.bars[late], current=found.current[found.current["start"] >= start])
    shown = found.bars if len(found.bars) else found.current
    before = int(shown["start"][0]) if more and len(shown) else None
    facts = {
        **facts_of(found, as_), "current": _current(found, as_, steps),
        "settling": min(found.settling, len(found.bars)),
        "before": None if before is None else str(before), "request_id": request_id,
    }  # fmt: skip
    head = {"instrument": instrument, "interval": interval}
    return _packed(service, found, head, facts, "columns", as_, steps)


def _bar_columns(found: BarSeries, as_: TimeFormat, steps: Sequence[Step] = ()) -> dict[str, Any]:
    columns: dict[str, Any] = dict(found.floats())
    if steps:
        adjusted.floats(columns, found.bars["start"], steps)
    columns["ts"] = times(columns["ts"], as_)
    return columns


def _current(found: BarSeries, as_: TimeFormat, steps: Sequence[Step] = ()) -> dict[str, Any] | None:
    if not len(found.current):
        return None
    columns = BarSeries(
        found.instrument, found.interval, found.current, found.bars[:0], None, [], False
    ).floats()
    if steps:
        adjusted.floats(columns, found.current["start"], steps)
    row = {name: values[0].item() for name, values in columns.items() if name != "revision"}
    return {**row, "ts": instant.show(row["ts"], as_)}


def bar_rows(found: Bars, as_: TimeFormat, steps: Sequence[Step] = ()) -> list[dict[str, Any]]:
    """Bars as they leave in rows."""
    if steps:
        written = adjusted.texts(found, steps)
        texts, amounts = [written[name] for name in _PRICES], written["volume"]
    else:
        texts = [wire.texts(found[name], found["price_scale"]) for name in _PRICES]
        scales = found["size_scale"].tolist()
        amounts = [wire.text(v, s) for v, s in zip(volumes(found), scales, strict=True)]
    ts = times(found["start"], as_)
    counts, revisions = found["trades"].tolist(), found["revision"].tolist()
    names = ("ts", *_PRICES, "volume", "trades", "revision")
    return [
        dict(zip(names, row, strict=True)) for row in zip(ts, *texts, amounts, counts, revisions, strict=True)
    ]


def _bar_table(found: Bars, steps: Sequence[Step] = ()) -> pa.Table:
    if steps:
        numbers = {
            name: _decimals(mantissas, np.array(scales, np.int64))
            for name, (mantissas, scales) in adjusted.exact(found, steps).items()
        }
    else:
        numbers = {name: _decimals(found[name], found["price_scale"]) for name in _PRICES}
        numbers["volume"] = _decimals(_volumes(found), found["size_scale"])
    return pa.table(
        {
            "ts": pa.array(found["start"].copy(), pa.timestamp("ns", "UTC")),
            **numbers,
            "trades": pa.array(found["trades"].astype(np.int64)),
            "revision": pa.array(found["revision"].astype(np.int32)),
        }
    )


def _volumes(found: Bars) -> npt.NDArray[np.int64] | list[int]:
    """Volume mantissas; as an array where 64 bits hold them all."""
    low = found["volume_low"].view(np.int64)
    return low if (found["volume_high"] == low >> 63).all() else volumes(found)


# ── trades and quotes ─────────────────────────────────────────────────────────────────────────────


def trades(service: Platform, asked: Asked) -> Response:
    """Trades, ascending by (ts_event, epoch, sequence)."""
    return _ticks(service, asked, "trades")


def quotes(service: Platform, asked: Asked) -> Response:
    """Best bids and offers, one row per update."""
    return _ticks(service, asked, "quotes")


def _ticks(service: Platform, asked: Asked, kind: str) -> Response:
    instrument = service.view.resolve(asked.symbol)
    service.accessed.note(instrument, kind)
    filters = (instrument, asked.start, asked.end)
    edge = cursor.read(service.keeper, kind, filters, asked.cursor)
    key = (int(edge[0]), int(edge[1]), int(edge[2])) if edge is not None else None
    forward = asked.start is not None
    # A quote is two rows; one more than two of each makes sure that no whole one is cut.
    limit = asked.limit if kind == "trades" else 2 * asked.limit + 1
    where: dict[str, Key | None] = {"beyond" if forward else "before": key}
    found: Ticks = service.view.call(
        lambda live: getattr(live, kind)(instrument, asked.start, asked.end, limit, **where)
    )
    if kind == "trades":
        table, keys, more = _trade_table(found.rows), _keys(found.rows), found.more
    else:
        table, keys, more = _quote_table(found.rows, asked.limit, forward, found.more)
    facts = facts_of(found, asked.time)
    facts["next"] = None
    if more and len(keys):
        facts["next"] = cursor.make(service.keeper, kind, filters, list(keys[-1 if forward else 0]))
    head = {"instrument": instrument}
    if asked.format == "rows":
        return answer.json({**head, "items": _rows(table, asked.time), **facts})
    if asked.format == "columns":
        return answer.json({**head, "columns": _columns(table, asked.time), **facts})
    return _file(table, asked, {**head, **facts}, f"{instrument}-{kind}")


def _keys(rows: pa.Table) -> list[Key]:
    columns = [rows[name].to_pylist() for name in ("ts_event", "epoch", "sequence")]
    return list(zip(*columns, strict=True))


def _trade_table(rows: pa.Table) -> pa.Table:
    return pa.table(
        {
            **_positions(rows),
            "price": _decimals(_ints(rows, "price"), _ints(rows, "price_scale")),
            "size": _decimals(_ints(rows, "size"), _ints(rows, "size_scale")),
            "aggressor": rows["aggressor"].cast(pa.string()),
            "id": rows["id"],
        }
    )


def _quote_table(rows: pa.Table, limit: int, forward: bool, more: bool) -> tuple[pa.Table, list[Key], bool]:
    """Sides joined to updates; which of them fit; whether there are more."""
    sides = rows["side"].to_pylist()
    epochs, sequences = rows["epoch"].to_pylist(), rows["sequence"].to_pylist()
    pairs: list[tuple[int | None, int | None]] = []
    at = 0
    while at < len(sides):
        joined = (
            sides[at] == "bid"
            and at + 1 < len(sides)
            and sides[at + 1] == "ask"
            and (epochs[at + 1], sequences[at + 1]) == (epochs[at], sequences[at] + 1)
        )
        pairs.append((at, at + 1) if joined else ((at, None) if sides[at] == "bid" else (None, at)))
        at += 2 if joined else 1
    if more and pairs and None in pairs[-1 if forward else 0]:
        pairs.pop(-1 if forward else 0)  # its other half is beyond the edge: the next page has both
    if len(pairs) > limit:
        pairs, more = (pairs[:limit] if forward else pairs[-limit:]), True
    first = [bid if bid is not None else ask for bid, ask in pairs]
    lead = rows.take(pa.array(first, pa.int64()))
    columns: dict[str, Any] = _positions(lead)
    for side, picks in (("bid", [bid for bid, _ in pairs]), ("ask", [ask for _, ask in pairs])):
        taken = rows.take(pa.array(picks, pa.int64()))
        absent = np.array([pick is None for pick in picks], bool)
        for name in ("price", "size"):
            values, scales = _ints(taken, name), _ints(taken, f"{name}_scale")
            columns[f"{side}_{name}"] = _decimals(values, scales, absent)
    last = [ask if ask is not None else bid for bid, ask in pairs] if forward else first
    return pa.table(columns), _keys(rows.take(pa.array(last, pa.int64()))), more


def _positions(rows: pa.Table) -> dict[str, Any]:
    return {
        "epoch": rows["epoch"],
        "sequence": rows["sequence"],
        "ts_event": rows["ts_event"].cast(pa.timestamp("ns", "UTC")),
        "ts_recv": rows["ts_recv"].cast(pa.timestamp("ns", "UTC")),
    }


# ── books ─────────────────────────────────────────────────────────────────────────────────────────


def book(service: Platform, symbol: str, at: int | None, depth: int, as_: TimeFormat) -> Response:
    """The book now, or as it was when the record that arrived last before `at` had come."""
    instrument = service.view.resolve(symbol)
    found = service.view.call(lambda live: live.book(instrument, at, depth))
    known = found.sequence > 0
    return answer.json(
        {
            "instrument": instrument,
            "epoch": found.epoch if known else None,
            "sequence": found.sequence if known else None,
            "ts_event": instant.show(found.ts_event, as_) if known else None,
            "ts_recv": instant.show(found.ts_recv, as_) if known else None,
            "valid": found.valid,
            "bids": found.bids,
            "asks": found.asks,
        }
    )


# ── what they share ───────────────────────────────────────────────────────────────────────────────


def show_gap(found: Gap, as_: TimeFormat) -> dict[str, Any]:
    """A gap as a series shows it: in the venue's time."""
    end = found.ts_event_end or found.ended_at
    return {
        "channel": found.channel,
        "cause": found.cause,
        "start": instant.show(found.ts_event_open or found.opened_at, as_),
        "end": instant.show(end, as_),
        "missing": found.missing,
        "state": found.state,
    }


def facts_of(found: BarSeries | Ticks, as_: TimeFormat) -> dict[str, Any]:
    """What an answer says of its rows: how far they reach, and whether they are known to be whole."""
    through = None
    if found.through is not None:
        through = {"epoch": found.through[0], "sequence": found.through[1]}
    return {
        "through": through,
        "complete": found.complete,
        "gaps": [show_gap(one, as_) for one in found.gaps],
    }


def _rows(table: pa.Table, as_: TimeFormat) -> list[dict[str, Any]]:
    columns: list[list[Any]] = []
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            columns.append(times(column.cast(pa.int64()).to_numpy(), as_))
        elif pa.types.is_decimal(column.type):
            # str() would write 1E-8.
            columns.append([None if value is None else format(value, "f") for value in column.to_pylist()])
        elif name == "id":
            columns.append([None if value is None else str(value) for value in column.to_pylist()])
        else:
            columns.append(column.to_pylist())
    names = table.column_names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _columns(table: pa.Table, as_: TimeFormat) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            columns[name] = times(column.cast(pa.int64()).to_numpy(), as_)
        elif pa.types.is_decimal(column.type):
            columns[name] = [None if value is None else float(value) for value in column.to_pylist()]
        elif name == "id":
            columns[name] = [None if value is None else str(value) for value in column.to_pylist()]
        else:
            columns[name] = column.to_pylist()
    return columns


def _decimals(
    mantissas: npt.NDArray[np.int64] | Sequence[int],
    scales: npt.NDArray[Any],
    absent: npt.NDArray[np.bool_] | None = None,
) -> pa.Array:
    """Exact numbers as one Arrow decimal column, of the largest scale among them."""
    places = int(scales.max()) if len(scales) else 0
    if isinstance(mantissas, np.ndarray) and (scales == places).all():
        halves = np.empty((len(mantissas), 2), "<i8")
        halves[:, 0], halves[:, 1] = mantissas, mantissas >> 63
        raw = halves.tobytes()
    else:
        raw = b"".join(
            (value * 10 ** (places - scale)).to_bytes(16, "little", signed=True)
            for value, scale in zip(list(map(int, mantissas)), scales.tolist(), strict=True)
        )
    validity = None
    if absent is not None and absent.any():
        validity = pa.py_buffer(np.packbits(~absent, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.decimal128(38, places), len(scales), [validity, pa.py_buffer(raw)])


def floats_file(
    starts: npt.NDArray[np.int64],
    columns: Mapping[str, npt.NDArray[np.float64]],
    asked: Asked,
    facts: Mapping[str, Any],
    name: str,
) -> Response:
    """Columns of floats as a file; NaN is a hole."""
    table = pa.table(
        {
            "ts": pa.array(starts.copy(), pa.timestamp("ns", "UTC")),
            **{label: pa.array(values, pa.float64(), from_pandas=True) for label, values in columns.items()},
        }
    )
    return _file(table, asked, facts, name)


def _file(table: pa.Table, asked: Asked, facts: Mapping[str, Any], name: str) -> Response:
    """A table as Arrow stream, CSV or Parquet; `facts` travel in its schema and in a header.

    CSV writes times as JSON does; Arrow and Parquet have a type of their own for them.
    """
    said = json.dumps(facts, ensure_ascii=True)
    table = table.replace_schema_metadata({"tidemill": said})
    sink = io.BytesIO()
    if asked.format == "arrow":
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif asked.format == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, sink, compression="zstd")
    else:
        from pyarrow import csv

        csv.write_csv(_timed(table, asked.time), sink)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{asked.format}"'}
    if len(said) < 4096:  # many gaps do not fit a header; they are in the schema, and in JSON
        headers["X-Tidemill-Facts"] = said
    return Response(sink.getvalue(), headers=headers, media_type=MEDIA[asked.format])


def _timed(table: pa.Table, as_: TimeFormat) -> pa.Table:
    """A table with its times as nanoseconds, or as ISO 8601 text."""
    for at, column in enumerate(table.columns):
        if pa.types.is_timestamp(column.type):
            ns = column.cast(pa.int64())
            shown = pa.array(times(ns.to_numpy(), as_), pa.string()) if as_ == "iso" else ns
            table = table.set_column(at, table.column_names[at], shown)
    return table


def times(values: npt.NDArray[np.int64], as_: TimeFormat) -> list[str]:
    """Times as they leave in JSON."""
    listed = values.tolist()
    return list(map(time.iso if as_ == "iso" else str, listed))


def _ints(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    column: npt.NDArray[np.int64] = rows[name].fill_null(0).to_numpy().astype(np.int64)
    return column
