"""A home with a journal (and, where asked, a lake) whose content a test can compute itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from tidemill import _native, wire
from tidemill.home import Home
from tidemill.stores.join import stored_position
from tidemill.stores.lake import Lake

MINUTE = 60_000_000_000
START = 1_795_000_020_000_000_000 // MINUTE * MINUTE  # a whole minute in November 2026


@dataclass(repr=False)
class Venue:
    """One venue's journal, and every record that went into it."""

    home: Home
    name: str
    writer: _native.JournalWriter
    numbers: dict[str, int] = field(default_factory=dict)
    records: list[tuple[int, np.void]] = field(default_factory=list)

    @classmethod
    def make(cls, home: Home, name: str, *instruments: str) -> Venue:
        venue = cls(home, name, _native.JournalWriter(str(home.path), name, "kraken"))
        for one in instruments:
            base, _, quote = one.partition("-")
            venue.numbers[one] = venue.writer.instrument(
                f"{one}.{name}", symbol=f"{base}/{quote}", base=base, quote=quote,
                tick="0.1", lot="0.00000001", price_scale=1, size_scale=8,
            )  # fmt: skip
        return venue

    def write(self, records: np.ndarray) -> int:
        first = self.writer.append(records)
        self.records += [(first + i, record) for i, record in enumerate(records)]
        return first

    def trades(self, instrument: str, count: int, start: int, step_ns: int, seed: int = 1) -> np.ndarray:
        """Random walk of `count` trades; several share a time, because venues do that."""
        random = np.random.default_rng(seed)
        records = np.zeros(count, wire.RECORD)
        records["kind"] = wire.KIND_TRADE
        records["flags"] = random.integers(1, 3, count) | wire.FLAG_HAS_ID | wire.FLAG_LAST
        records["instrument"] = self.numbers[instrument]
        records["price_scale"], records["size_scale"] = 1, 8
        records["ts_event"] = start + np.arange(count) // 3 * 3 * step_ns
        records["ts_recv"] = records["ts_event"] + 1_000_000
        records["price"] = 642_315 + np.cumsum(random.integers(-5, 6, count))
        records["size"] = random.integers(1, 10**9, count)
        records["id"] = np.arange(count) + seed * 1_000_000 + 2**53
        return records

    def quotes(self, instrument: str, count: int, start: int, step_ns: int) -> np.ndarray:
        records = np.zeros(2 * count, wire.RECORD)
        records["kind"] = wire.KIND_QUOTE
        records["flags"] = np.tile([wire.FLAG_BUY, wire.FLAG_SELL | wire.FLAG_LAST], count)
        records["instrument"] = self.numbers[instrument]
        records["price_scale"], records["size_scale"] = 1, 8
        records["ts_event"] = start + np.repeat(np.arange(count), 2) * step_ns
        records["ts_recv"] = records["ts_event"] + 1_000_000
        records["price"] = 642_000 + np.tile([0, 5], count) + np.repeat(np.arange(count), 2)
        records["size"] = np.arange(2 * count) + 1
        return records

    def book(self, instrument: str, start: int) -> np.ndarray:
        levels = [(side, 642_000 + (1 if side == 2 else -1) * (i + 1)) for i in range(5) for side in (1, 2)]
        records = np.zeros(1 + len(levels), wire.RECORD)
        records["kind"] = [wire.KIND_CLEAR, *[wire.KIND_LEVEL] * len(levels)]
        records["flags"] = wire.FLAG_SNAPSHOT
        records["flags"][1:] |= np.array([side for side, _ in levels], np.uint8)
        records["flags"][-1] |= wire.FLAG_LAST
        records["price"][1:] = [price for _, price in levels]
        records["size"][1:] = 150_000_000
        records["price_scale"], records["size_scale"] = 1, 8
        records["instrument"] = self.numbers[instrument]
        records["ts_event"], records["ts_recv"] = start, start + 1_000_000
        return records

    def gap(self, start: int, end: int | None, instrument: str | None = None) -> None:
        """A disconnect's hole in the trades, from `start` to `end` (ns)."""
        opening = np.zeros(1, wire.RECORD)
        opening["kind"], opening["flags"] = wire.KIND_GAP, wire.FLAG_BUY
        opening["price_scale"], opening["size_scale"] = 1, 1
        opening["instrument"] = self.numbers[instrument] if instrument else 0
        opening["ts_event"], opening["ts_recv"] = start, start + 1_000_000
        opening["price"], opening["size"] = -1, -1
        first = self.write(opening)
        if end is not None:
            closing = opening.copy()
            closing["flags"], closing["id"] = wire.FLAG_SELL, first
            closing["ts_event"], closing["ts_recv"] = end, end + 1_000_000
            self.write(closing)

    def traded(self, instrument: str) -> list[tuple[int, np.void]]:
        """(sequence, record) of the instrument's trades, in the order of an answer."""
        number = self.numbers[instrument]
        found = [
            (sequence, record)
            for sequence, record in self.records
            if record["kind"] == wire.KIND_TRADE and record["instrument"] == number
        ]
        return sorted(found, key=lambda row: (int(row[1]["ts_event"]), row[0]))

    def bars(self, instrument: str, interval_ns: int) -> dict[int, tuple[Decimal, ...]]:
        """Open, high, low, close, volume, count by start: the plain definition."""
        found: dict[int, list[np.void]] = {}
        for _, record in self.traded(instrument):
            found.setdefault(int(record["ts_event"]) // interval_ns * interval_ns, []).append(record)
        bars = {}
        for start, records in found.items():
            prices = [Decimal(int(r["price"])).scaleb(-1) for r in records]
            volume = sum(Decimal(int(r["size"])).scaleb(-8) for r in records)
            bars[start] = (
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                Decimal(volume),
                Decimal(len(records)),
            )
        return bars


def store(home: Home, venue: Venue) -> None:
    """Runs the recorder until everything in the journal is in the lake."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tidemill",
            "recorder",
            "--home",
            str(home.path),
            "--commit-s",
            "0.2",
            "--sim-hours",
            "0",
        ],
        stderr=subprocess.PIPE,
    )
    lake = Lake(home.lake)
    wanted = (venue.writer.epoch, venue.writer.next_sequence - 1)
    deadline = time.monotonic() + 60
    try:
        while stored_position(lake, venue.name, venue.writer.epoch) != wanted:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, "the recorder did not get there"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
