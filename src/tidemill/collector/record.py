"""Trades of a provider as records of a journal, and back.

What does not fit a trade's own 48 bytes, an id that is no number, conditions and exchange, follows it as the
text of detail records, as it does a streamed trade (`docs/wire.md`).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from tidemill import wire
from tidemill.providers.api import TradeColumns
from tidemill.providers.poll import Row, code

DETAIL_BYTES = 24
_FIRST = wire.RECORD_BYTES - DETAIL_BYTES
MESSAGE_RECORDS_MAX = 4096
"""Of one append, but for a single trade: it is one frame of the journal, there whole or not at all."""

CHANNEL_TRADES = wire.CHANNELS.index("trades")
DISCONNECT = wire.CAUSES.index("disconnect")


def status(number: int, code: str, connection: int, now: int) -> wire.Records:
    """One record that says how the trades of an instrument are; number 0 is the whole venue."""
    one = np.zeros(1, wire.RECORD)
    one["kind"], one["flags"], one["instrument"] = wire.KIND_STATUS, wire.FLAG_NO_VENUE_TIME, number
    one["price_scale"] = CHANNEL_TRADES if number else 0
    one["ts_event"], one["ts_recv"], one["price"] = now, now, connection
    one["id"] = wire.STATUSES.index(code)
    return one


def clock_step(step: int, now: int) -> wire.Records:
    """One record that says by how many nanoseconds our clock was set."""
    one = status(0, "clock_step", 0, now)
    one["size"] = step
    return one


def gap(number: int, ts_event: int, now: int, opened: int | None = None) -> wire.Records:
    """The opening of a hole in an instrument's trades, or its end with the sequence of the opening."""
    one = np.zeros(1, wire.RECORD)
    one["kind"], one["flags"], one["instrument"] = wire.KIND_GAP, 1 if opened is None else 2, number
    one["price_scale"], one["size_scale"] = CHANNEL_TRADES, DISCONNECT
    one["ts_event"], one["ts_recv"], one["price"], one["size"] = ts_event, now, -1, -1
    one["id"] = opened or 0
    return one


def messages(found: TradeColumns, number: int, now: int) -> Iterator[wire.Records]:
    """The trades of one answer, each followed by its details, in arrays to be appended one by one."""
    details = list(_details(found))
    lengths = np.array([1 + -(-len(text) // DETAIL_BYTES) for text in details], np.int64)
    ends = np.cumsum(lengths)
    begin = 0
    while begin < len(found):
        before = int(ends[begin] - lengths[begin])
        end = max(begin + 1, int(np.searchsorted(ends, before + MESSAGE_RECORDS_MAX, "right")))
        at = ends[begin:end] - lengths[begin:end] - before
        records = np.zeros(int(ends[end - 1]) - before, wire.RECORD)
        records["instrument"] = number
        records["ts_event"], records["ts_recv"] = (
            np.repeat(found.ts_event[begin:end], lengths[begin:end]),
            now,
        )
        _fill(records, at, found, slice(begin, end))
        raw = records.view(np.uint8).reshape(-1, wire.RECORD_BYTES)
        for place, text in zip(at.tolist(), details[begin:end], strict=True):
            for piece in range(0, len(text), DETAIL_BYTES):
                row = place + 1 + piece // DETAIL_BYTES
                records["kind"][row] = wire.KIND_DETAIL
                part = text[piece : piece + DETAIL_BYTES]
                raw[row, _FIRST : _FIRST + len(part)] = np.frombuffer(part, np.uint8)
        records["flags"][-1] |= wire.FLAG_LAST
        yield records
        begin = end


def _fill(records: wire.Records, at: Any, found: TradeColumns, part: slice) -> None:
    """The trades themselves, at these places."""
    numbered = found.id[part] >= 0
    flags = found.aggressor[part].astype(np.uint8) & wire.FLAG_SIDE
    flags |= np.where(numbered, wire.FLAG_HAS_ID, 0).astype(np.uint8)
    flags |= np.where(found.irregular[part], wire.FLAG_IRREGULAR, 0).astype(np.uint8)
    columns = {
        "kind": wire.KIND_TRADE, "flags": flags, "price_scale": found.price_scale,
        "size_scale": found.size_scale, "price": found.price[part],
        "size": found.size[part], "id": np.where(numbered, found.id[part], 0).astype(np.uint64),
    }  # fmt: skip
    for name, values in columns.items():
        records[name][at] = values


def _details(found: TradeColumns) -> Iterator[bytes]:
    for at in range(len(found)):
        texts = (found.exchange, found.conditions, found.text_id)
        yield "|".join(code(some[at]) if some else "" for some in texts).rstrip("|").encode()


def rows(records: wire.Records) -> Iterator[Row]:
    """What makes each of these trades the same one. The records are of one instrument, in order, with the
    details of its trades among them."""
    kinds = records["kind"].tolist()
    raw = np.ascontiguousarray(records).view(np.uint8).reshape(-1, wire.RECORD_BYTES)
    for at in np.flatnonzero(records["kind"] == wire.KIND_TRADE).tolist():
        end = at + 1
        while end < len(kinds) and kinds[end] == wire.KIND_DETAIL:
            end += 1
        exchange, _, id_, *_ = [*_text(raw[at + 1 : end, _FIRST:].tobytes()).split("|"), "", ""]
        one = records[at]
        has_id = int(one["flags"]) & wire.FLAG_HAS_ID
        yield (
            int(one["ts_event"]),
            int(one["id"]) if has_id else id_ or -1,
            exchange,
            Decimal(int(one["price"])).scaleb(-int(one["price_scale"])),
            Decimal(int(one["size"])).scaleb(-int(one["size_scale"])),
        )


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode(errors="replace")
