"""The workers of a study whose code is nobody's that this process may trust: guests of the sandbox, each warm
from its first trial to its last.

A guest is shown the study's mapped histories, which all of them share, and nothing else. What it answers are
words of code that nobody trusts: they are read as such, and metrics are measured here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tidemill import sandbox
from tidemill.errors import CancelledError, ConfigError, TidemillError
from tidemill.research.bench import ERROR_CHARS_MAX, TRADES
from tidemill.research.crew import Answer, Item, Pace
from tidemill.research.mapped import Mapped
from tidemill.research.run import TRADES as SHAPE
from tidemill.research.setting import of_json
from tidemill.research.source import Code
from tidemill.research.trial import told
from tidemill.sandbox.answer import text

MIB: Final = 1 << 20
PIECE_S_MAX: Final = 900.0
LIMITS: Final = sandbox.Limits(memory_bytes=4096 * MIB, answer_bytes=512 * MIB)
MODULES: Final = ("tidemill.research.bench", "tidemill.research.lookback")
_EMPTY: Final = np.empty(0, "<f4")


@dataclass
class _Lane:
    """A place for one guest at a time."""

    session: sandbox.Session | None = None


@dataclass(frozen=True)
class _Task:
    """What is asked of a guest at once."""

    stage: Mapped
    place: Path
    first: int | None
    days: int
    per_year: int
    items: Sequence[Item]


class GuestCrew:
    """`count` guests that try a strategy. A context manager: they end with it."""

    def __init__(self, count: int, order: Mapping[str, Any], code: Code, folder: Path) -> None:
        """`order` has the settings and the objectives; `folder` is where the mapped histories will be."""
        self._order = {"settings": order["settings"], "objectives": list(order["objectives"])}
        self._code, self._folder = code, folder
        self._lanes = [_Lane() for _ in range(max(1, count))]
        self._threads = ThreadPoolExecutor(len(self._lanes), "guest")
        self._pace = Pace()
        self._stages: dict[str, Mapped] = {}
        self._over = False

    def __enter__(self) -> GuestCrew:
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever waits for a guest looks at this some twenty times a second.
        self._over = True
        self._threads.shutdown()
        for lane in self._lanes:
            if lane.session is not None:
                lane.session.close()

    @property
    def pids(self) -> list[int]:
        """Of the processes that hold the guests."""
        return [lane.session.pid for lane in self._lanes if lane.session is not None]

    def lookback(self, names: Sequence[str], corners: Sequence[Mapping[str, Any]]) -> int:
        """As `lookback.of`; 0 where the code fails."""
        asked = {"corners": list(corners), "names": list(names)}
        try:
            found = self._asked(self._lanes[0], asked, PIECE_S_MAX).result.get("lookback")
        except (CancelledError, ConfigError):
            raise
        except TidemillError:
            return 0
        return found if isinstance(found, int) and found > 0 else 0

    def work(self, stage: str, items: Iterable[Item], *, first: int | None = None) -> Iterator[list[Answer]]:
        """As `crew.Crew.work`."""
        left = deque(items)
        if not left:
            return
        opened = self._stages.get(stage) or Mapped(Path(stage), of_json(self._order["settings"]))
        self._stages = {stage: opened}  # the one of before is gone
        daily = opened.daily(first)

        def give(lane: _Lane) -> Future[tuple[list[Answer], float]]:
            many = self._pace.many(len(left), len(self._lanes))
            piece = [left.popleft() for _ in range(many)]
            task = _Task(opened, Path(stage), first, len(daily.rows), daily.per_year, piece)
            return self._threads.submit(self._done, lane, task)

        busy = {give(lane): lane for lane in self._lanes[: len(left)] if left}
        while busy:
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                lane = busy.pop(future)
                answers, took = future.result()
                self._pace.took(took, len(answers))
                yield answers
                if left:
                    busy[give(lane)] = lane

    def _done(self, lane: _Lane, task: _Task) -> tuple[list[Answer], float]:
        """The answers to a piece of work, and how long it took (s). Where it ends its guest, each item of it
        is tried alone in another: what ends that one, too, is a failed trial."""
        began = monotonic()
        try:
            return self._answers(lane, task), monotonic() - began
        except (CancelledError, ConfigError):
            raise
        except TidemillError:
            pass
        answers = []
        for item in task.items:
            alone = _Task(task.stage, task.place, task.first, task.days, task.per_year, [item])
            try:
                answers += self._answers(lane, alone)
            except (CancelledError, ConfigError):
                raise
            except TidemillError as error:
                answers.append(_failed(item, f"{error.code}: {error.message}"))
        return answers, monotonic() - began

    def _answers(self, lane: _Lane, task: _Task) -> list[Answer]:
        asked = {"stage": task.place, "first": task.first, "items": list(task.items)}
        found = self._asked(lane, asked, PIECE_S_MAX)
        said, returns = found.result.get("answers"), _returns(found.tables.get("returns"))
        if not isinstance(said, list) or len(said) != len(task.items):
            return [_failed(item, _UNFIT) for item in task.items]
        answers, at = [], 0
        for number, (item, one) in enumerate(zip(task.items, said, strict=True)):
            days = one.get("days") if isinstance(one, dict) else None
            many = days if isinstance(days, int) and days in (0, task.days) else 0
            series, at = returns[at : at + many], at + many
            answers.append(self._read(item, one, series, found.tables.get(f"trades.{number}"), task))
        return answers

    def _read(self, item: Item, said: Any, series: Any, trades: pa.Table | None, task: _Task) -> Answer:
        """One answer, as far as it is one."""
        if not isinstance(said, dict):
            return _failed(item, _UNFIT)
        if "error" in said:
            return _failed(item, str(said["error"]))
        try:
            fills = said["metrics"]["fills"]
            if not isinstance(fills, float | int) or not 0 <= fills < 2**53 or len(series) != task.days:
                return _failed(item, _UNFIT)
            found = told(series, task.per_year, int(fills), self._order["objectives"])
            if item.get("whole"):
                found |= _whole(said, trades, task.stage)
        except (KeyError, TypeError, ValueError, pa.ArrowException):
            return _failed(item, _UNFIT)
        return Answer(item["key"], found, series)

    def _asked(self, lane: _Lane, asked: dict[str, Any], wall_s: float) -> sandbox.Answer:
        """What the lane's guest answers; a new one, where the last is gone."""
        if self._over:
            raise CancelledError("cancelled", "the study was stopped")
        code = self._code
        if lane.session is None or not lane.session.alive:
            if lane.session is not None:
                lane.session.close()
            lane.session = sandbox.lease(
                code.name, code.text, limits=LIMITS, modules=MODULES, shown=self._folder
            )
        if "stage" in asked:
            asked = asked | {"stage": lane.session.place(asked["stage"])}
        request = {
            "source": code.text,
            "name": f"{code.name}.py",
            "class": code.wanted,
            **self._order,
            **asked,
        }
        limits = sandbox.Limits(
            wall_s=wall_s, cpu_s=wall_s, memory_bytes=LIMITS.memory_bytes, answer_bytes=LIMITS.answer_bytes
        )
        return lane.session.run("trial", request, {}, limits=limits, cancel=lambda: self._over)


