"""The Python client over a home on this disk."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidemill as tm
from tests.stores.make import NAMES, SECOND, START, VENUE, mixed, number, rot, trades
from tests.stores.test_live import World
from tidemill import frame, wire
from tidemill.errors import ConfigError, NotFoundError, UsageError
from tidemill.home import Home


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.journal.close()


@pytest.fixture
def td(world: World) -> Iterator[tm.Client]:
    world.write(mixed(2_000))
    world.record()
    world.write(mixed(500, start=START + 300 * SECOND, first_id=5_000, seed=9))
    with tm.connect(world.home) as client:
        yield client


def test_trades(world: World, td: tm.Client) -> None:
    records, sequences = world.trades(NAMES[0])
    frame = td.trades("BTC-USD", limit=10_000)
    assert frame.schema["ts_event"] == pl.Datetime("ns", "UTC")
    assert frame["sequence"].to_list() == sequences[np.lexsort((sequences, records["ts_event"]))].tolist()
    exact = td.trades(NAMES[0], limit=5, exact=True)
    assert exact["price"].dtype == pl.String
    assert (
        exact["price"].str.to_decimal(scale=1).cast(pl.Float64).to_list() == frame["price"].tail(5).to_list()
    )
    assert set(frame["aggressor"]) <= {"buy", "sell", "none"}
    start = datetime.fromtimestamp(START // SECOND + 100, UTC)
    some = td.trades(NAMES[0], start=start, end="2026-11-20T09:31:50Z")
    assert some["ts_event"].min() >= start
    assert len(some) == int(
        ((records["ts_event"] >= START + 100 * SECOND) & (records["ts_event"] < START + 110 * SECOND)).sum()
    )
    assert some.to_arrow().num_rows == len(some)
    assert len(some.to_pandas()) == len(some)


def test_bars(world: World, td: tm.Client) -> None:
    frame = td.bars(NAMES[0], "1m", current=True)
    expected = world.bars(NAMES[0], "1m")
    assert frame["ts"].to_physical().to_list() == expected["start"].tolist()
    assert frame["close"].to_list() == wire.floats(expected["close"], expected["price_scale"]).tolist()
    assert frame["trades"].sum() == len(world.trades(NAMES[0])[0])
    exact = td.bars(NAMES[0], "1m", exact=True, current=True)
    assert exact["open"].to_list() == wire.texts(expected["open"], expected["price_scale"])
    assert len(td.bars(NAMES[0], "1s", start=START, end=START + 10 * SECOND)) <= 10


def test_quotes_books_gaps_lists(world: World, td: tm.Client) -> None:
    quotes = td.quotes(NAMES[1], limit=10)
    assert set(quotes["side"]) <= {"bid", "ask"}
    book = td.book(NAMES[1], depth=5)
    assert book.sequence == 2_500
    assert all(isinstance(price, float) for price, _ in book.bids)
    assert td.book(NAMES[1], at=(1, 2_500), depth=5, exact=True).bids == [
        (p, s) for p, s in td.view.book(NAMES[1], depth=5).bids
    ]
    assert td.instruments()["instrument"].to_list() == list(NAMES)
    gaps = world.records["kind"] == wire.KIND_GAP
    assert len(td.gaps(venue=VENUE)) == gaps.sum()
    assert len(td.gaps(NAMES[0])) == (gaps & (world.records["instrument"] == number(NAMES[0]))).sum()
    assert td.datasets()["rows"].sum() > 0


def test_stream_in_place(world: World, td: tm.Client) -> None:
    stream = td.stream([NAMES[0], NAMES[1]], "trades", since=(1, 2_001), timeout_s=0.5)
    first = next(stream)
    records = world.records
    mine = (records["kind"] == wire.KIND_TRADE) & np.isin(
        records["instrument"], [number(n) for n in NAMES[:2]]
    )
    mine[:2_000] = False
    assert (first.epoch, first.sequences.tolist()) == (1, (np.flatnonzero(mine) + 1).tolist())
    np.testing.assert_array_equal(first.records, records[mine])
    assert first.prices[0] == first.records["price"][0] / 10
    more = mixed(50, start=START + 900 * SECOND, seed=11)
    threading.Timer(0.1, world.write, [more]).start()
    assert next(stream).sequence > 2_500
    assert list(stream) == []
    everything = list(td.stream(VENUE, ["trades", "quotes", "levels"], since="oldest", timeout_s=0.3))
    assert sum(len(batch) for batch in everything) == np.isin(world.records["kind"], (1, 2, 3, 4)).sum()


def test_what_cannot_be(td: tm.Client, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no instrument is named"):
        td.bars("BTC-USD.krakn")
    with pytest.raises(UsageError):
        td.bars(NAMES[0], "1y")
    with pytest.raises(UsageError, match="start and last"):
        td.bars(NAMES[0], start=START, last="1h")
    with pytest.raises(NotFoundError):
        td.stream(NAMES[0], "ticks")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        tm.connect(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        tm.connect(tmp_path, url="http://127.0.0.1:1")


def test_a_stream_gives_all_that_lies_before_a_hole(world: World, td: tm.Client) -> None:
    lost = mixed(50, start=START + 900 * SECOND, seed=11)
    world.write(lost)
    rot(world.home, lost)
    world.write(mixed(70, start=START + 999 * SECOND, seed=12))
    kinds: list[Any] = ["trades", "quotes", "levels", "status", "gaps"]
    stream = td.stream(VENUE, kinds, since="oldest", timeout_s=5)
    got: list[tm.client.Batch] = []
    with pytest.raises(tm.TidemillError, match="from 1:2501 up to 1:2551 are damaged") as caught:
        got.extend(stream)
    assert caught.value.code == "stream_lapped"
    assert sum(len(batch) for batch in got) == 2_500
    assert sum(len(b) for b in td.stream(VENUE, kinds, since=(1, 2_551), timeout_s=0.2)) == 70
    with pytest.raises(tm.TidemillError, match="from 1:2501 up to 1:2551"):
        next(td.stream(VENUE, kinds, since=(1, 2_501)))


def test_a_stream_ends_in_time_though_others_trade(world: World, td: tm.Client) -> None:
    stop = threading.Event()

    def trade() -> None:
        at = 0
        while not stop.wait(0.02):
            at += 1
            records = trades(3, start=START + 1_000 * SECOND + at * SECOND)
            records["instrument"] = number(NAMES[1])
            world.write(records)

    busy = threading.Thread(target=trade)
    busy.start()
    try:
        began = time.monotonic()
        assert list(td.stream(NAMES[0], "trades", timeout_s=0.5)) == []
        assert 0.5 <= time.monotonic() - began < 5
    finally:
        stop.set()
        busy.join()


def test_a_stream_without_a_journal_or_of_another_one_is_told(
    world: World, td: tm.Client, tmp_path: Path
) -> None:
    for since in ((9, 1), (1, 2_502)):
        with pytest.raises(UsageError, match="goes on at 1:2501") as caught:
            td.stream(VENUE, since=since)
        assert caught.value.code == "position_foreign"
    assert list(td.stream(VENUE, since=(1, 2_501), timeout_s=0)) == []
    copy = tmp_path / "copy"
    shutil.copytree(world.home / "lake", copy / "lake")
    alone = tm.connect(copy)
    assert len(alone.trades(NAMES[0])) > 0
    with pytest.raises(NotFoundError, match="no journal of sim-kraken") as missing:
        alone.stream(VENUE)
    assert missing.value.code == "journal_missing"


@pytest.mark.parametrize("since", [(0, 0), (1, 0), (1, -5), (2**40, 5), (1, 2**70), (1,), "now", 7])
def test_a_stream_from_nowhere_is_told(td: tm.Client, since: Any) -> None:
    with pytest.raises(tm.TidemillError) as caught:
        td.stream(NAMES[0], since=since)
    assert caught.value.code == "position_invalid"


def test_a_stream_goes_on_where_a_batch_ended(world: World, td: tm.Client) -> None:
    first = next(td.stream(VENUE, "trades", since="oldest"))
    rest = td.stream(VENUE, "trades", since=(first.epoch, first.sequences[9] + 1), timeout_s=0.2)
    assert next(rest).sequence == first.sequences[10]


def test_names_that_nobody_has_are_told(td: tm.Client) -> None:
    for ask in (td.gaps, td.instruments):
        with pytest.raises(tm.TidemillError, match="no venue is named 'krakn'"):
            ask(venue="krakn")


def test_an_unreachable_platform_is_an_upstream_error() -> None:
    remote = tm.connect(url="http://127.0.0.1:9")
    with pytest.raises(tm.TidemillError) as caught:
        remote.bars("BTC-USD.kraken")
    assert caught.value.category == "upstream"


def test_the_examples_of_the_page_run(td: tm.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text()
    first, backtest, streams, market, writing = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(first.replace("connect()", f"connect({str(td.home)!r})"), scope)  # noqa: S102 - the page's own text
    scope["td"].close()
    scope["td"] = td
    monkeypatch.chdir(tmp_path)
    exec(backtest.replace("BTC-USD.kraken", "BTC-USD.sim-kraken").replace('"1h"', '"1s"'), scope)  # noqa: S102
    assert "<html" in (tmp_path / "run.html").read_text()
    exec(streams.replace("timeout_s=5", 'since="oldest", timeout_s=0.2'), scope)  # noqa: S102
    assert scope["at"] > (1, 1)
    scope["home"] = td.home
    exec(f"async def ask():\n{indent(market, '    ')}\n    return trades, book", scope)  # noqa: S102
    trades, book = asyncio.run(scope["ask"]())
    assert len(trades) > 0
    assert book.instrument == "BTC-USD.sim-kraken"
    exec(writing, scope)  # noqa: S102
    assert (scope["first"], td.trades("BTC-USD.my-venue", exact=True)["price"].to_list()) == (1, ["64231.50"])
    for shape in ("instruments", "bars", "trades", "quotes"):
        assert all(f"`{column}`" in page for column in frame.SHAPES[shape])


def test_rest_asks_the_platform_that_runs_on_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEMILL_URL", raising=False)
    home = Home.at(tmp_path / "home")
    home.create()
    with pytest.raises(NotFoundError) as raised:
        tm.connect(home.path, rest=True)
    assert raised.value.code == "not_running"
    monkeypatch.setattr(Home, "running", lambda _home: {"pid": 1, "host": "127.0.0.1", "port": 8599})
    assert repr(tm.connect(home.path, rest=True)) == "<tidemill.Remote of http://127.0.0.1:8599>"
