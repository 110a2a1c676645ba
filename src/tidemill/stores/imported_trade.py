"""Trades that came no live way, as rows: each once, whatever brought it first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill import wire
from tidemill.model.bar import BAR, Bars
from tidemill.model.instrument import venue_of
from tidemill.model.interval import SECOND
from tidemill.stores.api import Query, Store
from tidemill.stores.table import DETAILS, TRADES, records_of, rows_of

if TYPE_CHECKING:
    from tidemill.providers.api import TradeColumns
    from tidemill.stores.imported import Part

_MS = 1_000_000
_SLACK_NS = SECOND
"""A venue's stream and its history may round the time of a trade differently."""
_HELD = ("ts_event", "epoch", "sequence", "source", "id", "price", "price_scale")


def rows(
    instrument: str, columns: TradeColumns, source: str, ts_recv: int, delay_ns: int
) -> tuple[pa.Table, pa.Table, tuple[wire.Records, npt.NDArray[np.uint64]]]:
    """Rows of trades and of their details, and the regular ones as records with their sequences.

    A trade that comes twice within the chunk is one. Its `sequence` is its place among those of its
    nanosecond, from 1: the same wherever the chunk begins.
    """
    chosen = _once(columns)
    columns = _taken(columns, chosen)
    records = np.zeros(len(columns), wire.RECORD)
    records["kind"] = wire.KIND_TRADE
    records["instrument"] = 1
    records["price_scale"], records["size_scale"] = columns.price_scale, columns.size_scale
    records["ts_event"], records["ts_recv"] = columns.ts_event, ts_recv
    records["price"], records["size"] = columns.price, columns.size
    numbered = columns.id >= 0
    records["id"] = np.where(numbered, columns.id, 0).astype(np.uint64)
    records["flags"] = (
        (columns.aggressor.astype(np.uint8) & wire.FLAG_SIDE)
        | wire.FLAG_BACKFILLED
        | np.where(numbered, wire.FLAG_HAS_ID, 0).astype(np.uint8)
        | np.where(columns.irregular, wire.FLAG_IRREGULAR, 0).astype(np.uint8)
    )
    sequences = _places(columns.ts_event)
    venue = venue_of(instrument)
    found = rows_of(TRADES, records, sequences, 0, venue, lambda _: instrument, source).cast(TRADES.schema)
    at = found.schema.get_field_index("ts_known")
    found = found.set_column(at, "ts_known", pa.array(columns.ts_event + delay_ns, pa.int64()))
    regular = ~columns.irregular
    return found, _details(found, columns), (records[regular], sequences[regular].astype(np.uint64))


def _once(columns: TradeColumns) -> npt.NDArray[np.int64]:
    """Places of the trades, each once: by id, and where ids may be an exchange's own by what they say too."""
    if columns.exchange or columns.text_id:
        texts = columns.text_id or ("",) * len(columns)
        places = columns.exchange or ("",) * len(columns)
        seen: set[tuple[object, ...]] = set()
        kept = []
        for at, key in enumerate(
            zip(
                columns.id.tolist(),
                texts,
                places,
                columns.ts_event.tolist(),
                columns.price.tolist(),
                strict=True,
            )
        ):
            named = key[0] >= 0 or key[1]
            if not named or key not in seen:
                kept.append(at)
            seen.add(key)
        return np.array(kept, np.int64)
    numbered = np.flatnonzero(columns.id >= 0)
    first = numbered[np.unique(columns.id[numbered], return_index=True)[1]]
    return np.sort(np.concatenate([first, np.flatnonzero(columns.id < 0)]))


def _taken(columns: TradeColumns, at: npt.NDArray[np.int64]) -> TradeColumns:
    if len(at) == len(columns):
        return columns
    arrays: dict[str, Any] = {
        name: getattr(columns, name)[at]
        for name in ("ts_event", "price", "size", "aggressor", "id", "irregular")
    }
    texts: dict[str, Any] = {
        name: tuple(values[one] for one in at.tolist()) if (values := getattr(columns, name)) else ()
        for name in ("text_id", "conditions", "exchange")
    }
    return replace(columns, **arrays, **texts)


