"""The machine's clock is set, forwards and backwards, under a running collector and recorder."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from tests.system import solo
from tests.system.check import judge_trades
from tests.system.harness import Journal, journal_records, until
from tests.system.oracle import truth_lines

VENUE = "sim-kraken"
LIBRARY = next(
    (path for folder in ("/usr/lib", "/usr/local/lib") for path in Path(folder).rglob("libfaketime.so.1")),
    None,
)
STATUS, CLOCK_STEP, GAP, STALL = 5, 8, 6, 2
MUTE_S = 25
HOUR_NS = 3_600 * 10**9

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (apt: faketime)")


class Wall:
    """The wall clock of some processes: the machine's, and so many seconds off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)
        self.env = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset_s: int) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._path)


def steps(home: Path) -> list[int]:
    """Sizes of the clock steps that a journal tells of."""
    records, _ = journal_records(home, VENUE)
    found = records[(records["kind"] == STATUS) & (records["id"] == CLOCK_STEP)]
    return [int(size) for size in found["size"]]


def causes(home: Path) -> set[int]:
    """Causes of the gaps that a journal tells of."""
    records, _ = journal_records(home, VENUE)
    return set(records[records["kind"] == GAP]["size_scale"].tolist())


@pytest.mark.timeout(400)
def test_a_clock_that_is_set_costs_nothing_and_is_recorded(tmp_path: Path) -> None:
    home, truth = tmp_path / "home", tmp_path / "truth.jsonl"
    wall = Wall(tmp_path / "offset")
    with (
        solo.simulator(
            tmp_path / "sim", "--venues", "kraken", "--rate", "300", "--truth", str(truth)
        ) as said,
        solo.collector(
            home, "kraken", said["venues"][VENUE]["url"], said["venues"][VENUE]["rest_url"], env=wall.env
        ) as collector,
        solo.running(home, "recorder", "recorder", "--commit-s", "1", env=wall.env) as recorder,
    ):
        collector.live()
        recorder.until("records", lambda said: said["venues"].get(VENUE, {}).get("records", 0) > 100)
        changed_at: list[int] = []
        for number, offset_s in enumerate((3_600, -3_600), 1):
            changed_at.append(time.time_ns())
            wall.set(offset_s)
            until(lambda number=number: len(steps(home)) == number, "the step is recorded", 20)
            collector.records(100)
            now = collector.live()
            assert (now["reconnects"], now["gaps"]) == (0, 0), "the venue was blamed for our clock"
            stored = recorder.status()["venues"][VENUE]["records"]
            recorder.until(
                "goes on storing",
                lambda said, stored=stored: said["venues"][VENUE]["records"] > stored,
            )
        # The receive clock runs at half speed now until the wall has caught up, in four hours. A channel that
        # falls silent must be found out all the same, and before it speaks again.
        mute = {"fault": "mute", "venue": VENUE, "channel": "trades", "seconds": MUTE_S}
        _fault(said["control"], mute)
        until(lambda: STALL in causes(home), "the silence is heard", MUTE_S - 5)
        collector.until("is whole again", lambda said: said["gaps_open"] == 0)
        collector.records(100)
        assert recorder.status()["error"] is None
        assert collector.stop() == 0
        assert recorder.stop() == 0

    forward, backward = steps(home)
    assert abs(forward - HOUR_NS) < 10**9
    assert abs(backward + 2 * HOUR_NS) < 10**9
    records, sequences = journal_records(home, VENUE)
    assert (np.diff(records["ts_recv"]) >= 0).all(), "ts_recv runs back"
    journal = Journal(home, VENUE)
    kept = journal.trades()
    verdict = judge_trades(truth_lines(truth), journal, kept)
    assert verdict.clean, str(verdict)

    trades = DeltaTable(str(home / "lake" / "trades")).to_pyarrow_table(columns=["sequence"])
    np.testing.assert_array_equal(
        np.sort(trades.column("sequence").to_numpy().astype(np.uint64)),
        np.sort(sequences[records["kind"] == 1]),
    )
    _bars_equal_trades(home, kept, changed_at[-1])


def _bars_equal_trades(home: Path, kept: list, since_ns: int) -> None:  # type: ignore[type-arg]
    """Bars of one second are by the venue's time, so our clock must not show in them."""
    table = DeltaTable(str(home / "lake" / "bars")).to_pyarrow_table(filters=[("interval", "=", "1s")])
    rows = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["revision"]):
        rows[row["instrument"], row["ts_event"]] = row
    counted: dict[tuple[str, int], int] = {}
    for trade in kept:
        key = trade.instrument, trade.ts_event - trade.ts_event % 10**9
        counted[key] = counted.get(key, 0) + 1
    late = [start for _, start in rows if start > since_ns]
    assert late, "no bar closed after the clock was set back"
    assert {key: row["trades"] for key, row in rows.items()} == {
        key: count for key, count in counted.items() if key in rows
    }


def _fault(control: str, fault: dict[str, object]) -> None:
    request = urllib.request.Request(f"{control}/faults", json.dumps(fault).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
