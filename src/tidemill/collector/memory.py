"""What a collector must know of its own past: read back from the tail of its journal.

A note beside it says how far each symbol had got in quiet times, and where the tail begins. It may be lost:
then the whole journal is read, and a symbol goes on behind its last trade.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tidemill import _native, wire
from tidemill.collector import record
from tidemill.home import Home
from tidemill.providers.poll import Row

Position = tuple[int, int]
READ_RECORDS = 1 << 16


@dataclass
class Past:
    """One instrument, as the journal has it."""

    reached: int | None = None
    """ns UTC: the time before it was given."""
    rows: list[Row] = field(default_factory=list)
    """Trades from `again_ns` before that on."""
    gap: Position | None = None
    """Where a hole opens that has not ended."""


@dataclass(frozen=True)
class Note:
    """Where a collector stood."""

    sequence: int
    """The next one then: a journal that ends before it has lost its tail, and then this note says nothing."""
    position: Position
    """The first record that must be read to go on."""
    reached: Mapping[str, int]
    """ns UTC by instrument."""

    def write(self, path: Path) -> None:
        """Whole or not at all. Raises OSError."""
        path.parent.mkdir(exist_ok=True, mode=0o700)
        said = {"sequence": self.sequence, "position": self.position, "reached": dict(self.reached)}
        written = path.with_suffix(".new")
        written.write_text(json.dumps(said))
        written.replace(path)

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """None where there is none that can be read."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            said = json.loads(path.read_text())
            epoch, first = said["position"]
            reached = {str(name): int(ts) for name, ts in said["reached"].items()}
            return cls(int(said["sequence"]), (int(epoch), int(first)), reached)
        return None


def note_path(home: Home, venue: str) -> Path:
    return home.run / "poll" / f"{venue}.json"


def recall(
    home: Home, venue: str, instruments: Mapping[int, str], again_ns: int
) -> tuple[dict[int, Past], Position]:
    """The past of these instruments by number, and the position from which on it was read. Called while the
    journal is held, so that nobody writes on."""
    reader = _native.JournalReader(os.fspath(home.path), venue)
    if not instruments:
        return {}, reader.newest()
    newest, note = reader.newest(), Note.read(note_path(home, venue))
    if note is not None and note.sequence > newest[1]:
        note = None
    position = reader.oldest()
    # Of an instrument that the note does not know, the journal may have trades that lie before.
    if note is not None and note.reached.keys() >= set(instruments.values()):
        position = max(position, note.position)
    reader.seek(position)
    past = {number: Past() for number in instruments}
    kept: dict[int, list[wire.Records]] = {number: [] for number in instruments}
    for number, name in instruments.items():
        if note is not None:
            past[number].reached = note.reached.get(name)
    while (batch := reader.read(READ_RECORDS, 0)) is not None:
        records = wire.view(batch)
        for number, one in past.items():
            mine = records[records["instrument"] == number]
            trades = mine[mine["kind"] == wire.KIND_TRADE]
            if len(trades):
                one.reached = max(one.reached or 0, int(trades["ts_event"].max()))
            told = mine[np.isin(mine["kind"], (wire.KIND_TRADE, wire.KIND_DETAIL))]
            kept[number].append(told[told["ts_event"] >= (one.reached or 0) - again_ns].copy())
        for at in np.flatnonzero(
            (records["kind"] == wire.KIND_GAP) & (records["price_scale"] == record.CHANNEL_TRADES)
        ).tolist():
            found = past.get(int(records["instrument"][at]))
            if found is not None:
                opens = int(records["flags"][at]) & wire.FLAG_SIDE == 1
                found.gap = (batch.epoch, batch.sequence + at) if opens else None
    for number, one in past.items():
        if one.reached is not None:
            parts = kept[number] or [np.zeros(0, wire.RECORD)]
            told = np.concatenate(parts)
            one.rows = list(record.rows(told[told["ts_event"] >= one.reached - again_ns]))
    return past, position
