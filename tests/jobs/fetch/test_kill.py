"""kill -9 in the middle of a fetch by fifty workers: in the end there is what an undisturbed one leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import LEASE_S, Office, kill_worker, until
from tests.jobs.fetch.test_work import Context, requests, rows
from tests.system import report
from tidemill.jobs.fetch import work
from tidemill.jobs.fetch.order import Order
from tidemill.stores.lake import Lake

pytestmark = pytest.mark.timeout(900)


def detail(kind: str, log: Path, days: int, slow_ms: int) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "provider": "made", "symbols": ["AAA", "BBB", "CCC"], "kind": kind, "start": "2026-01-01",
        "end": f"2026-01-{days + 1:02d}T01:30:00Z", "workers": 50,
        "options": {"chunk_s": "3600", "slow_ms": str(slow_ms), "log": str(log)},
    }  # fmt: skip
    return asked | ({"interval": "1m"} if kind == "bars" else {})


def _asks(office: Office, name: str, log: Path) -> None:
    before = len(requests(log))
    until(lambda: office.job(name).ended or len(requests(log)) > before, "it asks")


def disturbed(
    office: Office, log: Path, kind: str, kills: int, days: int, slow_ms: int, seed: int
) -> dict[str, Any]:
    """Kills the job's process, or its worker too, `kills` times wherever it is just then; returns figures."""
    random_, began = random.Random(seed), time.monotonic()
    workers = 0
    asked = detail(kind, log, days, slow_ms)
    office.start(lease_s=LEASE_S)
    name = office.submit("fetch", detail=asked, attempts_max=kills + 10)
    killed = 0
    while killed < kills:
        # From the first commit on, so that there is something to be lost or doubled.
        until(lambda: office.job(name).ended or office.members(name), "it runs")
        _asks(office, name, log)
        time.sleep(random_.uniform(0, 4))
        pids = office.members(name)
        if office.job(name).ended or not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if random_.random() < 0.3:
            kill_worker(office.workers[-1])
            office.start(lease_s=LEASE_S)
            workers += 1
        killed += 1
    assert killed == kills
    done = office.ended(name, 600)
    assert done.state == "done", done
    chunks = 3 * (days * 24 + 2)
    assert done.result is not None
    assert done.result["chunks"] + done.result["held"] == chunks
    # What was under way at a kill comes again: at most what fifty workers and one commit hold.
    again = Counter(requests(log))
    assert len(again) == chunks
    assert max(again.values()) <= kills + 1
    # In a lake: of so many trades the store in memory has to look through all of them at each chunk.
    whole = Lake(log.parent / "whole")
    plain = Order.of(asked | {"options": {**asked["options"], "slow_ms": "0", "log": str(log) + ".whole"}})
    asyncio.run(work.run(Context(office.home), plain, whole))
    got, expected = rows(Lake(office.home.lake)), rows(whole)
    for one, other in zip(got, expected, strict=True):
        assert one == other
    assert len(got[2])
    return {
        "what": kind, "kills": killed, "of the worker too": workers, "chunks": chunks,
        "chunks asked again": sum(again.values()) - chunks, "trades": len(got[0]), "bars": len(got[2]),
        "rows that differ": 0, "seconds": round(time.monotonic() - began),
    }  # fmt: skip


def test_three_kills_leave_what_an_undisturbed_fetch_leaves(local: Office, tmp_path: Path) -> None:
    disturbed(local, tmp_path / "log", "trades", 3, days=3, slow_ms=700, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["bars", "trades"])
def test_twenty_kills_leave_what_an_undisturbed_fetch_leaves(
    local: Office, tmp_path: Path, kind: str
) -> None:
    row = disturbed(local, tmp_path / "log", kind, 20, days=25, slow_ms=1500, seed=2)
    report.note(f"A fetch of {kind} by fifty workers, killed", {"In the lake": [row]}, "soak-history")


@pytest.mark.alone
def test_a_cancel_ends_a_fetch_within_two_seconds(local: Office, tmp_path: Path) -> None:
    local.start()
    name = local.submit("fetch", detail=detail("bars", tmp_path / "log", 6, 60_000))
    until(lambda: requests(tmp_path / "log"), "it asks")
    begun = time.monotonic()
    local.cancel(name)
    assert local.ended(name).state == "cancelled"
    assert time.monotonic() - begun < 2.5
    assert local.members(name) == []
