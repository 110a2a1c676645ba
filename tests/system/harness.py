"""A real platform for tests: started by the real command, asked over its real sockets, killed for real."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
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

from tests.servers.process import free_port
from tests.system.book import Kept
from tests.system.oracle import Gap, Trade
from tidemill import _native, control, wire
from tidemill.errors import TidemillError
from tidemill.home import Home
from tidemill.model.collector import PROTOCOLS

COMMAND = [sys.executable, "-m", "tidemill"]
EDGE_NS = 2 * 10**9
"""What a venue sent so long before the newest record of it has arrived, or will not."""
BEGIN_NS = 5 * 10**9
"""So long after the first record every stream of the venue flows."""
READY_S = 60.0
STOP_S = 60.0
CRASHES = ("Fatal Python", "panicked")
"""Words in the log of a part that did not end as it should, whatever its exit code."""


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true answer of `condition`; fails naming `what`, and what the platforms that run say of
    themselves, when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            told = "".join(f"\n{platform.tale()}" for platform in _running)
            raise AssertionError(f"{what}: not within {seconds:g} s{told}")
        time.sleep(0.02)


def seeded() -> random.Random:
    """Chance with another seed each time, which a test that fails shows among what it printed."""
    seed = random.randrange(1 << 32)
    print(f"random.Random({seed})")
    return random.Random(seed)


class Platform:
    """One `tidemill up` in a folder of its own."""

    def __init__(
        self, path: Path, *words: str, rate: int = 200, seed: int = 42, history: bool = True
    ) -> None:
        """`history` False leaves out the generated past of the simulated venues, for a quicker start."""
        self.home = Home(path)
        self.has_history = history
        self.port = free_port()
        self.truth = path.parent / f"{path.name}-truth.jsonl"
        self.log = path.parent / f"{path.name}-up.log"
        self.words = [
            "up", "--home", str(path), "--port", str(self.port), "--no-browser",
            "--rate", str(rate), "--seed", str(seed), "--truth", str(self.truth), *words,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Platform:
        self.home.path.mkdir(parents=True, exist_ok=True)
        if not self.has_history:
            (self.home.path / "sim").mkdir(exist_ok=True)
            for protocol in PROTOCOLS:
                self.home.generated(protocol).touch()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *self.words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until(self.is_ready, f"platform in {self.home.path} is ready", READY_S)
        return self

    def is_ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"`tidemill up` ended with {self.process.returncode}\n{self.tale()}")
        with contextlib.suppress(OSError, TidemillError):
            status, answer = self.get("/api/v1/health")
            return status == 200 and answer["ready"]
        return False

    def stop(self) -> int:
        """Ends the platform as Ctrl+C would; returns its exit code. No part may have crashed."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"`tidemill up` did not end within {STOP_S:g} s\n{self.tale()}") from None
        for log in self.logs():
            crash = next((line for line in lines_of(log) if any(word in line for word in CRASHES)), None)
            assert crash is None, f"{log.stem} crashed: {crash}"
        return code

    def end(self) -> None:
        """kill -9 of whatever still runs."""
        if self.process and self.process.poll() is None:
            pids = children(self.process.pid)
            self.kill()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def logs(self) -> list[Path]:
        """Of the supervisor and of every part."""
        return [self.log, *sorted(self.home.logs.glob("*.jsonl"))]

    def tale(self) -> str:
        """What it says of itself, for a test that waited in vain: what is not ready, the end of its log, and
        the last complaint of each part."""
        told = [f"{self.home.path}:"]
        with contextlib.suppress(OSError, TidemillError, ValueError):
            told += [f"  {part} is not ready: {why}" for part, why in self.not_ready().items()]
        up, *parts = self.logs()
        told += [f"  up: {line}" for line in lines_of(up)[-10:]]
        for log in parts:
            complaints = [line for line in lines_of(log) if not is_info(line)]
            told += [f"  {log.stem}: {line}" for line in complaints[-1:]]
        return "\n".join(told)

    def kill(self) -> None:
        """kill -9 of the supervisor itself."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def pid(self, part: str) -> int | None:
        """The pid of a running part; None while it is not running."""
        with contextlib.suppress(control.Unreachable):
            answer = control.ask_now(self.home.control("supervisor"), "status", timeout_s=10)
            return next((p["pid"] for p in answer["parts"] if p["part"] == part), None)
        return None

    def parts(self) -> list[str]:
        """Names of all parts the supervisor runs."""
        answer = control.ask_now(self.home.control("supervisor"), "status", timeout_s=10)
        return [part["part"] for part in answer["parts"]]

    def restarts(self) -> dict[str, int]:
        """How often the supervisor has started each part again."""
        answer = control.ask_now(self.home.control("supervisor"), "status", timeout_s=10)
        return {part["part"]: part["restarts"] for part in answer["parts"]}

    def ready_pid(self, part: str) -> int | None:
        """The pid of a part that does its work now; None while it does not."""
        with contextlib.suppress(control.Unreachable, OSError):
            if part == "service":
                rows = self.get("/api/v1/health")[1].get("parts", [])
                said = next((row for row in rows if row["part"] == part), {})
            else:
                said = control.ask_now(self.home.control(part), "status")
            if said.get("state") == "live":
                return int(said["pid"])
        return None

    def kill_part(self, part: str) -> float:
        """kill -9 of one part; returns the seconds until another does its work."""
        pid = until(lambda: self.pid(part), f"{part} runs")
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until(lambda: self.ready_pid(part) not in (None, pid), f"{part} is ready again", READY_S)
        return time.monotonic() - began

    def kill_all(self) -> None:
        """kill -9 of the supervisor and every part, as close to one moment as can be."""
        pids = [pid for name in self.parts() if (pid := self.pid(name))]
        self.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(is_alive(pid) for pid in pids), "every part is dead")

    @contextlib.contextmanager
    def stopped(self, part: str) -> Iterator[int]:
        """A part that hangs inside the block (SIGSTOP); yields its pid."""
        pid = int(until(lambda: self.pid(part), f"{part} runs"))
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def numbers(self, part: str) -> dict[str, Any]:
        """The `metrics` of a part's status."""
        found: dict[str, Any] = control.ask_now(self.home.control(part), "status", timeout_s=5)["metrics"]
        return found

    def not_ready(self) -> dict[str, str]:
        """What `GET /health` says of each part that is not ready."""
        status, answer = self.get("/api/v1/health")
        assert "parts" in answer, (status, answer)
        return {row["part"]: row["detail"] for row in answer["parts"] if not row["ready"]}

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
        return self._faults("POST", {"venue": venue, "fault": fault, **fields})

    def faults(self, venue: str) -> list[dict[str, Any]]:
        """Faults that go on at a venue."""
        found: list[dict[str, Any]] = self._faults("GET")["active"][venue]
        return found

    def clear_faults(self) -> None:
        """Ends every fault that goes on."""
        self._faults("DELETE")

    def _faults(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        where = json.loads((self.home.run / "sim.json").read_text())["control"]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{where}/faults", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} /faults {body}: {error.code} {error.read()!r}") from error

    def wait_trades(self, venue: str, count: int, seconds: float = 30) -> None:
        """Waits until the venue's journal holds `count` more records."""
        start = until(lambda: self.collector(venue), f"the collector of {venue} answers")["sequence"]
        until(
            lambda: self.collector(venue).get("sequence", 0) >= start + count,
            f"{count} records of {venue}",
            seconds,
        )


