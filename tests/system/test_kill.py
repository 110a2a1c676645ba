"""kill -9 of every part under load: nothing lost, nothing doubled, every hole recorded."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.system.harness import (
    Platform,
    journal_gaps,
    journal_records,
    journal_trades,
    running,
    until,
)
from tests.system.oracle import judge, truth_trades
from tests.system.viewer import Viewer

VENUES = ("sim-kraken", "sim-coinbase", "sim-binance")
PARTS = ("collector", "relay", "bridge", "recorder", "service")
LOAD_PER_S = 5000


@pytest.mark.parametrize(
    "kills", [3, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])], ids=str
)
@pytest.mark.timeout(400)
def test_random_kills_lose_and_double_nothing(tmp_path: Path, kills: int) -> None:
    dice = random.Random(kills)
    with running(tmp_path / "home", rate=LOAD_PER_S) as platform:
        for venue in VENUES:
            platform.wait_trades(venue, 200)
        victims = [part for part in PARTS for _ in range(kills)]
        dice.shuffle(victims)
        with Viewer(platform, ["trades"]) as viewer:
            for part in victims:
                name = f"collector-{dice.choice(VENUES)}" if part == "collector" else part
                platform.kill_part(name)
                time.sleep(dice.uniform(0.1, 1.0))
            for venue in VENUES:
                until(
                    lambda venue=venue: platform.collector(venue).get("state") == "live", f"{venue} is live"
                )
                platform.wait_trades(venue, 500)
            until(platform.is_ready, "platform is ready again")
            viewer.catch_up()
        assert platform.stop() == 0
        for venue in VENUES:
            kept = journal_trades(platform.home.path, venue)
            gaps = journal_gaps(platform.home.path, venue)
            first: dict[str, int] = {}
            last: dict[str, int] = {}
            for trade in kept:
                first.setdefault(trade.instrument, trade.id)
                last[trade.instrument] = trade.id
            verdict = judge(truth_trades(platform.truth, venue), kept, gaps, since=first, upto=last)
            assert verdict.clean, f"{venue} journal: {verdict}"
            assert verdict.trades > 1000, str(verdict)
            _sequences_are_dense(platform, venue)
            _lake_equals_journal(platform, venue)
            seen = viewer.judge(venue, kept)
            assert seen.clean, f"{venue} as the screen saw it: {seen}"


def _sequences_are_dense(platform: Platform, venue: str) -> None:
    _records, sequences = journal_records(platform.home.path, venue)
    assert (np.diff(sequences) == 1).all()


def _lake_equals_journal(platform: Platform, venue: str) -> None:
    """Every trade of the journal is in the lake once, with its very sequence."""
    from deltalake import DeltaTable

    records, sequences = journal_records(platform.home.path, venue)
    expected = np.sort(sequences[records["kind"] == 1])
    table = DeltaTable(str(platform.home.lake / "trades")).to_pyarrow_table(
        filters=[("venue", "=", venue)], columns=["sequence"]
    )
    stored = np.sort(table.column("sequence").to_numpy().astype(np.uint64))
    assert len(stored) == len(np.unique(stored)), "rows stand twice in the lake"
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.timeout(180)
def test_kill_of_everything_at_once_and_a_new_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home, rate=1000) as platform:
        for venue in VENUES:
            platform.wait_trades(venue, 300)
        pids = [p for name in platform.parts() if (p := platform.pid(name))]
        platform.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        platform.truth = tmp_path / "second-truth.jsonl"
        platform.words[platform.words.index("--truth") + 1] = str(platform.truth)
        platform.start()
        for venue in VENUES:
            platform.wait_trades(venue, 300)
        assert platform.stop() == 0
        truth = [*truth_trades(tmp_path / "home-truth.jsonl"), *truth_trades(platform.truth)]
        for venue in VENUES:
            kept = journal_trades(home, venue)
            first: dict[str, int] = {}
            last: dict[str, int] = {}
            for trade in kept:
                first.setdefault(trade.instrument, trade.id)
                last[trade.instrument] = trade.id
            mine = [t for t in truth if t.instrument.endswith(venue)]
            # The simulator died too, the end of its log unwritten: there what was kept is all there is.
            logged = {(t.instrument, t.id) for t in mine}
            kept_logged = [t for t in kept if (t.instrument, t.id) in logged]
            verdict = judge(mine, kept_logged, journal_gaps(home, venue), since=first, upto=last)
            assert verdict.clean, f"{venue}: {verdict}"
            _lake_equals_journal(platform, venue)


@pytest.mark.timeout(120)
def test_no_part_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with running(tmp_path / "home", rate=500) as platform:
        pids = [p for name in platform.parts() if (p := platform.pid(name))]
        assert len(pids) >= 7
        platform.kill()
        until(lambda: not any(_alive(pid) for pid in pids), "every part left", 15)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(120)
def test_a_second_up_says_who_holds_home_and_port(tmp_path: Path) -> None:
    with running(tmp_path / "home", rate=100) as platform:
        assert platform.process
        words = [sys.executable, "-m", "tidemill", *platform.words]
        second = subprocess.run(words, capture_output=True, text=True, timeout=30)
        assert second.returncode == 6
        assert str(platform.process.pid) in second.stderr
        other = [w if w != str(platform.home.path) else str(tmp_path / "other") for w in words]
        third = subprocess.run(other, capture_output=True, text=True, timeout=30)
        assert third.returncode == 6
        assert f"port {platform.port}" in third.stderr
