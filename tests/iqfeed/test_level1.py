"""Level 1 lines, and a live stream of the simulator."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.servers.iqfeed import IQFeed
from tidemill.errors import UsageError
from tidemill.iqfeed.level1 import Correction, Level1, Missing, Moment, Parser, Quote, System, Trade, codes

USUAL = (
    "S,CURRENT UPDATE FIELDNAMES,Symbol,Most Recent Trade,Most Recent Trade Size,Most Recent Trade Time,"
    "Most Recent Trade Market Center,Total Volume,Bid,Bid Size,Ask,Ask Size,Open,High,Low,Close,"
    "Message Contents,"
    "Most Recent Trade Conditions,Most Recent Trade Aggressor,Most Recent Trade Date,TickID"
)
LINE = (
    "Q,AAPL,322.9100,13,16:53:16.164236,11,37620407,322.8700,100,323.0000,3300,312.6000,318.4000,"
    "312.1900,308.9500,{},8717,2,01/17/2020,77"
)


def parser() -> Parser:
    made = Parser()
    made.take(USUAL)
    return made


def test_a_trade_only_where_the_contents_say_so() -> None:
    [trade] = parser().take(LINE.format("O"))
    assert trade == Trade("AAPL", 1_579_297_996_164_236_000, "322.9100", "13", 77, "O", "11", "87 17", 2)
    quote = Quote("AAPL", "322.8700", "100", "323.0000", "3300")
    assert parser().take(LINE.format("ba")) == [quote]
    both = parser().take(LINE.format("Cbacv"))
    assert [type(event) for event in both] == [Trade, Quote]
    assert parser().take(LINE.format("v")) == []
    assert parser().take("P" + LINE.format("Cbav")[1:]) == [quote], "its trade is history's"


def test_other_lines() -> None:
    assert Parser().take("T,20180709 14:18:31") == [Moment(1_531_160_311_000_000_000)]
    assert Parser().take("n,XYZZ") == [Missing("XYZZ")]
    assert Parser().take("S,SERVER DISCONNECTED") == [System("SERVER DISCONNECTED", ())]
    assert Parser().take("S,SYMBOL LIMIT REACHED,SPY") == [System("SYMBOL LIMIT REACHED", ("SPY",))]
    [fixed] = Parser().take("C,AAPL,I,03/30/2021,19:59:14.503633,183.3600,13,101123,8801,17")
    assert fixed == Correction(
        "AAPL", True, 1_617_148_754_503_633_000, "183.3600", "13", 101_123, "88 01", "17"
    )
    for ignored in ("F,MSFT,5,65.6", "R,AAPL,X,1.23,100", "N,DTN,1,AAPL,20000102 152001,x,", "E,Hello"):
        assert Parser().take(ignored) == []


def test_conditions_are_pairs() -> None:
    assert [codes(text) for text in ("", "01", "143A", "873D17")] == ["", "01", "14 3A", "87 3D 17"]


async def _live(sim: IQFeed) -> dict[type, int]:
    seen: dict[type, int] = {}
    level1 = await Level1.open(sim.url)
    await level1.watch("FAKEPACA")
    await level1.watch("NONE")
    begun = time.time_ns()
    async with asyncio.timeout(20):
        async for event in level1.events():
            seen[type(event)] = seen.get(type(event), 0) + 1
            if isinstance(event, Trade):
                assert event.symbol == "FAKEPACA"
                assert abs(event.ts_event - begun) < 20 * 10**9, "New York's wall clock, read as it is meant"
                assert event.id > 0
            if {Trade, Quote, Moment, Missing, System} <= seen.keys() and seen[Trade] >= 3:
                break
    await level1.close()
    return seen


def test_a_live_stream(iqfeed_sim: IQFeed) -> None:
    assert asyncio.run(_live(iqfeed_sim))[Missing] == 1


def test_no_symbol_breaks_out_of_its_line(iqfeed_sim: IQFeed) -> None:
    async def ask() -> None:
        level1 = await Level1.open(iqfeed_sim.url)
        try:
            with pytest.raises(UsageError):
                await level1.watch("A\r\nS,DISCONNECT")
        finally:
            await level1.close()

    asyncio.run(ask())
