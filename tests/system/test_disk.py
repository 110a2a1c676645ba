"""A disk that fills up, or can only be read any more: named, borne, and healed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable

from tests.system.check import judge_trades
from tests.system.disk import Disk, disk, needs_disk
from tests.system.harness import (
    Journal,
    Platform,
    journal_records,
    running,
    until,
)
from tests.system.oracle import truth_lines
from tests.system.viewer import Viewer

VENUE = "sim-kraken"
WORDS = ("--venues", VENUE)
MIB = 700
HEALS_S = 15.0
"""On an idle machine it takes 3 s: two until the recorder tries again, and its commit."""

LONG = "home" + 80 * "-"
"""The sockets of such a home lie in a short folder, which a file of the home names."""

RESTARTS_MAX = 5
"""Of one part within 4 s: 0.1 s after its first death, and each time twice as long."""

pytestmark = needs_disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path, MIB) as found:
        yield found


@pytest.mark.timeout(240)
def test_a_full_disk_is_named_collection_goes_on_and_all_heals_by_itself(small: Disk) -> None:
    """C05."""
    truth = small.path.parent / "truth.jsonl"  # what the venue did is written elsewhere
    words = (*WORDS, "--truth", str(truth))
    with running(small.path / "home", *words, rate=300, history=False) as platform:
        platform.truth = truth
        platform.wait_trades(VENUE, 200)
        before = {part: platform.pid(part) for part in platform.parts()}
        with Viewer(platform, ["trades"], [VENUE]) as viewer:
            ballast = small.fill()
            until(lambda: "disk" in platform.not_ready(), "the disk is named", 15)
            assert "MiB are free" in platform.not_ready()["disk"]
            told = until(lambda: platform.not_ready().get("recorder"), "the recorder says what it lacks", 30)
            assert "No space left" in told or "os error 28" in told, told
            seen = len(viewer.trades)
            platform.wait_trades(VENUE, 300)
            until(lambda: len(viewer.trades) > seen + 20, "the screen goes on")
            until(lambda: _is_refused(platform, small), "what has no room is refused in words")
            assert platform.get("/api/v1/instruments")[0] == 200
            ballast.unlink()
            began = time.monotonic()
            until(platform.is_ready, "all is ready again by itself", 30)
            healed_s = time.monotonic() - began
            assert healed_s < HEALS_S, f"ready only {healed_s:.1f} s after there was room"
            status, answer = _stop(platform)
            assert status in (202, 404), answer
            platform.wait_trades(VENUE, 100)
            viewer.catch_up()
        after = {part: platform.pid(part) for part in before}
        assert after == before, "a part was restarted"
        assert not viewer.broken_chains
        assert viewer.connections == 1
        assert platform.stop() == 0
        _whole(platform)


def _is_refused(platform: Platform, small: Disk) -> bool:
    """Whether a change is refused because the disk is full. Files that others could not finish are removed,
    and what they give back, or room in the database's log, may do for one more change."""
    small.fill()
    asked = {"venue": "sim-coinbase", "instruments": ["BTC-USD"]}
    for status, answer in (platform.request("POST", "/api/v1/collection/start", asked), _stop(platform)):
        if status >= 500:
            assert (status, answer["code"]) == (503, "database_down"), (status, answer)
            return True
        assert status in (202, 404), (status, answer)
    time.sleep(0.2)  # changes of one caller are limited
    return False


def _stop(platform: Platform) -> tuple[int, Any]:
    return platform.request("DELETE", "/api/v1/collection/stop?venue=sim-coinbase")


def _whole(platform: Platform) -> None:
    """Journal and lake hold what the venue did, but for recorded gaps."""
    verdict = judge_trades(truth_lines(platform.truth), Journal(platform.home.path, VENUE))
    assert verdict.clean, str(verdict)
    records, sequences = journal_records(platform.home.path, VENUE)
    table = DeltaTable(str(platform.home.lake / "trades")).to_pyarrow_table(columns=["sequence"])
    np.testing.assert_array_equal(
        np.sort(table.column("sequence").to_numpy().astype(np.uint64)),
        np.sort(sequences[records["kind"] == 1]),
    )


@pytest.mark.timeout(240)
def test_a_disk_that_turns_read_only_ends_the_writers_in_words_and_a_start_recovers(small: Disk) -> None:
    """C07: nothing is written twice or claimed; the parts that cannot go on say why, and do not spin."""
    with running(small.path / LONG, *WORDS, rate=300, history=False) as platform:
        platform.wait_trades(VENUE, 200)
        small.fail()
        told = until(
            lambda: {"recorder", f"collector-{VENUE}"} <= (found := platform.not_ready()).keys() and found,
            "the parts that cannot write are named",
            40,
        )
        assert "disk" in told, told
        assert "read-only" in told["disk"].lower()
        used, started = _cpu_s(platform), platform.restarts()
        began = time.monotonic()
        time.sleep(4)
        share = (_cpu_s(platform) - used) / (time.monotonic() - began)
        assert share < 0.25, f"the supervisor spins: {share:.0%} of a processor"
        again = {part: count - started[part] for part, count in platform.restarts().items()}
        assert max(again.values()) <= RESTARTS_MAX, f"parts spin: {again}"
        platform.stop()
    small.unmount()
    small.mount()
    with running(small.path / LONG, *WORDS, rate=300, history=False) as platform:
        platform.wait_trades(VENUE, 200)
        assert platform.stop() == 0
        records, sequences = journal_records(platform.home.path, VENUE)
        assert (np.diff(sequences) == 1).all()
        table = DeltaTable(str(platform.home.lake / "trades")).to_pyarrow_table(columns=["sequence"])
        np.testing.assert_array_equal(
            np.sort(table.column("sequence").to_numpy().astype(np.uint64)),
            np.sort(sequences[records["kind"] == 1]),
        )


@pytest.mark.timeout(60)
def test_a_home_that_cannot_be_written_is_refused_in_one_line(small: Disk) -> None:
    (small.path / "home").mkdir(mode=0o700)
    small.unmount()
    small.mount("ro")
    words = [sys.executable, "-m", "tidemill", "up", "--no-browser", "--home", str(small.path / "home")]
    refused = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 3, refused.stderr
    assert "Read-only file system" in " ".join(refused.stderr.split())
    assert "--home DIR" in refused.stderr
    assert "Traceback" not in refused.stderr


def _cpu_s(platform: Platform) -> float:
    """Processor time of the supervisor itself: what a part needs to start is not its spinning."""
    assert platform.process
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{platform.process.pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2 :].split()
        return sum(int(fields[at]) for at in (11, 12)) / 100
    raise AssertionError("the supervisor has gone")