@contextlib.contextmanager
def running(path: Path, *words: str, **options: Any) -> Iterator[Platform]:
    """A started platform that is stopped with the block; nothing of it is left, whatever happens."""
    platform = Platform(path, *words, **options)
    _running.append(platform)
    try:
        yield platform.start()
        platform.stop()
    finally:
        _running.remove(platform)
        platform.end()


_running: list[Platform] = []
"""Those inside `running`."""


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [other for other in every if _parent(other) == pid]


def lines_of(log: Path) -> list[str]:
    """Lines of a log; none where there is no such log."""
    try:
        return log.read_text(errors="replace").splitlines()
    except OSError:
        return []


def is_info(line: str) -> bool:
    """Whether a line of a log is of the ordinary kind."""
    with contextlib.suppress(ValueError):
        return bool(json.loads(line)["level"] in ("debug", "info"))
    return False


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that nobody has waited for does not."""
    return _stat(pid)[:1] not in ([], ["Z"])


def _parent(pid: int) -> int | None:
    return int(found[1]) if (found := _stat(pid)) else None


def _stat(pid: int) -> list[str]:
    """State, parent and so on of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def journal_records(
    home: Path, venue: str, since: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What is in a venue's journal, from a position (epoch, sequence) on: records and their sequences."""
    reader = _native.JournalReader(str(home), venue)
    reader.seek(since or "oldest")
    batches, sequences = [], []
    while (batch := reader.read(1 << 20, 0)) is not None:
        records = wire.view(batch)
        batches.append(records)
        sequences.append(np.arange(batch.sequence, batch.sequence + len(records), dtype=np.uint64))
    assert not reader.take_lost(), "the journal itself lost records"
    if not batches:
        return np.empty(0, dtype=wire.RECORD), np.empty(0, dtype=np.uint64)
    return np.concatenate(batches), np.concatenate(sequences)


def names(home: Path, venue: str) -> dict[int, str]:
    """Instrument numbers of a venue and their names."""
    return {i["number"]: i["name"] for i in _native.instruments(str(home), venue)}


class Journal:
    """Everything in a venue's journal, read once."""

    def __init__(self, home: Path, venue: str) -> None:
        self.venue = venue
        self.records, self.sequences = journal_records(home, venue)
        self.names = names(home, venue)

    def span(self) -> tuple[int, int]:
        """Times between which all that the venue published must be here: a stream that stopped without a
        word is found out by the others, which went on."""
        timed = self.records[self._is_data() & (self.records["flags"] & wire.FLAG_NO_VENUE_TIME == 0)]
        # Snapshots show what is old: when they arrived says when the streams began.
        return int(timed["ts_recv"].min()) + BEGIN_NS, int(timed["ts_event"].max()) - EDGE_NS

    def trades(self, through: int | None = None, after: int = 0) -> list[Trade]:
        """Trades, in the journal's order, of a range of sequences or all."""
        is_wanted = (self.records["kind"] == wire.KIND_TRADE) & (self.sequences > after)
        if through is not None:
            is_wanted &= self.sequences <= through
        return [
            Trade(
                self.names[int(r["instrument"])],
                int(r["id"]),
                Decimal(int(r["price"])).scaleb(-int(r["price_scale"])),
                Decimal(int(r["size"])).scaleb(-int(r["size_scale"])),
                wire.AGGRESSORS[int(r["flags"]) & wire.FLAG_SIDE],
                int(r["ts_event"]),
            )
            for r in self.records[is_wanted]
        ]

    def gaps(self) -> list[Gap]:
        """Gaps in trades; one still open at the end has no upper bound."""
        is_gap = (self.records["kind"] == wire.KIND_GAP) & np.isin(self.records["price_scale"], (0, 1))
        opened: dict[int, tuple[np.void, bool]] = {}
        gaps: list[Gap] = []

        def bound(value: int) -> int | None:
            return None if value < 0 else value

        excuses = self.is_before_the_end()[is_gap]
        for n, (sequence, r) in enumerate(zip(self.sequences[is_gap], self.records[is_gap], strict=True)):
            if int(r["flags"]) & wire.FLAG_SIDE == wire.FLAG_BUY:
                opened[int(sequence)] = r, bool(excuses[n])
            else:
                start, _ = opened.pop(int(r["id"]))
                after = bound(int(start["price"]))
                gaps.append(
                    Gap(self.names[int(r["instrument"])], after, bound(int(r["price"])), int(r["size"]))
                )
        for r, is_excuse in opened.values():
            name, after = self.names[int(r["instrument"])], bound(int(r["price"]))
            gaps.append(Gap(name, after, None, -1, excuses=is_excuse))
        return gaps

    def books(self, proof: int | None = None) -> Kept:
        """The venue's books, replayed; `proof` as of `Kept`."""
        is_said = self.is_before_the_end()
        records, sequences = self.records[is_said], self.sequences[is_said]
        return Kept(self.venue, records, sequences, self.names, upto=self.span()[1], proof=proof)

    def _is_data(self) -> np.ndarray:
        return np.isin(self.records["kind"], (wire.KIND_TRADE, wire.KIND_QUOTE, wire.KIND_LEVEL))

    def is_before_the_end(self) -> np.ndarray:
        """All records up to the newest that the venue itself sent. The collector's end follows, and opens a
        gap in every stream, one that stopped long before included: that gap is no excuse."""
        found: np.ndarray = self.sequences <= self.sequences[self._is_data()].max(initial=0)
        return found
