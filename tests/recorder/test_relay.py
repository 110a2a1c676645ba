"""A recorder on another machine: the same rows through a relay, also when the relay is killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.recorder.test_kill import start_recorder, status, until
from tests.stores.make import START, VENUE, mixed, writer
from tidemill import _native, wire
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED


def start_relay(home: Path) -> subprocess.Popen[bytes]:
    relay = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "relay", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: answers(home), "the relay answers")
    return relay


def answers(home: Path) -> bool:
    try:
        return bool(_native.relay_venues(str(home / "run" / "relay.sock")))
    except ConnectionError:
        return False


def test_rows_through_a_relay_are_those_of_the_journal(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    (here / "run").mkdir(parents=True)
    journal = writer(here)
    batches = [mixed(4_000, start=START + i * 10**12, first_id=1 + i * 4_000, seed=i) for i in range(3)]
    journal.append(batches[0])
    relay = start_relay(here)
    socket = here / "run" / "relay.sock"
    recorder = start_recorder(there, "--source", f"relay:{socket}")
    try:
        until(lambda: status(there).get("metrics", {}).get("records") == 4_000, "the first batch is stored")
        journal.append(batches[1])
        relay.kill()
        relay.wait()
        journal.append(batches[2])
        relay = start_relay(here)
        until(lambda: status(there)["metrics"]["records"] == 12_000, "the rest is stored")
        answer = status(there)["venues"][VENUE]
        assert (answer["sequence"], answer["lost"]) == (12_000, 0)
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(15) == 0
    finally:
        for process in (relay, recorder):
            if process.poll() is None:
                process.kill()
                process.wait()
    records = np.concatenate(batches)
    lake = Lake(there / "lake")
    found = {table.name: lake.read(table) for table in COMMITTED}
    stored = [s for name, rows in found.items() if name != BARS.name for s in rows["sequence"].to_pylist()]
    assert sorted(stored) == list(range(1, 12_001))
    assert len(found["trades"]) == (records["kind"] == wire.KIND_TRADE).sum()
    assert set(found["trades"]["instrument"].to_pylist()) == {
        one["name"] for one in _native.instruments(str(here), VENUE)
    }
    assert len(found["bars"]) > 1_000


def test_a_source_that_is_none(tmp_path: Path) -> None:
    process = start_recorder(tmp_path / "home", "--source", "carrier-pigeon")
    assert process.wait(30) == 2
