"""A real platform for tests: started by the real command, asked over its real sockets, killed for real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tests.system.oracle import Gap, Trade
from tidemill import control
from tidemill.errors import TidemillError
from tidemill.home import Home

COMMAND = [sys.executable, "-m", "tidemill"]
READY_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true answer of `condition`; fails naming `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


class Platform:
    """One `tidemill up` in a folder of its own."""

    def __init__(self, path: Path, *words: str, rate: int = 200, seed: int = 42) -> None:
        self.home = Home(path)
        self.port = free_port()
        self.truth = path.parent / f"{path.name}-truth.jsonl"
        self.words = [
            "up", "--home", str(path), "--port", str(self.port), "--no-browser",
            "--rate", str(rate), "--seed", str(seed), "--truth", str(self.truth), *words,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Platform:
        self.home.path.mkdir(parents=True, exist_ok=True)
        with (self.home.path.parent / f"{self.home.path.name}-up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *self.words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until(self.is_ready, f"platform in {self.home.path} is ready", READY_S)
        return self

    def is_ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            log = (self.home.path.parent / f"{self.home.path.name}-up.log").read_text()
            raise AssertionError(f"`tidemill up` ended with {self.process.returncode}:\n{log[-3000:]}")
        with contextlib.suppress(OSError, TidemillError):
            status, answer = self.get("/api/v1/health")
            return status == 200 and answer["ready"]
        return False

    def stop(self) -> int:
        """Ends the platform as Ctrl+C would; returns its exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """kill -9 of the supervisor itself."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def pid(self, part: str) -> int | None:
        """The pid of a running part; None while it is not running."""
        with contextlib.suppress(control.Unreachable):
            answer = control.ask_now(self.home.control("supervisor"), "status")
            return next((p["pid"] for p in answer["parts"] if p["part"] == part), None)
        return None

    def parts(self) -> list[str]:
        """Names of all parts the supervisor runs."""
        answer = control.ask_now(self.home.control("supervisor"), "status")
        return [part["part"] for part in answer["parts"]]

    def kill_part(self, part: str) -> int:
        """kill -9 of one part; returns the pid it had, once the supervisor has started another."""
        pid = until(lambda: self.pid(part), f"{part} runs")
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.pid(part) not in (None, pid), f"{part} is started again")
        return int(pid)

    def request(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Status and JSON answer of one request with the owner's token, another, or none (empty)."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"}
            | ({} if token == "" else {"Authorization": f"Bearer {token or self.home.read_token()}"}),
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def get(self, path: str) -> tuple[int, Any]:
        return self.request("GET", path)

    def collector(self, venue: str) -> dict[str, Any]:
        """The collector's own status; empty while it does not answer."""
        with contextlib.suppress(control.Unreachable):
            return control.ask_now(self.home.control(f"collector-{venue}"), "status")
        return {}

    def fault(self, venue: str, fault: str, **fields: Any) -> dict[str, Any]:
        """Asks the simulator for a fault; returns what it says it did."""
        where = json.loads((self.home.run / "sim.json").read_text())["control"]
        request = urllib.request.Request(
            f"{where}/faults", json.dumps({"venue": venue, "fault": fault, **fields}).encode()
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"fault {fault}: {error.code} {error.read()!r}") from error

    def wait_trades(self, venue: str, count: int, seconds: float = 30) -> None:
        """Waits until the venue's journal holds `count` more records."""
        start = self.collector(venue).get("sequence", 0)
        until(
            lambda: self.collector(venue).get("sequence", 0) >= start + count,
            f"{count} records of {venue}",
            seconds,
        )


@contextlib.contextmanager
def running(path: Path, *words: str, **options: Any) -> Iterator[Platform]:
    """A started platform that is stopped at the end, whatever happens."""
    platform = Platform(path, *words, **options)
    try:
        yield platform.start()
    finally:
        if platform.process and platform.process.poll() is None:
            platform.stop()


def journal_records(home: Path, venue: str) -> tuple[np.ndarray, np.ndarray]:
    """Everything in a venue's journal: records and their sequences."""
    from tidemill import _native
    from tidemill.wire import RECORD

    reader = _native.JournalReader(str(home), venue)
    reader.seek("oldest")
    batches, sequences = [], []
    while (batch := reader.read(1 << 20, 0)) is not None:
        records = np.frombuffer(batch, dtype=RECORD)
        batches.append(records)
        sequences.append(np.arange(batch.sequence, batch.sequence + len(records), dtype=np.uint64))
    assert not reader.take_lost(), "the journal itself lost records"
    if not batches:
        return np.empty(0, dtype=RECORD), np.empty(0, dtype=np.uint64)
    return np.concatenate(batches), np.concatenate(sequences)


def names(home: Path, venue: str) -> dict[int, str]:
    """Instrument numbers of a venue and their names."""
    from tidemill import _native

    return {i["number"]: i["name"] for i in _native.instruments(str(home), venue)}


SIDES = ("none", "buy", "sell", "none")


def journal_trades(home: Path, venue: str) -> list[Trade]:
    """Trades of a journal, in its order."""
    records, _ = journal_records(home, venue)
    called = names(home, venue)
    return [
        Trade(
            called[int(r["instrument"])],
            int(r["id"]),
            Decimal(int(r["price"])).scaleb(-int(r["price_scale"])),
            Decimal(int(r["size"])).scaleb(-int(r["size_scale"])),
            SIDES[int(r["flags"]) & 3],
            int(r["ts_event"]),
        )
        for r in records[records["kind"] == 1]
    ]


def journal_gaps(home: Path, venue: str) -> list[Gap]:
    """Gaps in trades that a journal records; one still open at the end has no upper bound."""
    records, sequences = journal_records(home, venue)
    called = names(home, venue)
    is_gap = (records["kind"] == 6) & np.isin(records["price_scale"], (0, 1))
    opened: dict[int, np.void] = {}
    gaps: list[Gap] = []

    def bound(value: int) -> int | None:
        return None if value < 0 else value

    for sequence, r in zip(sequences[is_gap], records[is_gap], strict=True):
        if int(r["flags"]) & 3 == 1:
            opened[int(sequence)] = r
        else:
            start = opened.pop(int(r["id"]), None)
            after = bound(int(start["price"])) if start is not None else None
            gaps.append(Gap(called[int(r["instrument"])], after, bound(int(r["price"])), int(r["size"])))
    for r in opened.values():
        gaps.append(Gap(called[int(r["instrument"])], bound(int(r["price"])), None, -1))
    return gaps
