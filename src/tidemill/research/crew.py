"""The worker processes of a study: each has one piece of work at a time, and the next with its answer.

Processes are started by exec. One that dies is started again, and what it was at is tried once more; what
ends two of them is told as failed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import numpy as np
import orjson

from tidemill.errors import ResourceError
from tidemill.research import lookback
from tidemill.strategies.api import Strategy

CHUNK_S: Final = 0.25
"""So long a piece of work is meant to take: long beside a message, short beside a kill."""
CHUNK_MAX: Final = 512
DEATHS_MAX: Final = 2
ITEM_S_MAX: Final = 900.0
_READ_BYTES: Final = 1 << 18

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came of one item."""

    key: Any
    told: Mapping[str, Any]
    returns: Any
    """Float32 of each day, shape (days,)."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    left: bytearray = field(default_factory=bytearray)
    items: deque[Item] = field(default_factory=deque)
    """Those that it has and has not answered, in the order of its answers."""
    answers: list[Answer] = field(default_factory=list)
    """Those of its piece of work that have come so far."""
    given: int = 0
    began: float = 0.0
    """When it was given its work (s, monotonic), and when it answered last."""
    since: float = 0.0
    ready: bool = False


class Workers(Protocol):
    """Whoever makes a study's trials. A context manager: they end with it."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    @property
    def pids(self) -> list[int]:
        """Of their processes."""

    def lookback(self, names: Sequence[str], corners: Sequence[Mapping[str, Any]]) -> int:
        """How many steps the strategy looks back on these instruments, as `lookback.of`."""

    def work(self, stage: str, items: Iterable[Item], *, first: int | None = None) -> Iterator[list[Answer]]:
        """Answers as they come, a piece of work at a time. No worker gets its next piece before what it
        answered was taken by the caller: who writes it down first has lost nothing but what is at work.

        `stage` is the folder of the mapped history; with `first` (ns) returns begin there."""


class Pace:
    """How many items make a piece of work, by how long they have taken."""

    def __init__(self) -> None:
        self._each_s: float | None = None

    def took(self, seconds: float, items: int) -> None:
        """So long so many took."""
        each = seconds / items
        self._each_s = each if self._each_s is None else (self._each_s + each) / 2

    def many(self, left: int, workers: int) -> int:
        """Items of the next piece, of those that are left; near the end everybody gets some."""
        found = 1 if self._each_s is None else int(CHUNK_S / max(self._each_s, 1e-6))
        return min(left, max(1, min(found, CHUNK_MAX, -(-left // workers))))


class Crew:
    """`count` processes that try a strategy. A context manager: they end with it."""

    def __init__(self, count: int, order: Mapping[str, Any], strategy: type[Strategy]) -> None:
        """`order` names the strategy, the settings and the objectives."""
        self._strategy = strategy
        self._order = orjson.dumps(order) + b"\n"
        self._count = max(1, count)
        self._workers: list[_Worker] = []
        self._pace = Pace()
        self._deaths: dict[Any, int] = {}
        self._early = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.process.kill()
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
        self._workers.clear()

    def lookback(self, names: Sequence[str], corners: Sequence[Mapping[str, Any]]) -> int:
        """As `lookback.of`."""
        return lookback.of(self._strategy, names, corners)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._workers]

    def work(self, stage: str, items: Iterable[Item], *, first: int | None = None) -> Iterator[list[Answer]]:
        """As `Workers.work`."""
        left = deque(items)
        if not left:
            return
        while len(self._workers) < min(self._count, len(left)):
            self._workers.append(self._start())
        with selectors.DefaultSelector() as ready:
            for worker in self._workers:
                self._give(worker, stage, first, left)
                ready.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
            while left or any(worker.items for worker in self._workers):
                for key, _ in ready.select(1.0):
                    worker = key.data
                    read = os.read(key.fd, _READ_BYTES)
                    if not read:
                        ready.unregister(key.fileobj)
                        answers = worker.answers + self._died(worker, left)
                        position = self._workers.index(worker)
                        self._workers[position] = worker = self._start()
                        ready.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
                    else:
                        worker.left += read
                        self._take(worker)
                        answers = [] if worker.items else worker.answers
                    if answers:
                        yield answers
                    if not worker.items:
                        self._give(worker, stage, first, left)
                self._hurry()

    def _start(self) -> _Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidemill.research.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            bufsize=0, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        worker = _Worker(process)
        self._say(worker, self._order)
        return worker

    def _say(self, worker: _Worker, line: bytes) -> None:
        assert worker.process.stdin is not None  # noqa: S101 - it was opened as a pipe
        data = memoryview(line)
        with contextlib.suppress(OSError):  # it is gone; its end is read elsewhere
            while data:
                data = data[os.write(worker.process.stdin.fileno(), data) :]

    def _give(self, worker: _Worker, stage: str, first: int | None, left: deque[Item]) -> None:
        if not left:
            return
        many = self._pace.many(len(left), self._count)
        worker.items.extend(left.popleft() for _ in range(many))
        worker.answers, worker.given = [], len(worker.items)
        worker.began = worker.since = time.monotonic()
        asked = {"stage": stage, "first": first, "items": list(worker.items)}
        self._say(worker, orjson.dumps(asked) + b"\n")

    def _take(self, worker: _Worker) -> None:
        """Reads the answers that are whole."""
        while (end := worker.left.find(b"\n")) >= 0:
            told = orjson.loads(bytes(worker.left[:end]))
            now = time.monotonic()
            if told.get("op") == "ready":
                worker.ready, worker.began, worker.since = True, now, now
                del worker.left[: end + 1]
                continue
            size = told.pop("bytes")
            if len(worker.left) < end + 1 + size:
                return
            payload = bytes(worker.left[end + 1 : end + 1 + size])
            del worker.left[: end + 1 + size]
            worker.since = now
            key = told.pop("key")
            worker.items.popleft()
            worker.answers.append(Answer(key, told, np.frombuffer(payload, "<f4")))
            if not worker.items:
                self._pace.took(now - worker.began, worker.given)

    def _died(self, worker: _Worker, left: deque[Item]) -> list[Answer]:
        """What it had goes back; the first of it was at work."""
        code = worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        if not worker.ready:
            self._early += 1
            if self._early > DEATHS_MAX * self._count:
                raise ResourceError(
                    "worker_died",
                    f"the workers of the study do not start: they end with {code}",
                    hint="its log has what they said; a bound on memory may be too low",
                )
        answers = []
        if worker.items and worker.ready:
            item = worker.items[0]
            deaths = self._deaths[str(item["key"])] = self._deaths.get(str(item["key"]), 0) + 1
            if deaths >= DEATHS_MAX:
                worker.items.popleft()
                answers.append(
                    Answer(item["key"], {"error": f"its process ended with {code}"}, np.empty(0, "<f4"))
                )
        left.extendleft(reversed(worker.items))
        worker.items.clear()
        return answers

    def _hurry(self) -> None:
        """Ends what takes for ever; its end is read as any other."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.items and now - worker.since > ITEM_S_MAX:
                worker.process.kill()
