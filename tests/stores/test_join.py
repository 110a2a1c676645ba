"""The live view over stores that are no lake: the same tests, and what happens while a store is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.servers.postgres import Postgres as Server
from tests.servers.postgres import plain
from tests.stores.make import NAMES, SECOND, START, VENUE, mixed, number, trades
from tests.stores.test_live import (
    World,
    agree,
    test_a_late_trade_hides_no_older_bar,  # noqa: F401 - run here as well, over the stores below
    test_bars_that_late_trades_changed_are_told_once,  # noqa: F401
    test_books_now_and_then,  # noqa: F401
    test_gaps_spoil_what_they_touch,  # noqa: F401
    test_ticks_join_exactly,  # noqa: F401
)
from tests.stores.test_live import (
    test_whatever_is_stored_the_answer_is_the_same as whatever_is_stored,
)
from tidemill.stores import join, tail
from tidemill.stores.api import Query, Store, UnavailableError
from tidemill.stores.live import LiveView
from tidemill.stores.memory import Memory
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import COMMITTED, LEVELS, TRADES
from tidemill.stores.verify import verify


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    store: Store = (
        Memory() if request.param == "memory" else Postgres(request.getfixturevalue(request.param).database())
    )
    world = World(tmp_path, store)
    yield world
    world.journal.close()
    store.close()


@pytest.fixture
def view(world: World) -> Iterator[LiveView]:
    view = world.view()
    yield view
    view.close()


@pytest.mark.parametrize("seed", [0, 3])
def test_whatever_a_database_holds_the_answer_is_the_same(world: World, view: LiveView, seed: int) -> None:
    whatever_is_stored(world, view, seed)


def test_every_read_is_exact_while_rows_are_written(world: World) -> None:
    """One writes and commits, another reads: each answer is dense up to the record it says."""
    done = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not done.is_set():
            seen: list[int] = []
            through = None
            for table in COMMITTED[:-1]:
                rows, at = join.read(world.store, world.home, table, VENUE, Query())
                through = at if through is None else min(through, at or through)
                seen += rows["sequence"].to_pylist()
            upto = through[1] if through else 0
            mine = sorted(sequence for sequence in seen if sequence <= upto)
            if mine != list(range(1, upto + 1)):
                wrong.append(f"{len(mine)} rows of {upto}, {len(mine) - len(set(mine))} doubled")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for at in range(40):
            world.write(mixed(200, start=START + at * 20 * SECOND, first_id=1 + at * 200, seed=at))
            if at % 2:
                world.record()
    finally:
        done.set()
        reader.join(30)
    assert not wrong, wrong[:3]


def test_what_is_stored_is_proven_and_what_is_lost_is_found(world: World) -> None:
    records = mixed(1_500)
    world.write(records)
    world.record()
    report = verify(world.home, VENUE, store=world.store)
    assert report.clean, report
    assert (report.rows, report.through, report.dense_from) == (1_500, (1, 1_500), (1, 1))
    assert report.bars > 0

    class Lossy:
        """The same store without one row, and with one twice."""

        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def read(self, table: object, query: Query = Query()) -> object:  # noqa: B008 - frozen
            rows = world.store.read(table, query)  # type: ignore[arg-type]
            if table is LEVELS and "sequence" in rows.column_names:
                return rows.filter(np.array(rows["sequence"]) != levels[0])
            return rows

    levels = (np.flatnonzero(records["kind"] == 4) + 1).tolist()
    report = verify(world.home, VENUE, store=Lossy())  # type: ignore[arg-type]
    assert (report.missing, report.missing_first) == (1, [f"1:{levels[0]}"])


def test_while_the_store_is_away_the_journal_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = plain()
    if programs is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    monkeypatch.setattr(tail, "CACHE_S", 0.0)
    with Server(programs) as server:
        store = Postgres(server.database())
        world = World(tmp_path, store)
        world.write(trades(2_000))
        world.record()
        view = world.view(follow=False)
        agree(world, view, NAMES[0], "1m")
        names = view.names()
        server.process.kill()
        more = trades(3_000, start=START + 3_600 * SECOND, first_id=2_001, seed=2)
        world.write(more)
        agree_newest(world, view)
        mine = np.flatnonzero(more["instrument"] == number(NAMES[0]))
        found = view.trades(NAMES[0], limit=100)
        assert found.rows["sequence"].to_pylist() == (mine[-100:] + 2_001).tolist()
        found = view.trades(NAMES[0], start=START + 3_600 * SECOND, limit=10_000)
        assert found.rows["sequence"].to_pylist() == (mine + 2_001).tolist()
        assert view.names() == names
        assert [line["instrument"] for line in view.instruments()] == list(NAMES)
        with pytest.raises(UnavailableError) as caught:
            view.trades(NAMES[0], end=START, limit=10)
        assert (caught.value.code, caught.value.http_status) == ("store_unavailable", 503)
        assert caught.value.retryable
        with pytest.raises(UnavailableError):
            view.datasets()
        other = world.view(follow=False)  # one that begins meanwhile knows no position
        with pytest.raises(UnavailableError):
            other.bars(NAMES[0], "1m")
        server.process.start()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                world.record()
                agree(world, other, NAMES[0], "1m")
                break
            except UnavailableError:
                time.sleep(0.2)
        agree(world, view, NAMES[0], "1m")
        assert len(view.trades(NAMES[0], limit=10_000).rows) == len(world.trades(NAMES[0])[0])
        assert world.store.read(TRADES)["sequence"].to_pylist() == list(range(1, 5_001))
        view.close()
        other.close()
        world.journal.close()
        store.close()


def agree_newest(world: World, view: LiveView) -> None:
    """The newest bars are right though nothing can be read of the store."""
    expected = world.bars(NAMES[0], "1m")
    found = view.bars(NAMES[0], "1m", limit=20)
    whole = np.concatenate([found.bars, found.current])
    fields = ["start", "open", "high", "low", "close", "trades"]
    np.testing.assert_array_equal(whole[fields], expected[-len(whole) :][fields])
