"""Streaming bars."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from tests.servers.iqfeed import IQFeed
from tidemill.errors import NotFoundError, ResourceError, UpstreamError
from tidemill.iqfeed.derivative import Bar, Derivative, Parser
from tidemill.model.interval import MINUTE, SECOND


def test_lines() -> None:
    line = "BC,AAPL,2018-01-01 09:30:00,100.01,101.23,99.98,100.93,143562,745,0"
    expected = (
        "complete",
        "AAPL",
        1_514_817_000 * SECOND,
        "100.01",
        "101.23",
        "99.98",
        "100.93",
        "745",
        "143562",
        0,
    )
    assert Parser().take(f"TESTREQUEST,{line}") == Bar("TESTREQUEST", *expected)  # type: ignore[arg-type]
    assert Parser().take(line) == Bar("", *expected)  # type: ignore[arg-type]
    assert Parser().take("S,REPLACED PREVIOUS WATCH,AAPL") is None
    with pytest.raises(NotFoundError):
        Parser().take("n,XYZZ")
    with pytest.raises(ResourceError):
        Parser().take("S,SYMBOL LIMIT REACHED,AAPL")
    with pytest.raises(UpstreamError):
        Parser().take("R,BC,AAPL,2018-01-01 09:30:00,1,1,1,1,1,1,many")


async def _bars(sim: IQFeed) -> list[Bar]:
    derivative = await Derivative.open(sim.url)
    begin = (time.time_ns() // MINUTE - 10) * MINUTE
    await derivative.watch("FAKEPACA", 1, "X1", begin=begin, update_s=1)
    seen: list[Bar] = []
    async with asyncio.timeout(20):
        async for bar in derivative.bars():
            seen.append(bar)
            if {"history", "complete"} <= {bar.stage for bar in seen} and seen[0].label >= begin:
                break
    await derivative.unwatch("FAKEPACA", "X1")
    await derivative.close()
    return seen


def test_history_then_live(iqfeed_sim: IQFeed) -> None:
    bars = [bar for bar in asyncio.run(_bars(iqfeed_sim)) if bar.stage != "running"]
    assert len(bars) > 20
    assert all(a.label < b.label for a, b in pairwise(bars))
    for bar in bars:
        assert float(bar.low) <= min(float(bar.open), float(bar.close))
        assert float(bar.high) >= max(float(bar.open), float(bar.close))
