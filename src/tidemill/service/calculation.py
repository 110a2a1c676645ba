"""Indicators as answers: JSON columns or rows, Arrow, CSV or Parquet; kept by the version of the bars.

What runs in worker threads imports numpy and pyarrow, which the start of the service does not wait for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastapi import Response

from tidemill.errors import UsageError
from tidemill.metadata import event, fact
from tidemill.model import time as times
from tidemill.model.fact import Fact
from tidemill.service import answer, cursor, instant, packed
from tidemill.service.shape import MEDIA, Asked

if TYPE_CHECKING:
    from tidemill.calculated import Calculated, Values, Wanted
    from tidemill.indicator import Spec
    from tidemill.service.platform import Platform

CELLS_MAX = 2_000_000
"""Numbers in one answer."""
TOLD_S = 1.0
"""Between two events that tell of the same calculation."""
TOLD_MAX = 1_024


@dataclass(frozen=True)
class Task:
    """What is asked: a span of bars, and indicators of them."""

    asked: Asked
    interval: str
    indicators: tuple[tuple[str, Mapping[str, float]], ...]
    several: bool
    """They came as a list: columns carry the indicator's name even where it is one."""
    since: int | None


class Calculations:
    """Makes answers, once for all who ask at the same time, and tells of what was made."""

    def __init__(self, service: Platform) -> None:
        self._service = service
        self._told: dict[object, float] = {}

    async def answer(self, task: Task, actor: str) -> Response:
        """What was asked. Raises what `calculated.calculate` does."""
        service = self._service
        instrument = await service.run(service.view.resolve, task.asked.symbol)
        task = replace(task, asked=replace(task.asked, symbol=instrument))
        wanted = await service.run(check, task)
        service.accessed.note(instrument, "bars")
        told: list[Fact] = []
        if task.asked.adjusting:
            told = await service.read(lambda connection: fact.every(connection, instrument))
        made: list[Calculated] = []

        def make() -> Response:
            response, found = _made(service, task, wanted, told)
            made.append(found)
            return response

        asked = task.asked
        if asked.adjusting or asked.format in MEDIA:
            # Facts have no version, and files are as large as they are.
            response = await service.run(make)
        else:
            what = (
                "indicators", asked.start, asked.end, asked.limit, asked.cursor, asked.format, asked.time,
                [(one.name, dict(one.params)) for one in wanted], task.several, task.since,
            )  # fmt: skip
            # What a warm-up reaches back to is anybody's guess: any older bar makes another version.
            body = await service.kept.body(
                service, instrument, task.interval, (None, asked.end), what, lambda: bytes(make().body)
            )
            response = packed.response(body)
        if made:
            await self._tell(task, made[0], wanted, actor)
        return response

    async def _tell(self, task: Task, found: Calculated, wanted: Sequence[Wanted], actor: str) -> None:
        """Writes the event `indicator_calculated`; what is asked again and again is told once a second."""
        names = [one.text for one in wanted]
        now = time.monotonic()
        key = (task.asked.symbol, task.interval, *names)
        if now - self._told.get(key, float("-inf")) < TOLD_S:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told[key] = now
        bars = found.bars.bars
        data = {
            "interval": task.interval, "indicators": names, "rows": len(bars),
            "start": str(bars["start"][0]) if len(bars) else None,
            "end": str(bars["start"][-1]) if len(bars) else None,
        }  # fmt: skip
        cause = answer.request_id.get()
        await self._service.write(
            lambda connection: event.append(
                connection, "indicator_calculated", task.asked.symbol, actor=actor, cause=cause, data=data
            )
        )


def check(task: Task) -> list[Wanted]:
    """The indicators with all their parameters. Raises `UsageError` for what cannot be computed."""
    from tidemill.calculated import Wanted
    from tidemill.service import series

    series.checked(task.interval)
    wanted = [Wanted.of(name, given) for name, given in task.indicators]
    cells = task.asked.limit * sum(len(one.spec.outputs) for one in wanted)
    if cells > CELLS_MAX:
        raise UsageError(
            "limit_invalid",
            f"limit {task.asked.limit} of these is up to {cells:,} numbers, more than {CELLS_MAX:,}",
            hint="ask for fewer bars at once, and go on with next",
        )
    return wanted


def described(spec: Spec) -> dict[str, Any]:
    """An indicator as the list has it."""
    return {
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
        "source": spec.source,
        "inputs": list(spec.inputs),
        # TA-Lib does not say its ranges: infinity leaves as null.
        "params": [
            {"name": p.name, "kind": p.kind, "default": p.default, "low": p.low, "high": p.high}
            for p in spec.params
        ],
        "outputs": outputs(spec),
        "memory": spec.memory,
        "warm_up": spec.warm_up,
    }


