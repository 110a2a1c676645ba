"""Parts and clients that hang (SIGSTOP) under load: named, waited for, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.check import judge_trades
from tests.system.harness import (
    Journal,
    Platform,
    running,
    until,
)
from tests.system.oracle import truth_lines
from tests.system.viewer import Viewer
from tidemill.cli.platform import platform_status

VENUES = ("sim-kraken", "sim-coinbase", "sim-binance")
PARTS = ("relay", "recorder", "bridge", "collector-sim-kraken")
NOTICED_S = 15.0
RSS_GROWTH_MAX = 64 << 20


@pytest.fixture(scope="module")
def platform(module_path: Path) -> Iterator[Platform]:
    with running(module_path / "home", rate=1000, history=False) as found:
        for venue in VENUES:
            found.wait_trades(venue, 200)
        yield found


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "parts", [PARTS, *(pytest.param((part,), marks=pytest.mark.soak) for part in PARTS)], ids="+".join
)
def test_a_hung_part_is_named_and_goes_on_where_it_was(platform: Platform, parts: tuple[str, ...]) -> None:
    others = [venue for venue in VENUES if f"collector-{venue}" not in parts]
    before = {venue: platform.collector(venue) for venue in VENUES}
    with contextlib.ExitStack() as stack:
        pids = {part: stack.enter_context(platform.stopped(part)) for part in parts}
        until(lambda: platform.not_ready().keys() >= pids.keys(), f"{parts} are named", NOTICED_S)
        found = platform.not_ready()
        assert found.keys() == pids.keys(), "something else is not ready because of it"
        told = {row["part"]: row for row in platform_status(platform.home)["parts"]}
        for part in parts:
            assert "has not answered" in found[part]
            assert told[part]["state"] == "stale"
            assert "no answer" in told[part]["detail"]
        for venue in others:
            platform.wait_trades(venue, 100)
    until(platform.is_ready, f"{parts} are ready again")
    for part, pid in pids.items():
        assert platform.pid(part) == pid, f"{part} was restarted"
    for venue in VENUES:
        platform.wait_trades(venue, 100)
        after = platform.collector(venue)
        assert (after["gaps"], after["reconnects"]) == (before[venue]["gaps"], before[venue]["reconnects"])


@pytest.mark.timeout(120)
def test_a_hung_service_is_named_by_the_status_command_and_keeps_nobody_from_the_bridge(
    platform: Platform,
) -> None:
    with Viewer(platform, ["trades"], direct=True) as viewer, platform.stopped("service") as pid:
        for venue in VENUES:
            platform.wait_trades(venue, 100)
        viewer.catch_up()
        told = {row["part"]: row for row in platform_status(platform.home)["parts"]}
        assert told["service"]["state"] == "stale"
        assert [name for name, row in told.items() if row["state"] == "stale"] == ["service"]
    until(platform.is_ready, "the service is ready again")
    assert platform.pid("service") == pid
    assert not viewer.broken_chains


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "direct",
    [pytest.param(True, id="bridge", marks=pytest.mark.soak), pytest.param(False, id="service")],
)
def test_a_hung_client_is_cut_and_resumes_without_a_loss(platform: Platform, direct: bool) -> None:
    rss = {part: _rss(platform, part) for part in ("bridge", "service")}
    cut = platform.numbers("bridge")["cut"]
    with Viewer(platform, ["trades"], direct=direct) as healthy, _client(platform, direct) as process:
        process.send_signal(signal.SIGSTOP)
        until(lambda: platform.numbers("bridge")["cut"] > cut, "the hung client is cut", 90)
        process.send_signal(signal.SIGCONT)
        _line(process, "resumed")
        healthy.catch_up()
        process.send_signal(signal.SIGTERM)
        seen = _line(process, "seen")
        healthy.catch_up()
    assert healthy.connections == 1, "a healthy client was cut too"
    assert not healthy.broken_chains
    for venue in VENUES:
        kept = Journal(platform.home.path, venue).trades()
        mine = {name: ids for name, ids in seen["trades"].items() if name.endswith(venue)}
        assert mine, f"the client saw no trade of {venue}"
        for name, ids in mine.items():
            expected = [trade.id for trade in kept if trade.instrument == name]
            assert ids == expected[expected.index(ids[0]) : expected.index(ids[-1]) + 1], name
    for part, before in rss.items():
        assert _rss(platform, part) < before + RSS_GROWTH_MAX, part


@pytest.mark.timeout(60)
def test_after_all_that_the_record_is_whole(platform: Platform) -> None:
    for venue in VENUES:
        verdict = judge_trades(truth_lines(platform.truth), Journal(platform.home.path, venue))
        assert verdict.clean, f"{venue}: {verdict}"
        assert verdict.excused == 0, f"{venue}: a hung process cost trades: {verdict}"


@pytest.mark.timeout(120)
def test_a_part_that_hangs_too_long_is_started_again(tmp_path: Path) -> None:
    words = ("--venues", "sim-kraken", "--hung-s", "3")
    with running(tmp_path / "home", *words, rate=200, history=False) as platform:
        platform.wait_trades("sim-kraken", 50)
        pid = until(lambda: platform.pid("relay"), "the relay runs")
        time.sleep(1.5)  # it must have answered the supervisor once
        os.kill(pid, signal.SIGSTOP)
        until(lambda: platform.pid("relay") not in (None, pid), "the relay is started again", 60)
        until(platform.is_ready, "the platform is ready again")
        assert "has not answered for 3 s" in platform.home.log("relay").read_text()


def _rss(platform: Platform, part: str) -> int:
    pid = platform.pid(part)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"{part} has no memory")


@contextlib.contextmanager
def _client(platform: Platform, direct: bool) -> Iterator[subprocess.Popen[str]]:
    """A client in a process of its own, which can be stopped."""
    words = [sys.executable, "-m", "tests.system.client", str(platform.home.path), str(platform.port)]
    process = subprocess.Popen([*words, "direct" if direct else "service"], stdout=subprocess.PIPE, text=True)
    try:
        _line(process, "subscribed")
        yield process
    finally:
        process.kill()
        process.wait()


def _line(process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """The next thing of this kind that the client says."""
    assert process.stdout
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["said"] == kind:
            return said
    raise AssertionError(f"the client ended without saying {kind!r}")