def _places(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of each trade its place among those of the same time, from 1, in the order they came."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(times) else order
    lengths = np.diff(np.append(begins, len(times)))
    places = np.empty(len(times), np.int64)
    places[order] = np.arange(len(times)) - np.repeat(begins, lengths) + 1
    return places


def _details(trades: pa.Table, columns: TradeColumns) -> pa.Table:
    """A row for each trade of which more is known: JSON, as `docs/lake.md` says."""
    given = {"conditions": columns.conditions, "exchange": columns.exchange, "id": columns.text_id}
    given = {name: values for name, values in given.items() if values}
    said = [
        {name: text for name, text in zip(given, line, strict=True) if text}
        for line in zip(*given.values(), strict=True)
    ]
    chosen = [at for at, line in enumerate(said) if line]
    if not chosen:
        return DETAILS.empty()
    mine = trades.take(pa.array(chosen))
    payload = [json.dumps(said[at], separators=(",", ":"), sort_keys=True).encode() for at in chosen]
    extra = {
        "kind": pa.array(np.full(len(mine), wire.KIND_DETAIL, np.int8)),
        "payload": pa.array(payload, pa.binary()),
        "flags": pa.array(np.full(len(mine), wire.FLAG_BACKFILLED, np.int16)),
    }
    found = {name: extra[name] if name in extra else mine[name] for name in DETAILS.schema.names}
    return pa.table(found).cast(DETAILS.schema)


# ── bars ──────────────────────────────────────────────────────────────────────────────────────────


def bars(records: wire.Records, sequences: npt.NDArray[np.uint64], *, ts_recv: int, delay_ns: int) -> Bars:
    """One-second bars of regular trades."""
    from tidemill import _native

    if not len(records):
        return np.zeros(0, BAR)
    order = np.lexsort((sequences, records["ts_event"]))
    made = np.frombuffer(
        _native.bars_of_trades(
            np.ascontiguousarray(records[order]), np.ascontiguousarray(sequences[order]), "1s"
        ),
        BAR,
    ).copy()
    made["interval"], made["sequence"], made["revision"] = 0, 0, 0
    made["ts_recv"], made["ts_known"] = ts_recv, made["end"] + delay_ns
    return made


def bars_held(store: Store, instrument: str, start: int, end: int, ts_recv: int, delay_ns: int) -> Bars:
    """One-second bars of all regular trades that are kept of a span."""
    found = store.read(TRADES, Query(instruments=(instrument,), start=start, end=end))
    regular = found.filter(pa.array(found["flags"].to_numpy() & wire.FLAG_IRREGULAR == 0))
    if not len(regular):
        return np.zeros(0, BAR)
    records = records_of(TRADES, regular, lambda _: 1)
    sequences = regular["sequence"].to_numpy().astype(np.uint64)
    return bars(records, sequences, ts_recv=ts_recv, delay_ns=delay_ns)


# ── what is held ──────────────────────────────────────────────────────────────────────────────────


def without_held(store: Store, parts: Sequence[Part]) -> list[Part]:
    """The same chunks without the trades that are in the store, or in a chunk before them."""
    found: list[Part] = []
    earlier: dict[str, list[pa.Table]] = {}
    for part in parts:
        before = earlier.setdefault(part.instrument, [])
        low = pc.min(part.trades["ts_event"]).as_py() - _SLACK_NS
        high = pc.max(part.trades["ts_event"]).as_py() + _SLACK_NS + 1
        query = Query(instruments=(part.instrument,), start=low, end=high, columns=_HELD)
        there = pa.concat_tables([store.read(TRADES, query), *before])
        before.append(part.trades.select(_HELD))
        if not len(there):
            found.append(part)
            continue
        new = _unheld(part.trades, there, part.source, scoped=_scoped(part.details))
        new &= ~_told_live(store, part, there)
        trades = part.trades.filter(pa.array(new))
        details = part.details
        if len(details) and len(trades) < len(part.trades):
            keys = ["ts_event", "sequence"]
            wanted = details.append_column("_at", pa.array(np.arange(len(details))))
            kept = wanted.join(trades.select(keys), keys, join_type="left semi")["_at"].to_numpy()
            details = details.take(pa.array(np.sort(kept)))
        found.append(replace(part, trades=trades, details=details))
    return found


def _told_live(store: Store, part: Part, there: pa.Table) -> npt.NDArray[np.bool_]:
    """Which trades that have a text for an id were told live: by exchange, id, price and nearly the time."""
    found = np.zeros(len(part.trades), bool)
    live = there.filter(pc.greater(there["epoch"], 0))
    mine = _named(part.details)
    if not mine or not len(live):
        return found
    low, high = pc.min(live["ts_event"]).as_py(), pc.max(live["ts_event"]).as_py() + 1
    query = Query(instruments=(part.instrument,), start=low, end=high)
    details = store.read(DETAILS, query)
    details = details.filter(
        pc.and_(pc.greater(details["epoch"], 0), pc.equal(details["kind"], wire.KIND_DETAIL))
    )
    places = zip(details["epoch"].to_pylist(), details["sequence"].to_pylist(), strict=True)
    said = dict(zip(places, details["payload"].to_pylist(), strict=True))
    told: dict[tuple[str, str, int, int], list[int]] = {}
    for epoch, sequence, ts, *price in _lines(live, "epoch", "sequence", "ts_event", "price", "price_scale"):
        payloads, at = [], sequence + 1
        while (payload := said.get((epoch, at))) is not None:
            payloads.append(payload)
            at += 1
        exchange, _, text, *_ = [*wire.detail_text(payloads).split("|"), "", "", ""]
        if text:
            told.setdefault((exchange, text, *_plain(*price)), []).append(ts)
    for at, (ts, sequence, *price) in enumerate(
        _lines(part.trades, "ts_event", "sequence", "price", "price_scale")
    ):
        key = (*mine.get((ts, sequence), ("", "")), *_plain(*price))
        found[at] = any(abs(other - ts) <= _SLACK_NS for other in told.get(key, ()))
    return found


def _named(details: pa.Table) -> dict[tuple[int, int], tuple[str, str]]:
    """Exchange and id of the trades that have a text for an id, by time and place."""
    found = {}
    for ts, sequence, payload in _lines(details, "ts_event", "sequence", "payload"):
        said = json.loads(payload)
        if said.get("id"):
            found[ts, sequence] = (said.get("exchange", ""), said["id"])
    return found


def _lines(rows: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)


def _plain(price: int, scale: int) -> tuple[int, int]:
    """The same price without zeros at its end."""
    while price and scale > 0 and price % 10 == 0:
        price, scale = price // 10, scale - 1
    return price, scale


def _scoped(details: pa.Table) -> bool:
    """Are ids perhaps one exchange's own? They are compared with time and price then."""
    return any(b'"exchange"' in payload for payload in details["payload"].to_pylist())


def _unheld(trades: pa.Table, there: pa.Table, source: str, *, scoped: bool) -> npt.NDArray[np.bool_]:
    """Which trades are not `there`."""
    new = np.ones(len(trades), bool)
    numbered = trades["id"].is_valid().to_numpy()
    theirs = there["id"].is_valid().to_numpy()
    keys = [
        _keys(rows.filter(pa.array(mask)), scoped) for rows, mask in ((trades, numbered), (there, theirs))
    ]
    new[np.flatnonzero(numbered)] = _absent(*keys)
    # Without an id a trade is its place in time, and only its own source counts the same way.
    mine = ~theirs & (there["epoch"].to_numpy() == 0) & pc.equal(there["source"], source).to_numpy()
    names = ["ts_event", "sequence"]
    plain = trades.filter(pa.array(~numbered)).select(names)
    new[np.flatnonzero(~numbered)] = _absent(plain, there.filter(pa.array(mine)).select(names))
    return new


def _keys(rows: pa.Table, scoped: bool) -> pa.Table:
    if not scoped:
        return rows.select(["id"])
    price, scale = rows["price"].to_numpy().copy(), rows["price_scale"].to_numpy().copy()
    while (spare := (scale > 0) & (price % 10 == 0) & (price != 0)).any():
        price[spare] //= 10
        scale[spare] -= 1
    scale[price == 0] = 0
    moments = rows["ts_event"].to_numpy() // _MS
    return pa.table({"id": rows["id"], "ms": moments, "price": price, "scale": scale})


def _absent(rows: pa.Table, there: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows are not there, by all of their columns."""
    absent = np.zeros(len(rows), bool)
    names = rows.column_names
    left = rows.append_column("_at", pa.array(np.arange(len(rows))))
    absent[left.join(there, names, join_type="left anti")["_at"].to_numpy()] = True
    return absent
