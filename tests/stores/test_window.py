"""Window and lake answer as one store that never moved a row, whatever moves, comes late or is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.hot import MemoryHot
from tests.stores.make import NAMES, SECOND, START, VENUE, mixed, name, trades
from tests.stores.test_contract import bars
from tidemill import wire
from tidemill.errors import DataQualityError, UsageError
from tidemill.log import Log
from tidemill.model.interval import DAY, HOUR
from tidemill.stores import handover
from tidemill.stores import window as stores_window
from tidemill.stores.api import (
    FencedError,
    Query,
    Store,
    UnavailableError,
    journal_application,
    retention_application,
)
from tidemill.stores.handover import Hot
from tidemill.stores.lake import Lake
from tidemill.stores.memory import Memory
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import BARS, COMMITTED, LEVELS, TRADES, Table, bar_rows, rows_of
from tidemill.stores.window import Keeping, Window, in_use

APP = journal_application(VENUE, 1)
FIRST = START // DAY
MIDNIGHT = FIRST * DAY


def made(records: np.ndarray, first: int, table: Table = TRADES, epoch: int = 1) -> pa.Table:
    sequences = np.arange(first, first + len(records))
    return rows_of(table, records, sequences, epoch, VENUE, name)


@pytest.fixture
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Window]:
    """Over a hot store in memory; over a real server for tests that are marked `on_servers`."""
    server = getattr(request, "param", "memory")
    hot: Hot = MemoryHot()
    if server != "memory":
        hot = Postgres(request.getfixturevalue(server).database())
    window = Window(hot, Lake(tmp_path / "lake"))
    yield window
    window.close()


on_servers = pytest.mark.parametrize("window", ["memory", "postgres", "timescale"], indirect=True)


def fill(store: Store, days: int = 3, rows: int = 200) -> None:
    for day in range(days):
        records = mixed(rows, start=MIDNIGHT + day * DAY + HOUR, seed=day)
        for table in COMMITTED[:-1]:
            store.append(table, made(records, 1 + day * rows, table), {APP: (day + 1) * rows})
        minutes = [MIDNIGHT + day * DAY + i * 60 * SECOND for i in range(20)]
        store.append(BARS, bar_rows(bars(minutes, day % 2), VENUE, 1, name), {APP: (day + 1) * rows})


def contents(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {table.name: store.read(table, Query(revisions=True)).to_pylist() for table in COMMITTED}


@on_servers
def test_days_move_and_every_answer_stays(window: Window) -> None:
    twin = Memory()
    fill(window)
    fill(twin)
    before = contents(twin)
    assert contents(window) == before
    now = MIDNIGHT + 9 * DAY
    moved = list(window.closed(now))
    assert {day for _, day in moved} == {FIRST, FIRST + 1}
    for table, day in moved:
        window.hand_over(table, day)
        assert contents(window) == before
    assert not list(window.closed(now))
    assert window.hot.days(TRADES) == [FIRST + 2]
    for table in COMMITTED:
        assert window.position(table, VENUE, 1) == (1, 600)
        assert [one.rows for one in window.held(table)] == [one.rows for one in twin.held(table)]
    assert contents(Window(window.hot, Lake(window.lake.path))) == before


@on_servers
def test_large_days_move_in_pieces(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_PIECE_ROWS", 40)
    monkeypatch.setattr(handover, "_PIECE_ROWS_MAX", 25)
    records = trades(300, start=MIDNIGHT + HOUR)
    records["ts_event"][100:160] = MIDNIGHT + 2 * HOUR  # more than a piece at one moment
    window.append(TRADES, made(records, 1), {APP: 300})
    before = window.read(TRADES)
    pieces = list(handover.handed_over(window.hot, window.lake, TRADES, FIRST))
    assert sum(pieces) == 300
    assert max(pieces) == 60
    assert len(pieces) > 10
    assert window.read(TRADES).equals(before)
    assert window.lake.read(TRADES).equals(before)


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 40)),
            st.tuples(st.just("bars"), st.integers(0, 3), st.integers(0, 2)),
            st.tuples(st.just("import"), st.integers(0, 3), st.integers(1, 20)),
            st.tuples(st.just("move"), st.integers(0, 3), st.integers(0, 1)),
            st.tuples(st.just("crash"), st.integers(0, 3), st.integers(1, 6)),
            st.tuples(st.just("read"), st.integers(0, 95), st.integers(1, 60)),
        ),
        max_size=14,
    )
)
def test_any_history_reads_as_a_plain_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    window, plain = Window(MemoryHot(), Lake(tmp_path_factory.mktemp("lake"))), Memory()
    both: list[Store] = [window, plain]
    sequence = revision = imports = 0
    for step, a, b in steps:
        if step == "append":
            records = trades(b, start=MIDNIGHT + a * DAY + HOUR, step=600 * SECOND, seed=sequence)
            for store in both:
                assert store.append(
                    TRADES, made(records, sequence + 1), {APP: sequence + b}, {APP: sequence or None}
                )
            sequence += b
        elif step == "bars":
            revision += 1
            rows = bar_rows(bars([MIDNIGHT + a * DAY + b * 60 * SECOND], revision), VENUE, 1, name)
            for store in both:
                store.append(BARS, rows, {APP: revision})
        elif step == "import":
            imports += 1
            records = trades(b, start=MIDNIGHT + a * DAY, step=900 * SECOND, first_id=10_000 * imports)
            rows = made(records, 1 + 100 * imports, epoch=0)
            for store in both:
                store.append(TRADES, rows, {f"import/{imports}": 1})
            one = bar_rows(bars([MIDNIGHT + a * DAY], 0, 77), VENUE, 0, name, source="files")
            for store in both:
                store.append(BARS, one, {f"import/{imports}": 1})
        elif step == "move":
            window.hand_over((TRADES, BARS)[b], FIRST + a)
        elif step == "crash":
            broken = Broken(window, b)
            try:
                list(handover.handed_over(broken.hot, broken.lake, TRADES, FIRST + a))
            except KilledError:
                window = Window(window.hot, Lake(window.lake.path))
                both[0] = window
        else:
            at = MIDNIGHT + a * HOUR
            for query in (
                Query(start=at),
                Query(end=at, limit=b),
                Query(limit=b),
                Query(limit=b, oldest=True),
                Query(start=at, limit=b, instruments=(NAMES[0],)),
                Query(before=(at, 1, b), limit=b),
                Query(beyond=(at, 1, b), limit=b, oldest=True),
                Query(after=(1, b), through=(1, 2 * b), columns=("sequence", "price")),
                Query(as_of=at),
            ):
                assert window.read(TRADES, query).equals(plain.read(TRADES, query))
                whole = query.with_(columns=None)
                for asked in (whole, whole.with_(revisions=True)):
                    assert _set(window.read(BARS, asked)) == _set(plain.read(BARS, asked))
        assert window.offset(TRADES, APP) == plain.offset(TRADES, APP)
    for table in (TRADES, BARS):
        assert _set(window.read(table, Query(revisions=True))) == _set(
            plain.read(table, Query(revisions=True))
        )


def _set(rows: pa.Table) -> list[str]:
    """Rows of bars of one start and revision have no order among them."""
    return sorted(map(repr, rows.to_pylist()))


class KilledError(Exception):
    """Stands for a kill: nothing after it is done."""


class Broken:
    """Both stores of a window, as a process has them that dies before, or right after, its n-th step."""

    def __init__(
        self, window: Window, step: int, *, after: bool = False, die: Callable[[], None] = lambda: None
    ) -> None:
        self.steps = 0
        self.die = die
        self.fatal, self.after = step, after
        self.hot: Any = _Counted(window.hot, self)
        self.lake: Any = _Counted(Lake(window.lake.path), self)

    def call(self, what: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.steps += 1
        if self.steps == self.fatal and not self.after:
            self.die()
            raise KilledError
        found = what(*arguments, **named)
        if self.steps == self.fatal:
            raise KilledError
        return found


class _Counted:
    def __init__(self, store: Any, broken: Broken) -> None:
        self._store, self._broken = store, broken

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._store, attribute)
        if not callable(found):
            return found
        return lambda *arguments, **named: self._broken.call(found, *arguments, **named)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_nothing_is_lost_or_doubled(tmp_path: Path, after: bool) -> None:
    step = 0
    while True:
        step += 1
        window = Window(MemoryHot(), Lake(tmp_path / f"{step}"))
        window.append(TRADES, made(trades(90, start=MIDNIGHT), 1), {APP: 90})
        before = window.read(TRADES)
        broken = Broken(window, step, after=after)
        try:
            list(handover.handed_over(broken.hot, broken.lake, TRADES, FIRST))
        except KilledError:
            here = window.hot.read(TRADES)
            # Only what the lake was seen to have has gone.
            assert here.equals(before) or (
                not len(here) and Lake(window.lake.path).read(TRADES).equals(before)
            )
            again = Window(window.hot, Lake(window.lake.path))
            assert again.read(TRADES).equals(before)
            again.hand_over(TRADES, FIRST)
            assert again.read(TRADES).equals(before)
            assert Lake(window.lake.path).read(TRADES).equals(before)
            assert not again.hot.days(TRADES)
            continue
        break
    assert step > 8


def move_until_killed(url: str, path: str, step: int) -> None:
    """The child: dies by SIGKILL before its n-th call of a store, write of a file, fsync or commit."""
    from tidemill.stores import delta

    window = Window(Postgres(url), Lake(path))
    broken = Broken(window, step, die=lambda: os.kill(os.getpid(), signal.SIGKILL))
    for function in ("write_file", "sync", "commit"):
        real = getattr(delta, function)
        setattr(delta, function, lambda *a, _real=real: broken.call(_real, *a))
    for table in (TRADES, BARS):
        list(handover.handed_over(broken.hot, broken.lake, table, FIRST))


def killed_rounds(server: Any, path: Path, rounds: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    step, killed = 1, 0
    for turn in range(rounds):
        url = server.database()
        window = Window(Postgres(url), Lake(path / f"{turn}"))
        fill(window, days=1, rows=120)
        before = contents(window)
        child = spawn.Process(target=move_until_killed, args=(url, str(path / f"{turn}"), step))
        child.start()
        child.join(100)
        assert child.exitcode in (0, -signal.SIGKILL)
        killed += child.exitcode != 0
        step = step + 3 if child.exitcode else 1
        assert contents(Window(window.hot, Lake(path / f"{turn}"))) == before
        for table in COMMITTED:
            for day in window.hot.days(table):
                window.hand_over(table, day)
        assert contents(Lake(path / f"{turn}")) == before
        assert not any(window.hot.days(table) for table in COMMITTED)
        window.close()
    assert killed >= rounds * 2 // 3


def test_a_move_that_is_killed_loses_nothing(postgres: Any, tmp_path: Path) -> None:
    killed_rounds(postgres, tmp_path, 3)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("server", ["postgres", "timescale"])
def test_a_move_that_is_killed_forty_times_loses_nothing(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    killed_rounds(request.getfixturevalue(server), tmp_path, 40)


@on_servers
def test_nothing_goes_that_the_lake_does_not_show(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    window.append(TRADES, made(trades(90, start=MIDNIGHT), 1), {APP: 90})
    before = window.read(TRADES)
    real = Lake.append

    def forgets(self: Lake, table: Table, rows: pa.Table, *rest: Any) -> bool:
        return real(self, table, rows.slice(0, max(len(rows) - 1, 0)), *rest)

    def changes(self: Lake, table: Table, rows: pa.Table, *rest: Any) -> bool:
        if len(rows):
            sizes = pa.array([7, *rows["size"].to_pylist()[1:]])
            rows = rows.set_column(rows.column_names.index("size"), "size", sizes)
        return real(self, table, rows, *rest)

    for wrong in (changes, forgets):
        monkeypatch.setattr(Lake, "append", wrong)
        with pytest.raises(DataQualityError, match="nothing was let go of"):
            window.hand_over(TRADES, FIRST)
        assert window.hot.read(TRADES).equals(before)


@on_servers
def test_rows_that_come_while_a_day_moves_move_too(window: Window) -> None:
    for batch in range(0, 6, 2):
        for at in (batch, batch + 1):
            if at % 2:
                pieces = handover.handed_over(window.hot, window.lake, TRADES, FIRST)
                assert next(pieces) == 10
            records = trades(10, start=MIDNIGHT + (6 - at) * HOUR, first_id=1_000 + 10 * at)
            window.append(TRADES, made(records, 1 + 10 * at), {APP: 10 + 10 * at})
        list(pieces)
        assert not window.hot.days(TRADES)
        assert sorted(window.read(TRADES)["sequence"].to_pylist()) == list(range(1, 21 + 10 * batch))
    assert len(Lake(window.lake.path).read(TRADES)) == 60


def test_a_day_that_does_not_come_to_rest_stays(window: Window) -> None:
    window.append(TRADES, made(trades(5, start=MIDNIGHT), 1), {APP: 5})
    sequence = 5

    def disturb(*_: object) -> int:
        nonlocal sequence
        window.append(TRADES, made(trades(5, start=MIDNIGHT), sequence + 1), {APP: sequence + 5})
        sequence += 5
        return 0

    def moving() -> Iterator[int]:
        yield (yield from handover.handed_over(window.hot, window.lake, TRADES, FIRST))

    *_, moved = (piece if isinstance(piece, bool) else disturb() for piece in moving())
    assert moved is False
    assert window.hot.days(TRADES) == [FIRST]
    assert sorted(window.read(TRADES)["sequence"].to_pylist()) == list(range(1, sequence + 1))


def readers_beside_a_move(
    window: Window, other: Callable[[], Window], rounds: int = 3, readers: int = 2
) -> None:
    """Readers, all but one with windows of their own, see the same rows all the time."""
    fill(window, days=rounds, rows=120)
    expected = {table.name: len(window.read(table)) for table in (TRADES, LEVELS, BARS)}
    assert all(expected.values())
    stop = threading.Event()
    wrong: list[object] = []
    reads = [0]

    def read(mine: Window) -> None:
        while not stop.is_set():
            try:
                for table in (TRADES, LEVELS, BARS):
                    rows = mine.read(table)
                    keys = set(zip(*(rows[c].to_pylist() for c in handover.identity(table)), strict=True))
                    newest = mine.read(table, Query(limit=40))
                    if not len(rows) == len(keys) == expected[table.name] or not newest.equals(
                        rows.slice(len(rows) - 40)
                    ):
                        wrong.append((table.name, len(rows), len(keys), expected[table.name]))
                reads[0] += 1
            except Exception as error:  # a thread's error would else be nobody's
                wrong.append(error)

    threads = [
        threading.Thread(target=read, args=(one,)) for one in (window, *(other() for _ in range(readers)))
    ]
    for thread in threads:
        thread.start()
    mover = other()
    for day in range(rounds):
        for table in (TRADES, LEVELS, BARS):
            mover.hand_over(table, FIRST + day)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not wrong, wrong[:3]
    assert reads[0] >= 3
    assert not mover.hot.days(TRADES)


@on_servers
def test_readers_see_the_same_rows_all_the_time(window: Window) -> None:
    readers_beside_a_move(window, lambda: Window(window.hot, Lake(window.lake.path)))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@on_servers
def test_eight_readers_see_the_same_rows_all_the_time(window: Window) -> None:
    readers_beside_a_move(window, lambda: Window(window.hot, Lake(window.lake.path)), 60, 7)


@pytest.mark.parametrize("side", ["hot", "lake"])
def test_a_day_that_moves_in_the_middle_of_a_read_is_read_whole(
    window: Window, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(window, days=1)
    before = window.read(TRADES)
    reader = Window(window.hot, Lake(window.lake.path))
    assert reader.read(TRADES, Query(start=MIDNIGHT)).equals(
        before
    )  # knows the lake as it is without the day
    store: Any = getattr(reader, side)
    real = store.read

    def read_and_move(*arguments: Any) -> pa.Table:
        rows = real(*arguments)
        monkeypatch.setattr(store, "read", real)
        window.hand_over(TRADES, FIRST)
        return rows

    monkeypatch.setattr(store, "read", read_and_move)
    assert reader.read(TRADES).equals(before)
    assert not window.hot.days(TRADES)
    assert reader.read(TRADES, Query(start=MIDNIGHT)).equals(before)
    assert reader.read(TRADES, Query(limit=7)).equals(before.slice(len(before) - 7))


@on_servers
def test_recent_rows_do_not_touch_the_lake(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(window)
    for table, day in list(window.closed(MIDNIGHT + 9 * DAY)):
        window.hand_over(table, day)
    reader = Window(window.hot, Lake(window.lake.path))
    newest, today = Query(limit=15), Query(start=MIDNIGHT + 2 * DAY)
    expected = [reader.read(table, query) for table in (TRADES, BARS) for query in (newest, today)]
    assert reader.position(TRADES, VENUE, 1) == (1, 600)

    def touched(*_: object, **__: object) -> None:
        raise AssertionError("the lake was asked")

    for method in ("read", "snapshot", "offset", "position"):
        monkeypatch.setattr(Lake, method, touched)
    found = [reader.read(table, query) for table in (TRADES, BARS) for query in (newest, today)]
    assert found == expected
    assert reader.position(TRADES, VENUE, 1) == (1, 600)
    with pytest.raises(AssertionError):
        reader.read(TRADES, Query(start=MIDNIGHT + DAY))
    with pytest.raises(AssertionError):
        reader.read(TRADES, Query(limit=150))


def test_recent_rows_outlive_a_lake_that_is_away(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(window)
    window.hand_over(TRADES, FIRST)
    newest = Query(limit=15)
    expected, position = window.read(TRADES, newest), window.position(TRADES, VENUE, 1)

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("the server is away")

    for method in ("read", "snapshot", "offset", "position"):
        monkeypatch.setattr(Lake, method, away)
    monkeypatch.setattr(stores_window, "LAKE_SEEN_S", 0.0)
    assert window.read(TRADES, newest).equals(expected)
    assert window.position(TRADES, VENUE, 1) == position
    with pytest.raises(UnavailableError):
        window.read(TRADES)


def test_a_fresh_import_is_seen_by_readers_that_know_the_lake(window: Window) -> None:
    window.append(TRADES, made(trades(50, start=MIDNIGHT), 1), {APP: 50})
    reader = Window(window.hot, Lake(window.lake.path))
    assert len(reader.read(TRADES, Query(limit=5))) == 5
    window.append(TRADES, made(trades(3, start=MIDNIGHT + DAY), 1, epoch=0), {"import/x": 1})
    assert reader.read(TRADES, Query(limit=5))["epoch"].to_pylist() == [1, 1, 0, 0, 0]
    assert reader.offset(TRADES, "import/x") == 1


def test_a_batch_is_of_journals_or_not(window: Window) -> None:
    batch = pa.concat_tables(
        [made(trades(5), 1).cast(TRADES.schema), made(trades(5), 1, epoch=0).cast(TRADES.schema)]
    )
    with pytest.raises(UsageError, match="a batch has rows of a journal and rows that came another way"):
        window.append(TRADES, batch, {APP: 5})
    assert not len(window.read(TRADES))


@on_servers
def test_a_home_goes_from_lake_to_window_and_back(window: Window, tmp_path: Path) -> None:
    lake, hot = Lake(tmp_path), window.hot
    fill(lake, days=1)
    assert not in_use(lake)
    window = Window(hot, Lake(tmp_path))
    assert window.offset(TRADES, APP) == 200
    assert window.position(BARS, VENUE, 1) == (1, 200)
    more = made(trades(50, start=MIDNIGHT + DAY), 201)
    with pytest.raises(FencedError):
        window.append(TRADES, more, {APP: 250}, {APP: None})
    assert not window.append(TRADES, made(trades(50), 101), {APP: 150})
    assert window.append(TRADES, more, {APP: 250}, {APP: 200})
    assert window.append(TRADES, made(trades(9, start=MIDNIGHT + DAY), 251), {APP: 259}, {APP: 250})
    assert in_use(Lake(tmp_path))
    assert lake.offset(TRADES, APP) == 200
    marks = {retention_application(VENUE): 17, retention_application(VENUE, 1): 3}
    hot.append(TRADES, TRADES.empty(), marks)
    before = window.read(TRADES)
    assert window.drain() == 59
    assert window.drain() == 0
    assert not in_use(lake)
    assert lake.read(TRADES).equals(before)
    assert lake.offset(TRADES, APP) == 259
    assert lake.offset(TRADES, retention_application(VENUE)) == 17
    assert lake.offset(TRADES, retention_application(VENUE, 1)) == 3
    assert lake.offset(BARS, APP) == 200
    # The lake alone, and a window once more: what each has is the larger of both.
    assert lake.append(TRADES, made(trades(41, start=MIDNIGHT + DAY), 260), {APP: 300}, {APP: 259})
    window = Window(hot, Lake(tmp_path))
    assert window.offset(TRADES, APP) == 300
    assert not window.append(TRADES, made(trades(20), 260), {APP: 279})
    assert window.append(TRADES, made(trades(50, start=MIDNIGHT + 2 * DAY), 301), {APP: 350}, {APP: 300})
    assert in_use(lake)
    found = window.read(TRADES)["sequence"].to_pylist()
    assert sorted(found)[-150:] == list(range(201, 351))
    assert len(found) == len(set(found)) == len(before) + 91


@pytest.mark.parametrize("step", range(1, 30, 3))
def test_a_drain_that_is_killed_is_done_again(tmp_path: Path, step: int) -> None:
    window = Window(MemoryHot(), Lake(tmp_path))
    fill(window, days=1, rows=60)
    before = contents(window)
    broken = Broken(window, step * 6)
    try:
        Window(broken.hot, broken.lake).drain()
    except KilledError:
        assert in_use(Lake(tmp_path))
        assert contents(Window(window.hot, Lake(tmp_path))) == before
        Window(window.hot, Lake(tmp_path)).drain()
    assert not in_use(Lake(tmp_path))
    assert contents(Lake(tmp_path)) == before
    for table in COMMITTED:
        assert Lake(tmp_path).position(table, VENUE, 1) == (1, 60)


# ── housekeeping ──────────────────────────────────────────────────────────────────────────────────


def keeping(window: Window, levels_hours: float = 48, sim_hours: float = 48) -> Keeping:
    return Keeping(window, Log("test"), levels_hours=levels_hours, sim_hours=sim_hours)


def test_keeping_moves_closed_days_piece_by_piece(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_PIECE_ROWS", 50)
    fill(window)
    before = contents(window)
    made_ = keeping(window)
    for _ in range(60):
        made_._next_look = 0.0
        made_.step(MIDNIGHT + 9 * DAY)
        assert len(window.read(TRADES)) == len(before["trades"])
    assert window.hot.days(TRADES) == window.hot.days(BARS) == [FIRST + 2]
    assert contents(window) == before
    assert made_.sizes()["trades"]["days"] == 1


def test_a_day_that_cannot_move_keeps_no_other_from_it(
    window: Window, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(window)
    real = Lake.append

    def fails(self: Lake, table: Table, rows: pa.Table, *rest: Any) -> bool:
        if table is TRADES and len(rows) and pc.min(rows["ts_event"]).as_py() < MIDNIGHT + DAY:
            raise DataQualityError("data_unreadable", "a file is damaged")
        return real(self, table, rows, *rest)

    monkeypatch.setattr(Lake, "append", fails)
    made_ = keeping(window)
    for _ in range(40):
        made_._next_look = 0.0
        made_.step(MIDNIGHT + 9 * DAY)
    assert window.hot.days(TRADES) == [FIRST, FIRST + 2]
    assert window.hot.days(BARS) == [FIRST + 2]
    assert capfd.readouterr().err.count("a file is damaged") == 1


@on_servers
def test_retention_lets_go_of_levels_and_says_so(window: Window) -> None:
    fill(window)
    before = contents(window)
    now = MIDNIGHT + 2 * DAY + 2 * HOUR
    keeping(window, levels_hours=24).retain(now)
    after = contents(window)
    kept = now - 24 * HOUR
    kept -= kept % HOUR
    assert after["levels"] == [row for row in before["levels"] if row["ts_event"] >= kept] != before["levels"]
    gone = [row for row in before["levels"] if row["ts_event"] < kept]
    assert window.offset(LEVELS, retention_application(VENUE)) == gone[-1]["ts_event"]
    assert window.offset(LEVELS, retention_application(VENUE, 1)) == max(row["sequence"] for row in gone)
    for table in ("bars", "gaps", "status"):
        assert after[table] == before[table]
    keeping(window, levels_hours=0, sim_hours=0).retain(now + 300 * DAY)
    assert contents(window) == after


@on_servers
def test_retention_is_quick_whatever_time_a_venue_stamps(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = mixed(200, start=MIDNIGHT)
    levels = np.flatnonzero(records["kind"] == wire.KIND_LEVEL)
    records["ts_event"][levels[:3]] = 0, -(2**63), -(10**18)
    window.append(LEVELS, made(records, 1, LEVELS), {APP: 200})
    asked: list[Query] = []
    real = window.hot.read
    monkeypatch.setattr(window.hot, "read", lambda table, query: asked.append(query) or real(table, query))
    keeping(window).retain(MIDNIGHT + HOUR)
    assert len(asked) < 10
    assert min(window.read(LEVELS)["ts_event"].to_pylist()) >= MIDNIGHT
    assert window.offset(LEVELS, retention_application(VENUE)) == 0


def test_trades_of_open_bars_outlive_retention(window: Window) -> None:
    records = trades(48, start=MIDNIGHT, step=HOUR)
    window.append(TRADES, made(records, 1), {APP: 48})
    keeping(window, sim_hours=6).retain(MIDNIGHT + 48 * HOUR)
    # The second day is not over at its venue: its bar is still made of its trades.
    assert window.read(TRADES)["ts_event"].to_pylist() == [MIDNIGHT + h * HOUR for h in range(24, 48)]


def test_how_rows_lie_in_time(window: Window) -> None:
    fill(window)
    window.hand_over(TRADES, FIRST)
    days = window.dated(TRADES, Query(venues=(VENUE,)))
    assert set(days) == {FIRST, FIRST + 1, FIRST + 2}
    assert set(window.dated(TRADES, Query(start=MIDNIGHT + DAY, end=MIDNIGHT + DAY + 1))) == {FIRST + 1}
