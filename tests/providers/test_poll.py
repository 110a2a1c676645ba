"""The poller: each trade once, however late it is filed and whatever fails in between."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import AuthError, UpstreamError
from tidemill.providers.api import Ask, Chunk, TradeColumns
from tidemill.providers.poll import Poller

SECOND = 1_000_000_000


class Filed:
    """A provider whose trades can be had some time after they happened, and whose rounds fail as told."""

    def __init__(self, rows: list[tuple[int, int, int]], failures: list[Exception | None]) -> None:
        self.rows, self.failures, self.now = sorted(rows), failures, 0

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        had = [row for row in self.rows if chunk.start <= row[0] < chunk.end and row[1] <= self.now]
        # The scale of a chunk is that of its longest price.
        places = 1 if any(price % 10 for _, _, price in had) else 0
        prices = np.array([price if places else price // 10 for _, _, price in had], np.int64)
        ones = np.ones(len(had), np.int64)
        return TradeColumns(
            np.array([ts for ts, _, _ in had], np.int64), prices, ones, np.zeros(len(had), np.int8), -ones,
            np.zeros(len(had), np.bool_), places, 0, exchange=tuple("V" for _ in had),
        )  # fmt: skip


def polled(
    rows: list[tuple[int, int, int]], failures: list[Exception | None], rounds: int
) -> list[tuple[int, Decimal]]:
    source = Filed(rows, failures)
    found: list[tuple[int, Decimal]] = []

    async def sleep(seconds: float) -> None:
        source.now += int(seconds * SECOND)
        if source.now > rounds * 10 * SECOND:
            raise asyncio.CancelledError

    async def main() -> None:
        poller = Poller(source, "X", every_s=10, again_s=60, now=lambda: source.now, sleep=sleep)  # type: ignore[arg-type]
        async for new in poller.trades(0):
            assert len(new.exchange) == len(new)
            price = new.price.tolist()
            found.extend(
                (ts, Decimal(p).scaleb(-new.price_scale))
                for ts, p in zip(new.ts_event.tolist(), price, strict=True)
            )

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    return found


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 45), st.integers(1, 30)), max_size=40),
    st.lists(st.booleans(), max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_each_trade_comes_once(happened: list[tuple[int, int, int]], fails: list[bool]) -> None:
    rows = [(at * SECOND, (at + late) * SECOND, price) for at, late, price in happened]
    failures = [UpstreamError("provider_silent", "no") if fail else None for fail in fails]
    found = polled(rows, list(failures), 40)
    assert sorted(found) == sorted((ts, Decimal(price) / 10) for ts, _, price in rows)


def test_what_cannot_pass_is_raised() -> None:
    with pytest.raises(AuthError):
        polled([], [AuthError("provider_key", "no")], 3)
