"""A provider of tests: trades that can be had some time after they happened, and failures as told."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tidemill.providers.api import Ask, Chunk, Credential, Kind, Limits, TradeColumns

SECOND = 1_000_000_000
Trade = tuple[int, int, str, int]
"""When it happened, when it was filed, its id and its price."""


class Filed:
    """One whose clock is `now`, ns."""

    kinds: ClassVar[tuple[Kind, ...]] = ("trades",)
    credentials: ClassVar[tuple[Credential, ...]] = ()
    limits = Limits(1000.0, 1000)
    delay_s = 0.0

    def __init__(self, trades: list[Trade]) -> None:
        self.filed, self.now = sorted(trades), 0
        self.failures: list[Exception | None] = []
        self.asked: list[Chunk] = []
        self.closed = False

    def instrument(self, symbol: str) -> str:
        return f"{symbol}.filed"

    def chunks(self, ask: Ask) -> list[Chunk]:
        return [Chunk(ask.start, ask.end, 1, 1)]

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        self.asked.append(chunk)
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        had = [one for one in self.filed if chunk.start <= one[0] < chunk.end and one[1] <= self.now]
        count = len(had)
        return TradeColumns(
            np.array([one[0] for one in had], np.int64), np.array([one[3] for one in had], np.int64),
            np.ones(count, np.int64), np.ones(count, np.int8), np.full(count, -1), np.zeros(count, np.bool_),
            2, 0, tuple(one[2] for one in had), tuple("14 41" for _ in had), tuple("4" for _ in had),
        )  # fmt: skip

    async def close(self) -> None:
        self.closed = True
