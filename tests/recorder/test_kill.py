"""kill -9 of the recorder at random moments under load: every record in one row, bars as of the trades."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.system import report
from tests.system.check import bars_equal_trades
from tests.system.harness import Journal, seeded, until
from tidemill import control, wire
from tidemill.home import Home
from tidemill.stores.api import Query, Store
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED, TRADES, records_of

VENUES = ("sim-kraken", "sim-coinbase")
ROOT = Path(__file__).parent.parent.parent


def start_recorder(home: Path, *words: str) -> subprocess.Popen[bytes]:
    log = (home.parent / "recorder.log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "tidemill", "recorder", "--home", str(home), "--commit-s", "0.05", *words],
        stdin=subprocess.DEVNULL,
        stderr=log,
    )


def status(home: Path) -> dict:
    try:
        return control.ask_now(Home(home).control("recorder"), "status", timeout_s=5)
    except control.Unreachable:
        return {}


def check(home: Path, store: Store | None = None) -> int:
    """Every record of every journal is in exactly one row; bars are those of the trades."""
    lake = store or Lake(home / "lake")
    total = 0
    for venue in VENUES:
        journal = Journal(home, venue)
        total += len(journal.records)
        stored = [
            sequence
            for table in COMMITTED
            if table is not BARS
            for sequence in lake.read(table, Query(venues=(venue,)))["sequence"].to_pylist()
        ]
        assert len(stored) == len(set(stored)), f"{venue}: {len(stored) - len(set(stored))} rows doubled"
        assert set(stored) == set(journal.sequences.tolist()), f"{venue}: rows lost"
        numbers = {name: number for number, name in journal.names.items()}
        rows = lake.read(TRADES, Query(venues=(venue,)))
        got = records_of(TRADES, rows, numbers.__getitem__)
        np.testing.assert_array_equal(got, journal.records[journal.records["kind"] == wire.KIND_TRADE])
        bars_equal_trades(lake, journal)
        every = lake.read(BARS, Query(venues=(venue,), revisions=True))
        assert set(every["revision"].to_pylist()) == {0}, "a bar was emitted twice"
    return total


def soak(
    kills: int, tmp_path: Path, dice: random.Random, *words: str, store: Store | None = None
) -> tuple[int, list[float]]:
    """Returns the records that were judged, and the seconds each start took until it stored records. `words`
    are the recorder's, `store` is where it keeps rows then."""
    ready = []
    home = tmp_path / "home"
    writers: list[subprocess.Popen[bytes]] = []
    recorder = None
    try:
        for venue in VENUES:  # one after the other: the first to come gets the first number
            writer = subprocess.Popen(
                # One record is 20 ms of the venues' time: minutes and hours close during the test.
                [sys.executable, "-m", "tests.recorder.load", str(home), venue, "4000", "20000000"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
            writers.append(writer)
            assert writer.stdout
            assert writer.stdout.readline()
        recorder = start_recorder(home, *words)
        for _ in range(kills):
            # Mostly somewhere in the life of a commit, sometimes while it still starts.
            if dice.random() < 0.75:
                pid = recorder.pid
                began = time.monotonic()
                until(lambda pid=pid: stored_by(home, pid), "the recorder stores records", 60)
                ready.append(time.monotonic() - began)
            time.sleep(dice.uniform(0, 0.3))
            recorder.kill()
            recorder.wait()
            recorder = start_recorder(home, *words)
        for writer in writers:
            assert writer.stdin
            writer.stdin.close()
        last = {}
        for venue, writer in zip(VENUES, writers, strict=True):
            assert writer.stdout
            last[venue] = int(writer.stdout.readline())
            assert writer.wait(30) == 0
        # With each kill the journals got further ahead.
        until(lambda: offsets(home) == last, "the recorder catches up", 60 + 3 * kills)
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(60) == 0
    finally:
        for process in [*writers, *([recorder] if recorder else [])]:
            if process.poll() is None:
                process.kill()
                process.wait()
    total = check(home, store)
    assert total == sum(last.values())
    assert not (home / "run" / "recorder.ctl").exists()
    return total, ready


def stored_by(home: Path, pid: int) -> bool:
    answer = status(home)
    return answer.get("pid") == pid and answer["metrics"]["records"] > 0


def offsets(home: Path) -> dict[str, int]:
    return {venue: found for venue in VENUES if (found := offsets_of(home, venue))}


def offsets_of(home: Path, venue: str) -> int:
    """The last sequence of a venue that is in every table; 0 before the first."""
    path = home / "run" / "offsets" / f"{venue}.json"
    return int(json.loads(path.read_text())["sequence"]) if path.exists() else 0


@pytest.mark.timeout(300)
def test_three_kills(tmp_path: Path) -> None:
    soak(3, tmp_path, random.Random(7))


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_forty_kills(tmp_path: Path) -> None:
    kills = int(os.environ.get("TIDEMILL_KILLS", "40"))
    total, ready = soak(kills, tmp_path, seeded())
    row = {
        "kills": kills,
        "storing again p50 s": report.percentile(ready, 50),
        "p99 s": report.percentile(ready, 99),
        "records": total,
        "lost": 0,
        "doubled": 0,
        "bars": "equal to those of the trades, none twice",
    }
    report.note(f"{kills} kill -9 of the recorder alone, 8,000 records a second", {"Recorder": [row]})
