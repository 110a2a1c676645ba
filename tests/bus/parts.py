"""Publishers, uploaders and journals for the tests of the bus: real processes, killed for real."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.system.check import bars_equal_trades
from tests.system.harness import Journal, until
from tidemill import control, wire
from tidemill.home import Home
from tidemill.stores.api import Query
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED, GAPS, TRADES, records_of

ROOT = Path(__file__).parents[2]
VENUES = ("sim-kraken", "sim-coinbase")
GROUP = "tests"


class Part:
    """A part of the platform as a child process."""

    def __init__(self, name: str, home: Path, *words: str) -> None:
        self.name = name
        self.home = home
        self.words = [sys.executable, "-m", "tidemill", name, "--home", str(home), *words]
        self.log = home.parent / f"{home.name}-{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Part:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stderr=log)
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def status(self) -> dict[str, Any]:
        try:
            said = control.ask_now(Home(self.home).control(self.name), "status", timeout_s=5)
        except control.Unreachable:
            return {}
        return said if said.get("pid") == self.pid else {}

    def rss(self) -> int:
        """Resident memory, bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def tale(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def publisher(home: Path, bus: str, *words: str) -> Part:
    return Part("publisher", home, "--bus", bus, "--gather-ms", "10", *words)


def uploader(home: Path, bus: str, *words: str, idle_s: float = 1.5) -> Part:
    options = ["--group", GROUP, "--commit-s", "0.1", "--idle-s", str(idle_s)]
    # The records of these tests are of a day that is long over.
    options += ["--levels-hours", "0", "--sim-hours", "0"]
    return Part("uploader", home, "--bus", bus, *options, *words)


@contextlib.contextmanager
def killed(*parts: Part) -> Iterator[None]:
    """Ends these parts, whatever happens; what they said is shown when it was no good."""
    try:
        yield
    except BaseException:
        for part in parts:
            if part.log.exists():
                print(f"── {part.name} of {part.home.name}\n{part.tale()}")
        raise
    finally:
        for part in parts:
            part.kill()


class Load:
    """Writers of journals, `rate` records a second each."""

    def __init__(self, home: Path, rate: int, venues: tuple[str, ...] = VENUES) -> None:
        self.venues = venues
        self._writers: list[subprocess.Popen[bytes]] = []
        for venue in venues:  # one after the other: the first to come gets the first number
            writer = subprocess.Popen(
                [sys.executable, "-m", "tests.recorder.load", str(home), venue, str(rate), "20000000"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
            self._writers.append(writer)
            assert writer.stdout
            assert writer.stdout.readline()

    def stop(self) -> dict[str, int]:
        """Ends the load; the last sequence of each venue."""
        last = {}
        for venue, writer in zip(self.venues, self._writers, strict=True):
            assert writer.stdin
            assert writer.stdout
            writer.stdin.close()
            last[venue] = int(writer.stdout.readline())
            assert writer.wait(30) == 0
        return last

    def kill(self) -> None:
        for writer in self._writers:
            if writer.poll() is None:
                writer.kill()
                writer.wait()


@contextlib.contextmanager
def load(home: Path, rate: int, venues: tuple[str, ...] = VENUES) -> Iterator[Load]:
    made = Load(home, rate, venues)
    try:
        yield made
    finally:
        made.kill()


def stored(lake: Path, venues: tuple[str, ...] = VENUES) -> dict[str, int]:
    """The last sequence that every table of a lake covers, by venue."""
    found = {}
    for venue in venues:
        position = Lake(lake).position(BARS, venue, 100)
        found[venue] = position[1] if position else 0
    return found


def wait_stored(lake: Path, last: dict[str, int], seconds: float = 60) -> None:
    until(lambda: stored(lake, tuple(last)) == last, f"all of {last} is stored", seconds)


def check(home: Path, lake_path: Path, venues: tuple[str, ...] = VENUES) -> int:
    """Every record of every journal of `home` is in exactly one row of the lake; bars are those of the
    trades. Returns how many records that were."""
    lake = Lake(lake_path)
    total = 0
    for venue in venues:
        journal = Journal(home, venue)
        total += len(journal.records)
        found = [
            sequence
            for table in COMMITTED
            if table is not BARS
            for sequence in lake.read(table, Query(venues=(venue,)))["sequence"].to_pylist()
        ]
        assert len(found) == len(set(found)), f"{venue}: {len(found) - len(set(found))} rows doubled"
        assert set(found) == set(journal.sequences.tolist()), f"{venue}: rows lost"
        assert not holes(lake, venue)
        numbers = {name: number for number, name in journal.names.items()}
        got = records_of(TRADES, lake.read(TRADES, Query(venues=(venue,))), numbers.__getitem__)
        np.testing.assert_array_equal(got, journal.records[journal.records["kind"] == wire.KIND_TRADE])
        bars_equal_trades(lake, journal)
        every = lake.read(BARS, Query(venues=(venue,), revisions=True))
        assert set(every["revision"].to_pylist()) <= {0}, "a bar was emitted twice"
    return total


def holes(lake: Lake, venue: str) -> list[tuple[int, int]]:
    """(first, count) of the records that a journal lost, as rows say it."""
    rows = lake.read(GAPS, Query(venues=(venue,))).to_pylist()
    return [(line["opened"], line["missing"]) for line in rows if line["edge"] == "journal"]


def offsets(home: Path, part: str) -> dict[str, Any]:
    return json.loads((home / "run" / part).read_text())
