"""One suite over the readers of market data: Python, Rust and memory answer the same, digit for digit."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.make import FIRST, NAMES, SECOND, START, VENUE, mixed, name, trades, writer
from tidemill import _native, wire
from tidemill.errors import ConfigError, NotFoundError, UsageError
from tidemill.repository import MarketDataRepository, repository
from tidemill.repository import native as native_module
from tidemill.repository.memory import MemoryRepository
from tidemill.repository.native import NativeRepository
from tidemill.repository.python import PythonRepository
from tidemill.stores.api import journal_application
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED, rows_of

SYMBOL = NAMES[0]


class World:
    """A home with a journal, and the same records in memory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.journal = writer(home)
        lines = _native.instruments(str(home), VENUE)
        self.memory = MemoryRepository(
            {
                line["number"]: {
                    "instrument": line["name"], "venue": VENUE, **{k: line[k] for k in (  # type: ignore[literal-required]
                        "symbol", "base", "quote", "tick", "lot", "price_scale", "size_scale", "status")},
                }
                for line in lines
            }
        )  # fmt: skip
        self.all: list[np.ndarray] = []
        self.markets: dict[str, MarketDataRepository] = {"memory": self.memory}

    def market(self, which: str) -> MarketDataRepository:
        if which not in self.markets:
            self.markets[which] = {"python": PythonRepository, "native": NativeRepository}[which](self.home)
        return self.markets[which]

    def close(self) -> None:
        for market in self.markets.values():
            asyncio.run(market.close())
        self.journal.close()

    def write(self, records: np.ndarray) -> None:
        first = self.journal.append(records)
        self.memory.add(records, first)
        self.all.append(records)

    def store(self, through: int) -> None:
        """Into the lake as a recorder would: everything up to this sequence but bars."""
        records = np.concatenate(self.all)[:through]
        numbers = np.arange(1, len(records) + 1, dtype=np.int64)
        lake = Lake(self.home / "lake")
        for table in COMMITTED:
            rows = table.empty() if table is BARS else rows_of(table, records, numbers, 1, VENUE, name)
            lake.append(table, rows, {journal_application(VENUE, 1): through})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "home")
    yield world
    world.close()


MAKERS = ("python", "native", "memory")


def ask(world: World, question: Callable[[MarketDataRepository], Awaitable[Any]], which: str) -> Any:
    async def answer() -> Any:
        return await question(world.market(which))

    return asyncio.run(answer())


def same(world: World, question: Callable[[MarketDataRepository], Awaitable[Any]]) -> Any:
    """The answer that all three give."""
    found = {which: ask(world, question, which) for which in MAKERS}
    assert found["python"] == found["memory"]
    assert found["native"] == found["memory"]
    return found["memory"]


def test_ticks_of_every_span_are_the_same(world: World) -> None:
    for seed in range(4):
        world.write(mixed(2_000, start=START + seed * 200 * SECOND, first_id=seed * 2_000 + 1, seed=seed))
    middle = START + 400 * SECOND
    spans: list[tuple[int | None, int | None]] = [
        (None, None), (middle, None), (None, middle), (middle, middle + 30 * SECOND), (middle, middle),
        (START + 10**15, None), (None, START - 1),
    ]  # fmt: skip
    for start, end in spans:
        for limit in (1, 100, 1_000, 100_000):
            same(world, lambda m, s=start, e=end, n=limit: m.get_trades(SYMBOL, s, e, n))
            same(world, lambda m, s=start, e=end, n=limit: m.get_quotes(SYMBOL, s, e, n))
    assert len(same(world, lambda m: m.get_trades(SYMBOL, limit=1_000))) == 1_000
    bid, ask_ = same(world, lambda m: m.get_quote(SYMBOL))
    assert bid or ask_


@pytest.mark.parametrize("stored", [0, 1, 5_000, 8_000])
def test_stored_rows_and_those_that_arrive_make_one_answer(world: World, stored: int) -> None:
    world.write(mixed(8_000))
    if stored:
        world.store(stored)
    for limit in (1, 500, 3_000):
        same(world, lambda m, n=limit: m.get_trades(SYMBOL, limit=n))
    same(world, lambda m: m.get_orderbook(SYMBOL, 50))


