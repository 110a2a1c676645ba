"""Gaps as things with two ends, from the records that open and end them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill import wire
from tidemill.model.gap import Gap
from tidemill.model.interval import DAY
from tidemill.stores.api import Position
from tidemill.stores.source import Hole
from tidemill.stores.table import GAPS, LIVE


def hole_row(venue: str, hole: Hole, ts: int) -> pa.Table:
    """A hole of the journal as a row of the gaps table; `ts` is when the newest record before it arrived."""
    line = {
        "venue": venue,
        "date": ts // DAY,
        "instrument": "",
        "source": LIVE,
        "epoch": hole.epoch,
        "sequence": hole.first,
        "ts_event": ts,
        "ts_recv": ts,
        "ts_known": ts,
        "channel": "all",
        "cause": hole.cause,
        "edge": "journal",
        "opened": hole.first,
        "venue_sequence": -1,
        "missing": hole.end - hole.first,
        "flags": 0,
    }
    columns: dict[str, pa.Array] = {}
    for column in GAPS.schema:
        if pa.types.is_date(column.type):
            columns[column.name] = pa.array([line[column.name]], pa.int32()).cast(column.type)
        else:
            made = pa.array([line[column.name]], column.type)
            # Names are dictionaries in rows made from records, and must be here to go with them.
            columns[column.name] = made.dictionary_encode() if pa.types.is_string(column.type) else made
    return pa.table(columns)


def hole_record(ts: int) -> wire.Records:
    """What a hole of the journal does to every book, as a record, shape (1,): the opening of a gap of the
    whole venue. Books are valid again from their next snapshot on."""
    record = np.zeros(1, wire.RECORD)
    record["kind"], record["flags"] = wire.KIND_GAP, wire.FLAG_BUY
    record["ts_event"] = record["ts_recv"] = ts
    return record


def _ended(channel: str, missing: int) -> str:
    """What is known of the missing data when a gap ends: a venue that repeated everything left no hole;
    trades can be had from its history; of past books and quotes it keeps none."""
    if missing == 0:
        return "filled"
    return "unfillable" if channel in ("book", "quotes") else "open"


class Gaps:
    """The gaps of one venue, from rows of the gaps table or from records, in order."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._found: dict[tuple[int, int, str | None, str], Gap] = {}
        self._opened_in: dict[tuple[int, str | None, str], int] = {}
        """The newest epoch that opened a gap at a sequence: after a power cut a sequence may come again."""

    def all(self) -> list[Gap]:
        """Every gap, by its opening."""
        return sorted(self._found.values(), key=lambda gap: (gap.epoch, gap.sequence))

    def rows(self, rows: pa.Table) -> None:
        """Takes in rows of the gaps table, in the order they were written: theirs there is the venue's clock,
        which may run back."""
        for line in sorted(rows.to_pylist(), key=lambda line: (line["epoch"], line["sequence"])):
            self._take(
                line["edge"], line["instrument"] or None, line["channel"], line["cause"],
                (line["epoch"], line["sequence"]), line["opened"],
                line["ts_event"], line["ts_recv"], line["missing"], line["venue_sequence"],
            )  # fmt: skip

    def records(self, records: wire.Records, epoch: int, sequence: int, name: Any) -> None:
        """Takes in those of `records` (dense from `sequence`) that are gaps. `name` names instruments."""
        for at in (records["kind"] == wire.KIND_GAP).nonzero()[0]:
            record = records[at]
            side = int(record["flags"]) & wire.FLAG_SIDE
            number = int(record["instrument"])
            here = sequence + int(at)
            self._take(
                {1: "open", 2: "end"}.get(side, "none"),
                name(number) if number else None,
                wire.name(wire.CHANNELS, int(record["price_scale"])),
                wire.name(wire.CAUSES, int(record["size_scale"])),
                (epoch, here), here if side == 1 else int(record["id"]),
                int(record["ts_event"]), int(record["ts_recv"]), int(record["size"]),
                int(record["price"]),
            )  # fmt: skip

    def hole(self, hole: Hole, ts: int) -> None:
        """Takes in records that the journal itself lost."""
        missing = hole.end - hole.first
        self._take("journal", None, "all", hole.cause, hole.position, hole.first, ts, ts, missing, -1)

    def _take(
        self,
        edge: str,
        instrument: str | None,
        channel: str,
        cause: str,
        at: Position,
        opened: int,
        ts_event: int,
        ts_recv: int,
        missing: int,
        venue_sequence: int,
    ) -> None:
        known = None if venue_sequence < 0 else venue_sequence
        opening = (opened, instrument, channel)
        epoch = self._opened_in.get(opening, at[0]) if edge == "end" else at[0]
        self._opened_in[opening] = epoch
        key = (epoch, *opening)
        if edge == "end":
            gap = self._found.get(key)
            # Without its opening, a record that the journal lost, the end alone says when it was over.
            gap = gap or Gap(
                self._venue, instrument, channel, cause, at[0], opened, ts_recv, None, ts_event, None, missing
            )
            self._found[key] = replace(
                gap, ended_at=ts_recv, ts_event_end=ts_event, missing=missing, venue_sequence_end=known,
                state=_ended(channel, missing),
            )  # fmt: skip
        elif edge == "open":
            if key not in self._found:
                self._found[key] = Gap(
                    self._venue, instrument, channel, cause, *at,
                    ts_recv, None, ts_event, None, missing, known,
                )  # fmt: skip
        elif edge == "journal":
            self._found[key] = Gap(
                self._venue, instrument, channel, cause, *at,
                ts_recv, ts_recv, ts_event, ts_event, missing, state="unfillable",
            )  # fmt: skip
