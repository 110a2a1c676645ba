"""Providers against the simulator, which speaks their real protocols and has their faults."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.providers.test_contract import bar_rows, trade_rows
from tidemill import providers
from tidemill.errors import AuthError, NotFoundError, UpstreamError
from tidemill.home import Home
from tidemill.providers import exact, page
from tidemill.providers.api import Ask, Chunk

MINUTE = 60_000_000_000
VENUES = {"kraken": "BTC/USD", "coinbase": "BTC-USD", "binance": "BTCUSDT"}


def simulator(home: Home, words: list[str]) -> Iterator[Home]:
    """Runs until the fixture ends."""
    process = subprocess.Popen([sys.executable, "-m", "tidemill", *words], stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if (home.run / "sim.json").exists():
                break
            time.sleep(0.05)
        yield home
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose simulator plays the crypto venues, half a minute of theirs each second."""
    home = Home.at(tmp_path_factory.mktemp("sim"))
    yield from simulator(
        home, ["sim", "--home", str(home.path), "--venues", ",".join(VENUES), "--rate", "20", "--speed", "30"]
    )


@pytest.mark.parametrize("name", VENUES)
def test_a_simulated_venue_gives_one_history_however_it_is_cut(home: Home, name: str) -> None:
    async def main() -> None:
        provider: Any = providers.open(f"sim-{name}", home)
        symbol = VENUES[name]
        assert provider.instrument(symbol).endswith(f".sim-{name}")
        try:
            assert await provider.search("btc", 5)
            said = json.loads((home.run / "sim.json").read_text())
            assert f"sim-{name}" in said["venues"]
            # The venue's time runs ahead of ours: it says how late it is. Some minutes of it must be over.
            began = await newest_ns(provider, name)
            while (newest := await newest_ns(provider, name)) < began + 4 * MINUTE:
                await asyncio.sleep(0.2)
            provider.now = lambda: newest
            end = newest // MINUTE * MINUTE
            start = end - 90 * MINUTE
            ask = Ask(symbol, "bars", start, end, "1m")
            whole = bar_rows(await provider.bars(ask, Chunk(start, end, 1, 1)))
            assert len(whole) > 60
            cuts = [start, start + 7 * MINUTE + 11, start + 50 * MINUTE, end]
            parts = [Chunk(a, b, 1, 1) for a, b in pairwise(cuts)]
            assert [row for part in parts for row in bar_rows(await provider.bars(ask, part))] == whole
            # Its trades since it began make the bars that it gives of that time.
            ask = Ask(symbol, "trades", start, end)
            trades = await provider.trades(ask, Chunk(start, end, 1, 1))
            assert len(trades) > 10
            rows = trade_rows(trades)
            assert [row for part in parts for row in trade_rows(await provider.trades(ask, part))] == rows
            first = (int(trades.ts_event[0]) // MINUTE + 1) * MINUTE
            built = [row for row in bar_rows(page.built(trades, MINUTE)) if row[0] >= first]
            assert built == [row for row in whole if row[0] >= first]
            with pytest.raises(NotFoundError):
                await provider.bars(Ask("NOPE-USD", "bars", start, end, "1m"), Chunk(start, end, 1, 1))
        finally:
            await provider.close()

    asyncio.run(main())


async def newest_ns(provider: Any, name: str) -> int:
    """The venue's clock, by its own REST."""
    if name == "kraken":
        answer = (await provider._http.get("/0/public/Time")).data["result"]["unixtime"]
        return int(answer) * 1_000_000_000
    if name == "binance":
        return int((await provider._http.get("/api/v3/time")).data["serverTime"]) * 1_000_000
    rows = await provider._older("BTC-USD", None)
    return int(exact.moments([rows[0]["time"]], "t")[0])


@pytest.mark.soak  # ccxt takes six seconds to import
def test_ccxt_reads_the_same_bars_of_the_same_venue(home: Home) -> None:
    async def main() -> None:
        said = json.loads((home.run / "sim.json").read_text())["venues"]["sim-kraken"]
        through: Any = providers.open("ccxt", home, url=said["rest_url"])
        plain: Any = providers.open("sim-kraken", home)
        try:
            newest = await newest_ns(plain, "kraken")
            through.now = plain.now = lambda: newest
            end = newest // MINUTE * MINUTE
            start = end - 30 * MINUTE
            assert through.instrument("kraken:BTC/USD") == "KRAKEN.BTC-USD.ccxt"
            ask = Ask("kraken:BTC/USD", "bars", start, end, "1m")
            rows = bar_rows(await through.bars(ask, Chunk(start, end, 1, 1)))
            ask = Ask("BTC/USD", "bars", start, end, "1m")
            assert rows == bar_rows(await plain.bars(ask, Chunk(start, end, 1, 1)))
            assert len(rows) > 20
            with pytest.raises(NotFoundError):
                await through.bars(Ask("kraken:NOPE/USD", "bars", start, end, "1m"), Chunk(start, end, 1, 1))
            with pytest.raises(NotFoundError, match="exchange"):
                await through.bars(Ask("nope:A/B", "bars", start, end, "1m"), Chunk(start, end, 1, 1))
        finally:
            await through.close()
            await plain.close()

    asyncio.run(main())


# Tuesday 10 March 2026, 11:10 in New York; the day asked is the one before.
STARTED = 1_773_155_400_000_000_000
MONDAY = 1_773_014_400_000_000_000
SYMBOLS = [
    ("polygon", "AAPL"), ("polygon", "X:BTCUSD"), ("alpaca", "JPM"), ("alpaca", "BTC/USD"),
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose simulator plays Polygon and Alpaca."""
    home = Home.at(tmp_path_factory.mktemp("world"))
    words = ["sim", "--home", str(home.path), "--providers", "polygon,alpaca", "--start", str(STARTED)]
    yield from simulator(home, words)


class Faults:
    """The simulator's faults of one provider, over when the block ends."""

    def __init__(self, home: Home, name: str) -> None:
        self._url = json.loads((home.run / "sim.json").read_text())["control"] + "/faults"
        self._name = name

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, *_: object) -> None:
        urllib.request.urlopen(urllib.request.Request(self._url, method="DELETE")).read()

    def start(self, fault: str, **about: Any) -> None:
        body = json.dumps({"venue": self._name, "fault": fault, **about}).encode()
        urllib.request.urlopen(urllib.request.Request(self._url, body)).read()


def opened(world: Home, name: str) -> Any:
    provider: Any = providers.open(f"sim-{name}", world)
    provider.now = lambda: STARTED
    return provider


@pytest.mark.parametrize(("name", "symbol"), SYMBOLS)
def test_a_session_is_one_whatever_goes_wrong(world: Home, name: str, symbol: str) -> None:
    start, end = MONDAY + 13 * 60 * MINUTE + 30 * MINUTE, MONDAY + 20 * 60 * MINUTE
    bars, trades = Ask(symbol, "bars", start, end, "1m"), Ask(symbol, "trades", start, end)
    whole = Chunk(start, end, 1, 1)

    async def main() -> None:
        provider = opened(world, name)
        try:
            made, ticks = await provider.bars(bars, whole), await provider.trades(trades, whole)
            rows, each = bar_rows(made), trade_rows(ticks)
            assert len(rows) > 300
            assert len(each) > 1000
            built = page.built(ticks, MINUTE)
            assert bar_rows(built) == rows
            assert (built.trades == made.trades).all()
            cuts = [start, start + 17 * MINUTE + 5, start + 100 * MINUTE, end]
            parts = [Chunk(a, b, 1, 1) for a, b in pairwise(cuts)]
            assert [row for part in parts for row in bar_rows(await provider.bars(bars, part))] == rows
            assert [row for part in parts for row in trade_rows(await provider.trades(trades, part))] == each
            for fault, about in (
                ("throttle", {"count": 1, "retry_after_s": 1}), ("overlap", {"seconds": 60}),
                ("short", {"seconds": 60}), ("cut", {"count": 1}), ("error", {"count": 1, "status": 503}),
            ):  # fmt: skip
                with Faults(world, f"sim-{name}") as faults:
                    faults.start(fault, **about)
                    assert bar_rows(await provider.bars(bars, whole)) == rows, fault
                    assert trade_rows(await provider.trades(trades, whole)) == each, fault
        finally:
            await provider.close()

    asyncio.run(main())


@pytest.mark.parametrize("name", ["polygon", "alpaca"])
def test_what_cannot_be_mended_is_said(world: Home, name: str) -> None:
    start, end = MONDAY + 14 * 60 * MINUTE, MONDAY + 16 * 60 * MINUTE
    whole = Chunk(start, end, 1, 1)

    async def main() -> None:
        provider = opened(world, name)
        try:
            assert [found.symbol for found in await provider.search("apple", 5)] == ["AAPL"]
            with pytest.raises(NotFoundError):
                await provider.bars(Ask("NOPE", "bars", start, end, "1m"), whole)
            with Faults(world, f"sim-{name}") as faults:
                faults.start("expired", seconds=30)
                with pytest.raises(AuthError):
                    await provider.bars(Ask("AAPL", "bars", start, end, "1m"), whole)
            if name == "polygon":
                with Faults(world, f"sim-{name}") as faults:
                    faults.start("short", seconds=30)
                    faults.start("foreign-next", seconds=30)
                    with pytest.raises(UpstreamError, match="next page"):
                        await provider.trades(Ask("AAPL", "trades", start, end), whole)
            ask = Ask("AAPL", "bars", MONDAY - 4 * 1440 * MINUTE, MONDAY + 2880 * MINUTE, "1d")
            days = [
                bar
                for part in provider.chunks(ask)
                for bar in (await provider.bars(ask, part)).start.tolist()
            ]
            # Thursday, Friday and Monday; Tuesday is not over.
            assert days == [MONDAY - 4 * 1440 * MINUTE, MONDAY - 3 * 1440 * MINUTE, MONDAY]
            keyed = type(provider)(
                f"sim-{name}", provider._gate, provider._url, keys={"key": "bad-1", "secret": "bad-2"}
            )
            with pytest.raises(AuthError):
                await keyed.bars(Ask("AAPL", "bars", start, end, "1m"), whole)
            await keyed.close()
        finally:
            await provider.close()

    asyncio.run(main())
