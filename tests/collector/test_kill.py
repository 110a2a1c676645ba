"""`tidemill poll` killed, cut off and lied to by the simulator: its journal is the provider's history."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.providers.test_simulated import Faults, simulator
from tidemill import _native, control, providers, wire
from tidemill.collector import memory, record
from tidemill.home import Home
from tidemill.providers import poll
from tidemill.providers.api import Ask, Chunk

pytestmark = pytest.mark.timeout(400)  # four starts, on a busy machine

VENUE = "sim-polygon"
SYMBOLS = {"X:BTCUSD": "BTC-USD.sim-polygon", "X:ETHUSD": "ETH-USD.sim-polygon"}
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("overlap", {"seconds": 5}), ("cut", {"count": 2}), ("error", {"count": 3, "status": 503}),
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose simulator plays Polygon, some trades of crypto a second."""
    home = Home.at(tmp_path_factory.mktemp("polled"))
    words = ["sim", "--home", str(home.path), "--providers", "polygon", "--density", "100"]
    yield from simulator(home, words)


def started(home: Home, *words: str) -> subprocess.Popen[bytes]:
    """A collector that has begun."""
    command = [sys.executable, "-m", "tidemill", "poll", VENUE, *SYMBOLS, "--home", str(home.path)]
    process = subprocess.Popen(
        [*command, "--option", "delay=none", "--every", "0.3", *words],
        stdin=subprocess.PIPE, stderr=(home.path / "log").open("ab"),
    )  # fmt: skip
    until(lambda: said(home).get("pid") == process.pid, "it answers")
    return process


def said(home: Home) -> dict[str, Any]:
    with contextlib.suppress(control.Unreachable):
        return control.ask_now(home.control(f"collector-{VENUE}"), "status")
    return {}


def until(happened: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def journal(home: Home) -> wire.Records:
    reader, parts, sequence = _native.JournalReader(str(home.path), VENUE), [], 1
    while (batch := reader.read(1 << 16, 0)) is not None:
        assert batch.sequence == sequence
        parts.append(wire.view(batch).copy())
        sequence += len(batch)
    return np.concatenate(parts)


def since(home: Home, began: int) -> dict[str, list[poll.Row]]:
    """What the journal has of each symbol from a time on."""
    records = journal(home)
    numbers = {one["name"]: one["number"] for one in _native.instruments(str(home.path), VENUE)}
    found = {}
    for symbol, name in SYMBOLS.items():
        mine = record.rows(records[records["instrument"] == numbers[name]])
        found[symbol] = [row for row in mine if row[0] >= began]
    return found


def history(home: Home, symbol: str, start: int, end: int) -> list[poll.Row]:
    async def main() -> list[poll.Row]:
        provider = providers.open(VENUE, home)
        try:
            ask = Ask(symbol, "trades", start, end, options={"delay": "none"})
            return list(poll.rows(await provider.trades(ask, Chunk(start, end, 1, 0))))
        finally:
            await provider.close()

    return asyncio.run(main())


def test_killed_and_lied_to_it_keeps_what_the_provider_has(home: Home) -> None:
    dice = random.Random(5)
    began = time.time_ns()
    process = started(home)
    for fault, about in FAULTS:
        until(lambda: said(home).get("state") == "live", "it is live")
        with Faults(home, VENUE) as faults:
            faults.start(fault, **about)
            time.sleep(dice.uniform(0.3, 1.5))
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            process = started(home)
    until(lambda: said(home).get("state") == "live" and said(home)["messages"] > 4, "it goes on")
    until(
        lambda: all(len(rows) > 20 for rows in since(home, began).values()), "there is something to compare"
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not home.control(f"collector-{VENUE}").exists()
    noted = memory.Note.read(memory.note_path(home, VENUE))
    assert noted is not None
    records = journal(home)
    numbers = {one["name"]: one for one in _native.instruments(str(home.path), VENUE)}
    for symbol, name in SYMBOLS.items():
        mine = records[records["instrument"] == numbers[name]["number"]]
        assert not (mine["kind"] == wire.KIND_GAP).any()
        found = sorted(record.rows(mine))
        # It began a minute before its first round; the rest of that minute is older than the test.
        want = sorted(history(home, symbol, began, noted.reached[name]))
        assert [row for row in found if row[0] >= began] == want
        assert len(want) > 20
        assert numbers[name]["price_scale"] >= 2
    received = records["ts_recv"][records["kind"] != wire.KIND_DETAIL]
    assert (np.diff(received) >= 0).all()
    epochs = records[(records["kind"] == wire.KIND_STATUS) & (records["id"] == 1)]["price"]
    assert epochs.tolist() == list(range(1, len(FAULTS) + 2))


def test_supervised_it_tells_that_the_provider_is_away_and_leaves_with_its_supervisor(home: Home) -> None:
    process = started(home, "--supervised")
    until(lambda: said(home).get("state") == "live", "it is live")
    with Faults(home, VENUE) as faults:
        # Longer than is waited for: so far off it is told instead.
        faults.start("throttle", count=100, retry_after_s=1000)
        until(lambda: said(home)["state"] == "reconnecting", "it is away")
        assert said(home)["error"]["code"] in ("provider_limit", "provider_paused")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0
    lines = [json.loads(line) for line in (home.path / "log").read_text().splitlines()]
    assert all(line["part"] == f"collector-{VENUE}" for line in lines)
    records = journal(home)
    assert wire.STATUSES[int(records["id"][-1])] == "closed"
    assert "stale" in {wire.STATUSES[code] for code in records["id"][records["kind"] == wire.KIND_STATUS]}
