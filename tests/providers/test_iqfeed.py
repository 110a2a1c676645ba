"""IQFeed as a provider: chunks that abut, and history that is the simulated world's, trade for trade."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.iqfeed import IQFeed as Server
from tidemill.errors import NotFoundError, RateLimitError, UpstreamError, UsageError
from tidemill.iqfeed.eastern import midnight, wall
from tidemill.model.interval import DAY, HOUR, MINUTE, SECOND, Interval
from tidemill.providers import iqfeed, load
from tidemill.providers.api import Ask, BarColumns, Chunk, TradeColumns
from tidemill.providers.iqfeed import IQFeed

# Tuesday, 2 July 2024, 09:30 in New York.
OPEN = 1_719_927_000 * SECOND
MIDNIGHT = OPEN - 9 * HOUR - 30 * MINUTE
T = TypeVar("T")


class Gate:
    """A gate that counts, and never makes anybody wait."""

    def __init__(self) -> None:
        self.entered = 0
        self.pauses: list[float] = []

    async def enter(self, cost: int = 1) -> None:
        self.entered += cost

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def run(sim: Server, work: Callable[[IQFeed], Awaitable[T]], gate: Gate | None = None) -> T:
    async def whole() -> T:
        provider = IQFeed("sim-iqfeed", gate or Gate(), sim.url)
        try:
            return await work(provider)
        finally:
            await provider.close()

    return asyncio.run(whole())


def trades(sim: Server, symbol: str, start: int, end: int) -> list[TradeColumns]:
    async def work(provider: IQFeed) -> list[TradeColumns]:
        ask = Ask(symbol, "trades", start, end)
        return [await provider.trades(ask, chunk) for chunk in provider.chunks(ask)]

    return run(sim, work)


def bars(sim: Server, symbol: str, start: int, end: int, interval: str) -> list[BarColumns]:
    async def work(provider: IQFeed) -> list[BarColumns]:
        ask = Ask(symbol, "bars", start, end, interval)
        return [await provider.bars(ask, chunk) for chunk in provider.chunks(ask)]

    return run(sim, work)


def rows(parts: list[TradeColumns]) -> list[tuple[Any, ...]]:
    return [
        (int(ts), Decimal(int(price)).scaleb(-part.price_scale), int(size), int(id_), bool(odd))
        for part in parts
        for ts, price, size, id_, odd in zip(
            part.ts_event, part.price, part.size, part.id, part.irregular, strict=True
        )
    ]


def test_it_is_found_by_its_name() -> None:
    assert load("iqfeed") is load("sim-iqfeed") is IQFeed


SPANS = st.tuples(st.integers(1_200_000_000, 1_800_000_000), st.integers(1, 40_000_000))


@given(SPANS, st.sampled_from(["", *IQFeed.intervals]))
def test_chunks_abut_and_share_a_grid(span: tuple[int, int], interval: str) -> None:
    start, end = span[0] * SECOND + 7, (span[0] + span[1]) * SECOND
    end = max(start + 1, min(end, start + 40 * DAY) if interval in ("", "1s", "5s") else end)
    provider = IQFeed("iqfeed", Gate())
    ask = Ask("AAPL", "bars" if interval else "trades", start, end, interval)
    chunks = provider.chunks(ask)
    assert chunks == provider.chunks(ask)
    assert (chunks[0].start, chunks[-1].end) == (start, end)
    assert all(a.end == b.start for a, b in pairwise(chunks))
    assert all(chunk.start < chunk.end and chunk.requests >= 1 for chunk in chunks)
    for chunk in chunks[1:]:
        assert chunk.start % DAY == 0 if interval == "1d" else wall(chunk.start).hour == 0
    # Another span's grid is the same one.
    wider = provider.chunks(Ask(ask.symbol, ask.kind, start - DAY, end + DAY, interval))
    assert {chunk.start for chunk in chunks[1:]} <= {chunk.start for chunk in wider}


def test_a_chunk_of_ticks_is_a_day_of_23_24_or_25_hours() -> None:
    provider = IQFeed("iqfeed", Gate())
    for first, hours in (((2024, 3, 9), [24, 23, 24]), ((2024, 11, 2), [24, 25, 24])):
        import datetime

        start = midnight(datetime.date(*first))
        chunks = provider.chunks(Ask("AAPL", "trades", start, start + sum(hours) * HOUR))
        assert [(chunk.end - chunk.start) // HOUR for chunk in chunks] == hours


def test_what_cannot_be_asked() -> None:
    provider = IQFeed("iqfeed", Gate())
    assert provider.instrument(" aapl ") == "AAPL.iqfeed"
    assert provider.instrument("@ES#") == "@ES#.iqfeed"
    assert provider.instrument("EURUSD.FXCM") == "EURUSD.FXCM.iqfeed"
    for symbol in ("", "A,B", "A B", "A\r\nHDX", "x" * 40, "A/B"):
        with pytest.raises(UsageError):
            provider.instrument(symbol)
    with pytest.raises(UsageError, match="4h"):
        provider.chunks(Ask("AAPL", "bars", OPEN, OPEN + DAY, "4h"))
    with pytest.raises(UsageError, match="end"):
        provider.chunks(Ask("AAPL", "trades", OPEN, OPEN))
    with pytest.raises(UsageError, match="adjusted"):
        provider.chunks(Ask("AAPL", "trades", OPEN, OPEN + DAY, options={"adjusted": "true"}))


def polygon(sim: Server, start: int, end: int) -> list[dict[str, Any]]:
    """The same trades by another vendor's protocol, written by somebody else."""
    found: list[dict[str, Any]] = []
    url = f"{sim.polygon}/v3/trades/AAPL?timestamp.gte={start}&timestamp.lt={end}&limit=50000&order=asc"
    while url:
        request = urllib.request.Request(url, headers={"Authorization": "Bearer key"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = json.loads(answer.read(), parse_float=Decimal)
        found += said.get("results", [])
        url = said.get("next_url", "")
    return found


def test_trades_are_the_worlds_exactly(iqfeed_sim: Server) -> None:
    mine = rows(trades(iqfeed_sim, "AAPL", MIDNIGHT, MIDNIGHT + DAY))
    # What was taken back or replaced is still told there, and gone here.
    theirs = [
        row for row in polygon(iqfeed_sim, MIDNIGHT, MIDNIGHT + DAY) if row.get("correction", 0) in (0, 1)
    ]
    assert len(mine) > 2_000
    wanted = [
        (row["sip_timestamp"] // 1_000 * 1_000, Decimal(row["price"]), int(row["size"]))
        for row in sorted(theirs, key=lambda row: (row["sip_timestamp"], row["sequence_number"]))
    ]
    assert [row[:3] for row in mine] == wanted


def test_parts_are_the_whole(iqfeed_sim: Server) -> None:
    start, end = OPEN - 3 * HOUR, OPEN + DAY + 17 * SECOND + 5
    whole = rows(trades(iqfeed_sim, "AAPL", start, end))
    edges = [start, OPEN + 123_456_789, OPEN + SECOND, OPEN + HOUR + 1, end]
    parts = [row for a, b in pairwise(edges) for row in rows(trades(iqfeed_sim, "AAPL", a, b))]
    assert parts == whole
    assert len({row[3] for row in whole}) == len(whole), "no trade twice"
    assert all(start <= row[0] < end for row in whole)


@pytest.mark.parametrize("interval", ["1s", "1m", "15m", "1h"])
def test_bars_are_those_of_the_trades_that_count(iqfeed_sim: Server, interval: str) -> None:
    length = Interval.parse(interval).length_ns
    made: dict[int, list[Any]] = {}
    for ts, price, size, _, irregular in rows(trades(iqfeed_sim, "AAPL", MIDNIGHT, MIDNIGHT + DAY)):
        if not irregular:
            made.setdefault(ts // length * length, []).append((price, size))
    [*parts] = bars(iqfeed_sim, "AAPL", MIDNIGHT, MIDNIGHT + DAY, interval)
    got = {
        int(part.start[n]): (
            *(
                Decimal(int(column[n])).scaleb(-part.price_scale)
                for column in (part.open, part.high, part.low, part.close)
            ),
            int(part.volume[n]),
            int(part.trades[n]),
        )
        for part in parts
        for n in range(len(part))
    }
    wanted = {
        start: (
            of[0][0],
            max(p for p, _ in of),
            min(p for p, _ in of),
            of[-1][0],
            sum(s for _, s in of),
            len(of),
        )
        for start, of in made.items()
    }
    assert got == wanted


def test_days_begin_at_midnight_utc_of_their_date(iqfeed_sim: Server) -> None:
    start = MIDNIGHT // DAY * DAY
    [days] = bars(iqfeed_sim, "AAPL", start, start + 3 * DAY, "1d")
    assert days.start.tolist() == [start, start + DAY], "the fourth of July is none"
    [minutes] = bars(iqfeed_sim, "AAPL", MIDNIGHT, MIDNIGHT + DAY, "1m")
    assert int(days.volume[0]) == int(minutes.volume.sum())
    assert (int(days.high[0]), int(days.low[0])) == (int(minutes.high.max()), int(minutes.low.min()))
    [part] = bars(iqfeed_sim, "AAPL", start + 1, start + 2 * DAY, "1d")
    assert part.start.tolist() == [start + DAY], "a bar that begins before the span is not in it"


def test_a_bar_that_is_still_made_is_left_out(iqfeed_sim: Server) -> None:
    now = time.time_ns()
    [*parts] = bars(iqfeed_sim, "FAKEPACA", now - 5 * MINUTE, now + HOUR, "1m")
    starts = [int(start) for part in parts for start in part.start]
    assert starts[-1] + MINUTE <= time.time_ns()
    assert len(starts) >= 4
    [*parts] = bars(iqfeed_sim, "FAKEPACA", now - 5 * DAY, now + DAY, "1d")
    last = [int(start) for part in parts for start in part.start][-1]
    assert wall(now).date() > wall(last + 12 * HOUR).date()


def test_a_long_night_of_25_hours(iqfeed_sim: Server) -> None:
    """FAKEPACA trades always: each of the hours from 00:00 to 03:00 has its trades, also the one that occurs
    twice, and cutting within them loses none."""
    night = (
        1_730_606_400 * SECOND
    )  # 3 November 2024, 00:00 in New York; 01:00 comes at 05:00 and at 06:00 UTC
    whole = rows(trades(iqfeed_sim, "FAKEPACA", night, night + 4 * HOUR))
    counts = [sum(night + n * HOUR <= row[0] < night + (n + 1) * HOUR for row in whole) for n in range(4)]
    assert min(counts) > 200
    assert [row[0] for row in whole] == sorted(row[0] for row in whole)
    middle = night + HOUR + 30 * MINUTE
    for edge in (middle, middle + HOUR):
        parts = rows(trades(iqfeed_sim, "FAKEPACA", night, edge)) + rows(
            trades(iqfeed_sim, "FAKEPACA", edge, night + 4 * HOUR)
        )
        assert parts == whole


def test_nothing_there_is_empty_and_unknown_is_an_error(iqfeed_sim: Server) -> None:
    holiday = OPEN + 2 * DAY
    [part] = trades(iqfeed_sim, "AAPL", holiday, holiday + HOUR)
    assert len(part) == 0
    [empty] = bars(iqfeed_sim, "AAPL", holiday, holiday + HOUR, "1m")
    assert len(empty) == 0
    with pytest.raises(NotFoundError, match="NONE"):
        trades(iqfeed_sim, "NONE", OPEN, OPEN + HOUR)


def test_too_many_requests_wait_and_try_again(iqfeed_sim: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    ask = Ask("AAPL", "trades", OPEN, OPEN + MINUTE)
    chunk = Chunk(ask.start, ask.end, 1, 1)

    async def once(provider: IQFeed) -> TradeColumns:
        iqfeed_sim.fault("busy", count=4)  # the first meets the connection's proof: it answers, so it lives
        return await provider.trades(ask, chunk)

    assert len(run(iqfeed_sim, once, gate)) > 0
    assert gate.pauses == [1.0, 2.0, 4.0]
    assert gate.entered == 4

    async def always(provider: IQFeed) -> None:
        await provider.search("AAPL", 1)  # it is open now, so that its proof is not refused
        iqfeed_sim.fault("busy", count=100)
        with pytest.raises(RateLimitError):
            await provider.trades(ask, chunk)

    run(iqfeed_sim, always)


def test_search(iqfeed_sim: Server) -> None:
    async def work(provider: IQFeed) -> list[Any]:
        return [
            [(f.symbol, f.kind) for f in await provider.search("apple", 10)],
            [(f.symbol, f.kind) for f in await provider.search("BTC", 10)],
            len(await provider.search("s", 2)),
            await provider.search("nothing of that name", 2),
        ]

    assert run(iqfeed_sim, work) == [[("AAPL", "stock")], [("BTCUSD", "fx")], 2, []]


def test_fifteen_at_once_are_what_one_after_another_is(iqfeed_sim: Server) -> None:
    async def work(provider: IQFeed) -> list[TradeColumns]:
        ask = Ask("SPY", "trades", MIDNIGHT, MIDNIGHT + 4 * DAY)
        return await asyncio.gather(*(provider.trades(ask, chunk) for chunk in provider.chunks(ask)))

    assert rows(run(iqfeed_sim, work)) == rows(trades(iqfeed_sim, "SPY", MIDNIGHT, MIDNIGHT + 4 * DAY))


def test_rows_that_make_no_sense_are_refused() -> None:
    chunk = Chunk(MIDNIGHT, MIDNIGHT + DAY, 1, 1)
    good = "2024-07-02 09:30:00,2.0,1.0,1.5,1.75,10,10,3,"
    columns = iqfeed._bars([good], "1m", chunk, time.time_ns())
    assert [int(c[0]) for c in (columns.open, columns.high, columns.low, columns.close)] == [
        150,
        200,
        100,
        175,
    ]
    for bad in ([good, good], ["2024-07-02 09:30:00,2.0"], [good.replace("1.75", "x")]):
        with pytest.raises(UpstreamError):
            iqfeed._bars(bad, "1m", chunk, time.time_ns())
    tick = "2024-07-02 17:51:22.123456,96.0700,1061909,0,0.0000,0.0000,4145784264,O,19,143A,3,17"
    part = iqfeed._trades([tick, tick.replace(",O,", ",C,").replace(",3,17", "")], chunk)
    assert part.irregular.tolist() == [True, False]
    assert part.aggressor.dtype == np.int8
    assert (part.price.tolist(), part.price_scale) == ([960_700, 960_700], 4)
    assert (part.conditions[0], part.exchange[0]) == ("14 3A", "19")
    with pytest.raises(UpstreamError):
        iqfeed._trades(["2024-07-02 17:51:22,1,2"], chunk)