def outputs(spec: Spec) -> list[dict[str, Any]]:
    """Its lines, and how to draw them."""
    return [
        {"name": o.name, "draw": o.draw, "pane": o.pane, "first": o.first, "shift": o.shift}
        for o in spec.outputs
    ]


def listed() -> bytes:
    """Every indicator there is: ours first, then TA-Lib's where it is installed; packed."""
    from tidemill import indicator, talib_spec

    every = [*indicator.registry().values(), *talib_spec.registry().values()]
    return packed.pack(answer.encode({"items": [described(one) for one in every]}))


def _made(
    service: Platform, task: Task, wanted: Sequence[Wanted], told: Sequence[Fact]
) -> tuple[Response, Calculated]:
    from tidemill import calculated
    from tidemill.service import series

    asked, interval = task.asked, task.interval
    instrument = asked.symbol
    said = [(one.name, sorted(one.params.items())) for one in wanted]
    filters = (instrument, interval, asked.start, asked.end, said, task.since, *asked.adjusting)
    edge = cursor.read(service.keeper, "indicators", filters, asked.cursor)
    start, end = asked.start, asked.end
    if edge is not None and start is None:
        end = int(edge[0])
    elif edge is not None:
        start = int(edge[0]) + 1
    steps = series.steps_of(service, instrument, interval, asked.adjusting, told)
    found = service.view.call(
        lambda live: calculated.calculate(
            live, instrument, interval, wanted, start, end, asked.limit, since=task.since, steps=steps
        )
    )
    facts = series.facts_of(found.bars, asked.time)
    facts["next"] = None
    bars = found.bars.bars
    if found.bars.more and len(bars):
        edge_ts = int(bars["start"][0 if asked.start is None else -1])
        facts["next"] = cursor.make(service.keeper, "indicators", filters, [edge_ts])
    current = found.bars.current
    facts["current"] = instant.show(int(current["start"][0]), asked.time) if len(current) else None
    head = {"instrument": instrument, "interval": interval}
    return _response(task, found, head, facts), found


def _response(task: Task, found: Calculated, head: dict[str, Any], facts: dict[str, Any]) -> Response:
    from tidemill.service import series

    asked, closed = task.asked, found.closed
    facts["indicators"] = [_said(one, closed, asked.time) for one in found.values]
    if asked.format == "columns":
        for one, said in zip(found.values, facts["indicators"], strict=True):
            said["values"] = {name: column[:closed] for name, column in one.columns.items()}
        ts = series.times(found.bars.bars["start"], asked.time)
        return packed.response(packed.pack(answer.encode({**head, "ts": ts, **facts})))
    columns = _named(found, task.several)
    if asked.format == "rows":
        ts = series.times(found.bars.bars["start"], asked.time)
        names = ("ts", *columns)
        rows = zip(ts, *(column[:closed].tolist() for column in columns.values()), strict=True)
        items = [dict(zip(names, row, strict=True)) for row in rows]
        return packed.response(packed.pack(answer.encode({**head, "items": items, **facts})))
    name = f"{head['instrument']}-{head['interval']}-{task.indicators[0][0].rpartition(':')[2]}"
    return series.floats_file(
        found.bars.bars["start"], {name: column[:closed] for name, column in columns.items()}, asked,
        {**head, **facts}, name,
    )  # fmt: skip


def _said(one: Values, closed: int, as_: instant.TimeFormat) -> dict[str, Any]:
    spec = one.wanted.spec
    moving = {
        name: None if math.isnan(value := float(column[closed])) else value
        for name, column in one.columns.items()
        if len(column) > closed
    }
    return {
        "indicator": spec.name,
        "params": dict(one.wanted.params),
        "outputs": outputs(spec),
        "memory": spec.memory,
        "warm_up": spec.warm_up,
        "began": instant.show(one.began, as_),
        "current": moving or None,
    }


def _named(found: Calculated, several: bool) -> dict[str, Any]:
    """Columns by name: the output's; of several indicators `rsi.rsi`, with a number where one came before."""
    if not several:
        return dict(found.values[0].columns)
    columns: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for one in found.values:
        counts[one.wanted.name] = counts.get(one.wanted.name, 0) + 1
        count = counts[one.wanted.name]
        label = one.wanted.name if count == 1 else f"{one.wanted.name}_{count}"
        columns |= {f"{label}.{name}": column for name, column in one.columns.items()}
    return columns


def span(start: str | None, end: str | None, last: str | None) -> tuple[int | None, int | None]:
    """Both ends of a range; `last` ("90d") counts back from the end, or from now."""
    low, high = instant.span(start, end)
    if last is None:
        return low, high
    if low is not None:
        raise UsageError("span_invalid", "both start and last were given", hint="give one of them")
    return (time.time_ns() if high is None else high) - times.duration(last), high
