"""A provider by its name, and the real protocols of the simulator's venues behind it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.providers.test_contract import bar_rows, trade_rows
from tidemill import providers
from tidemill.errors import ConfigError, NotFoundError
from tidemill.home import Home
from tidemill.providers import opening, page
from tidemill.providers.api import Ask, Chunk, Limits

MINUTE = 60_000_000_000
VENUES = {"kraken": "BTC/USD", "coinbase": "BTC-USD", "binance": "BTCUSDT"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose simulator plays the crypto venues, a minute of theirs each second."""
    home = Home.at(tmp_path_factory.mktemp("sim"))
    words = ["sim", "--home", str(home.path), "--venues", ",".join(VENUES), "--rate", "50", "--speed", "60"]
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
            # The venue's own time runs ahead of ours: it says how late it is.
            newest = await newest_ns(provider, name)
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
    from tidemill.providers import exact

    return int(exact.moments([rows[0]["time"]], "t")[0])


def test_a_name_that_nobody_plays_is_not_found(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    with pytest.raises(NotFoundError, match="no simulator"):
        providers.open("sim-kraken", home)
    with pytest.raises(NotFoundError, match="krakn"):
        providers.open("krakn", home)


def test_every_file_is_a_provider_or_said_to_be_none() -> None:
    assert {"kraken", "coinbase", "binance", "polygon", "alpaca", "ccxt"} <= set(providers.names())
    for name in providers.names():
        assert providers.load(name).summary


def test_the_address_of_a_simulated_one_is_the_simulators(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.run.mkdir()
    played = {"sim-polygon": {"rest": "http://127.0.0.1:7001", "stream": "ws://127.0.0.1:7002"},
              "sim-iqfeed": {"admin": "127.0.0.1:7003"}}  # fmt: skip
    (home.run / "sim.json").write_text(json.dumps({"providers": played}))
    assert "127.0.0.1:7001" in repr(providers.open("sim-polygon", home)._http)  # type: ignore[attr-defined]
    assert json.loads(opening._simulated_at("sim-iqfeed", home)) == played["sim-iqfeed"]


def test_a_simulated_one_is_not_handed_the_real_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "REAL-1")
    provider: Any = providers.open("sim-polygon", Home.at(tmp_path), url="http://127.0.0.1:1")
    assert provider.keys() == {"key": "simulated"}
    real: Any = providers.open("polygon", Home.at(tmp_path))
    assert real.keys() == {"key": "REAL-1"}
    assert not any("REAL-1" in path.name for path in (tmp_path / "run").iterdir())


def test_two_keys_have_two_buckets_and_one_key_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(key: str) -> float:
        monkeypatch.setenv("POLYGON_API_KEY", key)
        return opening.gate("polygon", providers.load("polygon"), Home.at(tmp_path))._keeper.take(1)

    assert waits("a") == 0
    assert waits("a") > 0
    assert waits("b") == 0


def test_a_plan_that_allows_more_is_said_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(per_s=1.0, burst=1, workers=9)
    assert opening.limited("polygon", limits) == limits
    monkeypatch.setenv("TIDEMILL_LIMIT_POLYGON", "300/minute")
    allowed = opening.limited("polygon", limits)
    assert allowed.burst + allowed.per_s * 60 <= 300
    assert (allowed.burst, allowed.workers) == (60, 9)
    monkeypatch.setenv("TIDEMILL_LIMIT_POLYGON", "many")
    with pytest.raises(ConfigError, match="TIDEMILL_LIMIT_POLYGON"):
        opening.limited("polygon", limits)


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
