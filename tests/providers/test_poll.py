"""The poller: each trade once, however late it is filed and whatever fails in between."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from decimal import Decimal
from typing import Any, TypeVar, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import AuthError, UpstreamError
from tidemill.model.interval import MINUTE, SECOND
from tidemill.providers.api import Ask, Chunk, TradeColumns
from tidemill.providers.poll import Hole, Poller, rows

HOUR = 60 * MINUTE
T = TypeVar("T")


class Filed:
    """A provider whose trades can be had some time after they happened, and whose rounds fail as told."""

    def __init__(
        self, happened: list[tuple[int, int, int]], failures: list[Exception | None], delay_s: float = 0.0
    ) -> None:
        self.rows, self.failures, self.now, self.delay_s = sorted(happened), failures, 0, delay_s
        self.asked: list[Chunk] = []

    async def trades(self, ask: Ask, chunk: Chunk) -> TradeColumns:
        assert chunk.start < chunk.end <= self.now - self.delay_s * SECOND
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        self.asked.append(chunk)
        had = [row for row in self.rows if chunk.start <= row[0] < chunk.end and row[1] <= self.now]
        # The scale of a chunk is that of its longest price.
        places = 1 if any(price % 10 for _, _, price in had) else 0
        prices = np.array([price if places else price // 10 for _, _, price in had], np.int64)
        ones = np.ones(len(had), np.int64)
        return TradeColumns(
            np.array([ts for ts, _, _ in had], np.int64), prices, ones, np.zeros(len(had), np.int8), -ones,
            np.zeros(len(had), np.bool_), places, 0, exchange=tuple("V" for _ in had),
        )  # fmt: skip


def poller(source: Filed, **options: Any) -> Poller:
    return Poller(source, "X", again_s=60, now=lambda: source.now, **options)  # type: ignore[arg-type]


def played(polling: Poller, source: Filed, moments: range) -> Iterator[tuple[int, Decimal]]:
    """The trades of a round at each moment; rounds may fail in a way that passes."""
    for source.now in moments:
        try:
            found = run(polling.round())
        except UpstreamError:
            continue
        if found is not None:
            assert len(found.trades.exchange) == len(found.trades)
            yield from ((row[0], row[3]) for row in rows(found.trades))


def run(round_: Coroutine[Any, Any, T]) -> T:
    """The outcome of what never waits."""
    try:
        round_.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    raise AssertionError("it waits")


def told(happened: list[tuple[int, int, int]]) -> list[tuple[int, Decimal]]:
    return sorted((ts, Decimal(price) / 10) for ts, _, price in happened)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 45), st.integers(1, 30)), max_size=40),
    st.lists(st.booleans(), max_size=12),
    st.sampled_from([0.0, 5.0, 900.0]),
    st.integers(0, 40),
)
@settings(max_examples=80, deadline=None)
def test_each_trade_comes_once_over_a_restart_too(
    happened: list[tuple[int, int, int]], fails: list[bool], delay_s: float, restart: int
) -> None:
    delay = int(delay_s) * SECOND
    filed = [(at * SECOND, (at + late) * SECOND + delay, price) for at, late, price in happened]
    failures = [UpstreamError("provider_silent", "no") if fail else None for fail in fails]
    source = Filed(filed, list(failures), delay_s)
    step, end = 10 * SECOND, delay + 400 * SECOND
    cut = delay + restart * step
    first = poller(source)
    found = list(played(first, source, range(delay + SECOND, cut, step)))
    again = poller(source)
    if first.reached is not None:
        kept = [row for row in _rows(found) if row[0] >= first.reached - MINUTE]
        again.resume(first.reached, kept)
    else:
        again.resume(0, [])
    found += played(again, source, range(cut + SECOND, end, step))
    assert sorted(found) == told(filed)


def _rows(found: list[tuple[int, Decimal]]) -> list[Any]:
    return [(ts, -1, "V", price, Decimal(1)) for ts, price in found]


def test_what_cannot_pass_is_raised_and_nothing_is_reached() -> None:
    source = Filed([], [AuthError("provider_key", "no")])
    polling = poller(source)
    source.now = HOUR
    with pytest.raises(AuthError):
        run(polling.round())
    assert polling.reached is None


def test_what_is_too_long_ago_is_a_hole_and_the_rest_is_asked_for() -> None:
    source = Filed([(at * MINUTE, at * MINUTE, 10) for at in range(1, 300)], [])
    polling = poller(source, catch_up_s=3600)
    assert len(list(played(polling, source, range(10 * MINUTE, 20 * MINUTE, MINUTE)))) == 10
    source.now = 79 * MINUTE  # an hour after the last round
    assert polling.hole() is None
    found = run(polling.round())
    assert found is not None
    assert (found.hole, len(found.trades)) == (None, 60)
    source.now = 200 * MINUTE
    assert polling.hole() == Hole(78 * MINUTE, 139 * MINUTE)
    found = run(polling.round())
    assert found is not None
    assert (found.hole, len(found.trades)) == (Hole(78 * MINUTE, 139 * MINUTE), 61)
    assert polling.hole() is None


def test_a_source_that_is_minutes_late_is_asked_for_whole_minutes() -> None:
    source = Filed([], [], 900.0)
    list(played(poller(source), source, range(20 * MINUTE, 24 * MINUTE, 10 * SECOND)))
    assert [chunk.end for chunk in source.asked] == [at * MINUTE for at in (5, 6, 7, 8)]


def test_a_clock_that_ran_ahead_hides_nothing() -> None:
    happened = [(at * 10 * SECOND, at * 10 * SECOND, 10) for at in range(1, 360)]
    source = Filed(happened, [])
    polling = poller(source)
    found = list(played(polling, source, range(SECOND, 10 * MINUTE, 10 * SECOND)))
    ahead, source.rows = source.rows, [row for row in source.rows if row[0] < 10 * MINUTE]
    found += played(polling, source, range(40 * MINUTE, 40 * MINUTE + 20 * SECOND, 10 * SECOND))
    source.rows = ahead
    found += played(polling, source, range(10 * MINUTE, 50 * MINUTE, 10 * SECOND))
    assert found == [row for row in told(happened) if row[0] < 50 * MINUTE - 10 * SECOND]