def test_the_book_and_whether_it_may_be_shown(world: World) -> None:
    empty = same(world, lambda m: m.get_orderbook(SYMBOL))
    assert not empty.valid
    levels = np.zeros(7, wire.RECORD)
    levels["instrument"], levels["kind"], levels["flags"] = FIRST, wire.KIND_LEVEL, wire.FLAG_BUY
    levels["kind"][0], levels["flags"][0] = wire.KIND_CLEAR, wire.FLAG_SNAPSHOT
    levels["price"] = [0, 1000, 999, 1001, 1002, 99900, 999]
    levels["flags"][3:5] = wire.FLAG_SELL
    levels["price_scale"], levels["size_scale"], levels["size"] = 1, 2, [0, 5, 6, 7, 8, 9, 0]
    levels["price_scale"][5] = 3  # 99.900: the same level as 99.9
    levels["flags"][-1] |= wire.FLAG_LAST
    levels["ts_event"] = levels["ts_recv"] = START + np.arange(7)
    world.write(levels)
    book = same(world, lambda m: m.get_orderbook(SYMBOL))
    assert book.valid
    assert book.bids == [("100.0", "0.05")]
    assert book.asks == [("100.1", "0.07"), ("100.2", "0.08")]
    assert same(world, lambda m: m.get_orderbook(SYMBOL, 1)).asks == [("100.1", "0.07")]
    gap = np.zeros(1, wire.RECORD)
    gap["kind"], gap["flags"], gap["price_scale"] = wire.KIND_GAP, wire.FLAG_BUY, 3
    gap["ts_event"] = gap["ts_recv"] = START + 100
    world.write(gap)
    assert not same(world, lambda m: m.get_orderbook(SYMBOL)).valid
    world.write(levels)
    assert same(world, lambda m: m.get_orderbook(SYMBOL)).valid


def test_a_reader_that_stays_sees_what_arrives(world: World) -> None:
    world.write(mixed(1_000))

    async def follow() -> None:
        async with NativeRepository(world.home) as market, PythonRepository(world.home) as other:
            for seed in range(5):
                world.write(mixed(700, start=START + (seed + 1) * 300 * SECOND, seed=seed + 50))
                for question in (
                    lambda m: m.get_trades(SYMBOL, limit=50),
                    lambda m: m.get_quotes(SYMBOL, limit=50),
                    lambda m: m.get_orderbook(SYMBOL),
                ):
                    found = [await question(one) for one in (market, other, world.memory)]
                    assert found[0] == found[1] == found[2]

    asyncio.run(follow())


def test_more_than_is_kept_comes_from_further_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 4,096 trades of one instrument: some questions are beyond what Rust keeps."""
    records = trades(9_000)
    records["instrument"] = FIRST
    records["ts_event"][100] += 10**15  # a venue's slip of the clock: the newest by its own time
    world.write(records)
    asked: list[object] = []
    slow = PythonRepository.trades

    def counted(self: PythonRepository, *question: Any) -> Any:
        asked.append(question)
        return slow(self, *question)

    monkeypatch.setattr(PythonRepository, "trades", counted)
    late = int(records["ts_event"][8_000])
    for question, further in (
        ((late, None, 10), True),  # the slip is at or after that: it may be the answer
        ((None, late, 5_000), True),
        ((None, None, 5_000), True),
        ((START, None, 10), True),
        ((START + 2 * 10**15, None, 10), False),
    ):
        asked.clear()
        found = ask(world, lambda m, q=question: m.get_trades(SYMBOL, *q), "native")
        assert bool(asked) == further, question
        assert found == ask(world, lambda m, q=question: m.get_trades(SYMBOL, *q), "memory")
    assert ask(world, lambda m: m.get_trades(SYMBOL, limit=1), "native")[0].sequence == 101
    assert ask(world, lambda m: m.get_trades(NAMES[1], limit=1), "native") == []


def test_what_came_before_the_records_that_are_followed_is_not_forgotten(world: World) -> None:
    """Rust begins 131,072 records back: older ones may still be the newest by the venue's clock."""
    records = trades(180_000, step=1_000_000)  # several frames: they are read whole
    records["instrument"] = FIRST
    records["instrument"][:20] = FIRST + 1
    records["ts_event"][30] += 10**15
    world.journal.append(records)
    for symbol, limit in ((NAMES[0], 1), (NAMES[0], 10), (NAMES[1], 1), (NAMES[1], 50), (NAMES[2], 1)):
        found = ask(world, lambda m, s=symbol, n=limit: m.get_trades(s, limit=n), "native")
        assert found == ask(world, lambda m, s=symbol, n=limit: m.get_trades(s, limit=n), "python")
        assert len(found) == {NAMES[0]: limit, NAMES[1]: min(limit, 20), NAMES[2]: 0}[symbol]
    assert ask(world, lambda m: m.get_trades(NAMES[0], limit=1), "native")[0].sequence == 31