_UNFIT: Final = (
    "strategy_invalid: its code gave no outcome of a trial; leave the modules of tidemill as they are"
)


def _failed(item: Item, said: str) -> Answer:
    return Answer(item["key"], {"error": text(said)[:ERROR_CHARS_MAX]}, _EMPTY)


def _returns(table: pa.Table | None) -> Any:
    """Float32 of all answers end to end; none where it gave no such."""
    if table is None or table.schema.names != ["returns"] or table.schema.types != [pa.float32()]:
        return _EMPTY
    return table["returns"].to_numpy().astype("<f4")


def _whole(said: Mapping[str, Any], trades: pa.Table | None, stage: Mapped) -> dict[str, Any]:
    """What only a whole run says. Raises `ValueError` and the like for what it cannot be."""
    if trades is None:
        raise ValueError("no trades")
    shape = pa.schema([SHAPE.field(name) for name in TRADES])
    columns: dict[str, list[Any]] = trades.select(TRADES).cast(shape).to_pydict()
    starts = {
        name: (int(one.start[0]), int(one.end[-1]), len(one)) for name, one in stage.history.tracks.items()
    }
    for name, side, opened, closed, bars in zip(
        *(columns[word] for word in ("instrument", "side", "opened", "closed", "bars")), strict=True
    ):
        low, high, many = starts[name]
        good = side in ("long", "short") and low <= opened <= high and 0 <= bars <= many
        if not good or (closed is not None and not opened <= closed <= high):
            raise ValueError("a trade outside of the history")
    if not all(math.isfinite(value) for word in ("net", "return", "fees") for value in columns[word]):
        raise ValueError("a trade without a result")
    digest = said["digest"]
    if not isinstance(digest, str) or len(digest) != 64:
        raise ValueError("no digest")
    return {
        "digest": digest, "traded": float(said["traded"]), "fees": float(said["fees"]), "trades": columns,
    }  # fmt: skip
