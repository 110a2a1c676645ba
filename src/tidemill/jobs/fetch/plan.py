"""An order in chunks, which of them are there, and what the rest will take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tidemill.jobs.fetch.order import Order, delay_ns
from tidemill.providers.api import Ask, Chunk, Provider
from tidemill.stores import imported
from tidemill.stores.api import Store

ROW_BYTES = {"bars": 127, "trades": 87}
"""What the numbers of a row take up as columns. Files of the lake are smaller; how much, the rows decide."""


@dataclass(frozen=True)
class Series:
    """One symbol of an order."""

    symbol: str
    instrument: str
    ask: Ask
    chunks: tuple[Chunk, ...]
    applications: tuple[str, ...]
    """Of each chunk."""
    delay_ns: int


@dataclass(frozen=True)
class Plan:
    """The whole order. A unit is a chunk, or at the end of each symbol's chunks the bars that they share."""

    order: Order
    series: tuple[Series, ...]

    @classmethod
    def of(cls, order: Order, provider: Provider, job_id: str = "") -> Plan:
        """The chunks of every symbol; no I/O."""
        found = []
        for symbol in order.symbols:
            ask, instrument = order.ask(symbol), provider.instrument(symbol)
            chunks = tuple(provider.chunks(ask))
            names = tuple(
                imported.application(order.provider, instrument, order.what, order.chunk_name(chunk, job_id))
                for chunk in chunks
            )
            found.append(Series(symbol, instrument, ask, chunks, names, delay_ns(provider, ask)))
        return cls(order, tuple(found))

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """The number of each symbol's first unit, and how many units there are."""
        numbers = [0]
        for one in self.series:
            numbers.append(numbers[-1] + len(one.chunks) + 1)
        return tuple(numbers)

    @property
    def units(self) -> int:
        return self.firsts[-1]

    def each(self) -> Iterator[tuple[int, int, int]]:
        """Every chunk as (unit, symbol's place, chunk's place), in order."""
        for at, one in enumerate(self.series):
            for part in range(len(one.chunks)):
                yield self.firsts[at] + part, at, part

    def held(self, store: Store) -> set[int]:
        """Units of chunks that are kept already."""
        there = imported.held(store, (name for one in self.series for name in one.applications))
        return {unit for unit, at, part in self.each() if self.series[at].applications[part] in there}


def estimate(order: Order, store: Store) -> dict[str, Any]:
    """What an order will take: rows, requests, chunks, seconds (by the provider's limits) and bytes of what
    is not held yet, in all and per symbol. Rows and bytes are at most; requests are expected."""
    provider = order.asleep()
    plan = Plan.of(order, provider)
    held = set() if order.again else plan.held(store)
    lines: list[dict[str, Any]] = []
    for at, one in enumerate(plan.series):
        wanted = [chunk for n, chunk in enumerate(one.chunks) if plan.firsts[at] + n not in held]
        rows = sum(chunk.rows for chunk in wanted)
        lines.append(
            {
                "symbol": one.symbol, "instrument": one.instrument, "chunks": len(wanted),
                "held": len(one.chunks) - len(wanted), "rows": rows,
                "requests": sum(chunk.requests for chunk in wanted), "bytes": rows * ROW_BYTES[order.kind],
            }
        )  # fmt: skip
    totals = {
        name: sum(line[name] for line in lines) for name in ("chunks", "held", "rows", "requests", "bytes")
    }
    limits = provider.limits
    seconds = max(0.0, totals["requests"] - limits.burst) / limits.per_s
    return {**order.detail(), **totals, "seconds": round(seconds, 3), "items": lines}