def test_what_is_newest_never_leaves_rust(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    records = trades(9_000)
    records["instrument"] = FIRST
    world.write(records)
    monkeypatch.setattr(PythonRepository, "trades", None)
    found = ask(world, lambda m: m.get_trades(SYMBOL, limit=1_000), "native")
    assert found == ask(world, lambda m: m.get_trades(SYMBOL, limit=1_000), "memory")
    late = int(records["ts_event"][8_000])
    assert len(ask(world, lambda m: m.get_trades(SYMBOL, late), "native")) == 1_000


@pytest.mark.parametrize("interval", ["1s", "1m", "5m", "1h"])
def test_bars_are_those_of_the_trades(world: World, interval: str) -> None:
    world.write(trades(3_400))
    found = same(world, lambda m: m.get_bars(SYMBOL, interval, limit=50))
    assert len(found) == {"1s": 50, "1m": 5, "5m": 1, "1h": 0}[interval]
    if len(found) > 2:
        middle = found[2].start
        same(world, lambda m: m.get_bars(SYMBOL, interval, middle, None, 2))
        same(world, lambda m: m.get_bars(SYMBOL, interval, None, middle, 2))


@pytest.mark.parametrize("which", MAKERS)
def test_what_cannot_be_answered_is_said(world: World, which: str) -> None:
    world.write(mixed(100))
    for question in (
        lambda m: m.get_trades("BTC-USDT.sim-kraken"),
        lambda m: m.get_quotes("BTC-USDT.sim-kraken"),
        lambda m: m.get_quote("BTC-USDT.sim-kraken"),
        lambda m: m.get_orderbook("BTC-USDT.sim-kraken"),
        lambda m: m.get_bars("BTC-USDT.sim-kraken"),
    ):
        with pytest.raises(NotFoundError, match=r"BTC-USD\.sim-kraken"):
            ask(world, question, which)
    for limit in (0, -1, 100_001):
        with pytest.raises(UsageError):
            ask(world, lambda m, n=limit: m.get_trades(SYMBOL, limit=n), which)
    with pytest.raises(UsageError):
        ask(world, lambda m: m.get_bars(SYMBOL, "7 parsecs"), which)
    assert ask(world, lambda m: m.get_trades(NAMES[1], START - 10, START), which) == []


def test_instruments_are_the_same(world: World) -> None:
    found = same(world, lambda m: m.get_instruments())
    assert [line["instrument"] for line in found] == sorted(NAMES)


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.integers(0, 2**16), st.integers(-30, 60)), min_size=1, max_size=5
    ),
    st.integers(1, 300),
    st.integers(-10, 300),
    st.booleans(),
)
@settings(max_examples=15)
def test_any_journal_is_read_alike(
    parts: list[tuple[int, int, int]], limit: int, at: int, oldest: bool
) -> None:
    home = Path(tempfile.mkdtemp(prefix="tidemill-repository-"))
    world = World(home)
    try:
        for count, seed, step in parts:  # times may go back from one part to the next
            records = mixed(count, start=START + step * SECOND, seed=seed)
            records["ts_event"] = records["ts_event"] // SECOND * SECOND  # equal times
            world.write(records)
        span = (START + at * SECOND, None) if oldest else (None, START + at * SECOND)
        for symbol in NAMES[:2]:
            same(world, lambda m, s=symbol: m.get_trades(s, *span, limit))
            same(world, lambda m, s=symbol: m.get_trades(s, limit=limit))
            same(world, lambda m, s=symbol: m.get_quotes(s, *span, limit))
            same(world, lambda m, s=symbol: m.get_orderbook(s, 10))
    finally:
        world.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("which", ["python", "native"])
def test_the_loop_goes_on_while_a_question_is_answered(
    world: World, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(mixed(100))
    there = threading.get_ident()

    def slow(self: PythonRepository, *_: object) -> list[object]:
        assert threading.get_ident() != there
        time.sleep(0.4)
        return []

    monkeypatch.setattr(PythonRepository, "trades", slow)
    monkeypatch.setattr(NativeRepository, "trades", slow)

    async def count() -> int:
        turns = 0
        asked = asyncio.create_task(world.market(which).get_trades(SYMBOL))
        while not asked.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(count()) > 10


def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(mixed(100))
    monkeypatch.setattr(native_module, "FOLLOWED_MAX", 2)

    async def all_of_them() -> None:
        async with NativeRepository(world.home) as market:
            for symbol in (*NAMES, *NAMES):
                await market.get_trades(symbol)
            assert len(market._followed) == 2

    asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, NativeRepository), ("1", NativeRepository), ("true", NativeRepository), ("0", PythonRepository)],
)
def test_the_environment_chooses(
    world: World, value: str | None, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("USE_RUST_MARKET_DATA", raising=False)
    else:
        monkeypatch.setenv("USE_RUST_MARKET_DATA", value)
    market = repository(world.home)
    assert type(market) is kind
    asyncio.run(market.close())
    monkeypatch.setenv("USE_RUST_MARKET_DATA", "perhaps")
    with pytest.raises(ConfigError, match="perhaps"):
        repository(world.home)
