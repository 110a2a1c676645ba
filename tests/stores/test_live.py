"""Lake and journal read as one: whatever is stored by now, the answer is that of the whole journal."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.stores.make import NAMES, SECOND, START, VENUE, damage, mixed, number, rot, trades, writer
from tidemill import _native, wire
from tidemill.errors import DataQualityError, NotFoundError, UsageError
from tidemill.model.bar import BAR
from tidemill.model.interval import DAY, HOUR, MINUTE, STORED, Interval
from tidemill.recorder.recorder import Recorder
from tidemill.stores import export, series, tail
from tidemill.stores.api import Query, Store
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView
from tidemill.stores.source import Journal
from tidemill.stores.table import BARS, GAPS, QUOTES, TRADES, records_of

FIELDS = ["start", "end", "open", "high", "low", "close", "volume_low", "volume_high", "trades"]


class World:
    """A journal, a recorder that flushes when told, and views on both."""

    def __init__(self, home: Path, store: Store | None = None) -> None:
        self.home = home
        self._given = store
        self.journal = writer(home)
        self.written: list[np.ndarray] = []
        self.start_recorder()

    def start_recorder(self) -> None:
        self.store = self._given or Lake(self.home / "lake")
        self.recorder = Recorder(self.home, self.store)
        self.venue = self.recorder.add(VENUE, self.journal.epoch)
        self.source = Journal(self.home, VENUE)
        self.source.seek(self.venue.position)

    def view(self, *, follow: bool = True) -> LiveView:
        return LiveView(self.home, follow=follow, store=self._given)

    def write(self, records: np.ndarray) -> None:
        self.written.append(records)
        self.journal.append(records)

    def record(self) -> None:
        while (batch := self.source.read(1 << 16, 0)) is not None:
            self.recorder.take(self.venue, batch)
        self.recorder.flush()

    @property
    def records(self) -> np.ndarray:
        return np.concatenate(self.written)

    def trades(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        records = self.records
        mine = (records["kind"] == wire.KIND_TRADE) & (records["instrument"] == number(name))
        return records[mine], np.flatnonzero(mine) + 1

    def bars(self, name: str, interval: str) -> np.ndarray:
        records, sequences = self.trades(name)
        return np.frombuffer(_native.bars_of_trades(records, sequences.astype(np.uint64), interval), BAR)


def lake_alone(world: World, elsewhere: Path) -> LiveView:
    """A view of nothing but what was stored, as in a home whose recorder reads from a relay."""
    shutil.copytree(world.home / "lake", elsewhere / "lake")
    return LiveView(elsewhere, follow=False)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.journal.close()


@pytest.fixture
def view(world: World) -> Iterator[LiveView]:
    view = world.view()
    yield view
    view.close()


def agree(world: World, view: LiveView, name: str, interval: str) -> None:
    expected = world.bars(name, interval)
    found = view.bars(name, interval, limit=100_000)
    whole = np.concatenate([found.bars, found.current])
    np.testing.assert_array_equal(whole[FIELDS], expected[FIELDS], err_msg=f"{name} {interval}")
    assert found.through == (world.journal.epoch, len(world.records))
    assert not found.more
    for limit in (1, 3):
        some = view.bars(name, interval, limit=limit)
        assert some.more == (len(expected) - len(some.current) > limit)
        np.testing.assert_array_equal(
            np.concatenate([some.bars, some.current])[FIELDS],
            expected[len(expected) - len(some.bars) - len(some.current) :][FIELDS],
        )
    if len(expected) > 4:
        start, end = int(expected["start"][1]), int(expected["start"][-2])
        for limit in (2, 100_000):
            found = view.bars(name, interval, start=start, end=end, limit=limit)
            whole = np.concatenate([found.bars, found.current])
            np.testing.assert_array_equal(whole[FIELDS], expected[1:-2][: max(limit, len(whole))][FIELDS])
            assert len(found.bars) <= limit
            found = view.bars(name, interval, end=end, limit=limit)
            whole = np.concatenate([found.bars, found.current])
            np.testing.assert_array_equal(whole[FIELDS], expected[:-2][-max(limit, len(whole)) :][FIELDS])
            assert len(found.bars) <= limit


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_stored_the_answer_is_the_same(world: World, view: LiveView, seed: int) -> None:
    dice = random.Random(seed)
    at = START
    views = [view]
    for step in range(8):
        records = mixed(dice.randrange(50, 800), start=at, first_id=1 + step * 1_000, seed=seed * 100 + step)
        spread = dice.choice([SECOND // 20, SECOND, 90 * SECOND])
        records["ts_event"] = at + np.arange(len(records)) * spread
        records["ts_recv"] = records["ts_event"] + 3_000_000
        if dice.random() < 0.5:  # some trades happened a while before they arrived
            late = np.random.default_rng(seed).integers(0, len(records), 5)
            records["ts_event"][late] -= dice.choice([SECOND, MINUTE, 20 * MINUTE, DAY])
        at = int(records["ts_recv"].max()) + 1
        world.write(records)
        match dice.randrange(4):
            case 0 | 1:
                world.record()
            case 2:
                world.start_recorder()
        if dice.random() < 0.3:
            views.append(world.view())
        name = dice.choice(NAMES)
        interval = dice.choice([*STORED, "5s", "15m", "4h", "1w", "1mo"])
        for one in views:
            agree(world, one, name, interval)
    world.record()
    for one in [*views, last := world.view()]:
        for name in NAMES:
            agree(world, one, name, "1m")
    for one in [*views[1:], last]:
        one.close()


def test_a_late_trade_hides_no_older_bar(world: World, view: LiveView) -> None:
    records = trades(9_000, step=SECOND)
    records["instrument"] = number(NAMES[0])
    late = [40, 4_000, 8_900, 8_950]
    records["ts_event"][late] -= 5 * SECOND
    world.write(records)
    agree(world, view, NAMES[0], "1s")
    world.record()
    fresh = world.view(follow=False)
    for one in (view, fresh):
        for interval in ("1s", "5s"):
            first = one.bars(NAMES[0], interval, start=START, end=START + 100 * SECOND)
            assert len(first.bars) == (99 if interval == "1s" else 20)  # one second's trade was another's
            assert not first.more
        whole = sum(len(piece) for piece in export.bars(one, NAMES[0], "1s", None, None))
        agree(world, one, NAMES[0], "1s")
        assert whole == len(one.bars(NAMES[0], "1s", limit=100_000).bars)


def test_bars_that_nobody_stores_are_missed_aloud(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "RECENT_BARS_MAX", 500)
    monkeypatch.setattr(tail, "CACHE_S", 0.0)
    view = world.view(follow=False)
    for at in range(20):
        records = trades(100, start=START + at * 100 * SECOND, step=SECOND, first_id=1 + at * 100, seed=at)
        records["instrument"] = number(NAMES[0])
        world.write(records)
        view.bars(NAMES[0], "1s", limit=1)
    for found in (view.bars(NAMES[0], "1s"), view.bars(NAMES[0], "5s", start=START)):
        assert not found.complete
        assert found.bars["start"][0] > START
    assert view.bars(NAMES[0], "1s", limit=300).complete
    assert view.bars(NAMES[0], "1m", start=START).complete
    world.record()
    assert view.bars(NAMES[0], "1s").complete
    agree(world, view, NAMES[0], "1s")


@pytest.mark.parametrize("stored", [0, 300, 1_000])
def test_ticks_join_exactly(world: World, view: LiveView, stored: int) -> None:
    records = mixed(1_000)
    world.write(records[:stored]) if stored else None
    world.record()
    if stored < 1_000:
        world.write(records[stored:])
    for table, read in ((TRADES, view.trades), (QUOTES, view.quotes)):
        mine = np.isin(records["kind"], table.kinds) & (records["instrument"] == number(NAMES[0]))
        found = read(NAMES[0], limit=10_000)
        assert found.rows["sequence"].to_pylist() == (np.flatnonzero(mine) + 1).tolist()
        np.testing.assert_array_equal(records_of(table, found.rows, number)["price"], records[mine]["price"])
        assert found.through == (1, 1_000)
        assert not found.more
    whole = view.trades(NAMES[0], limit=10_000).rows
    page = view.trades(NAMES[0], limit=50)
    assert page.more
    assert page.rows.equals(whole.slice(len(whole) - 50))
    first = page.rows.slice(0, 1).to_pylist()[0]
    older = view.trades(NAMES[0], limit=50, before=(first["ts_event"], first["epoch"], first["sequence"]))
    assert older.rows.equals(whole.slice(len(whole) - 100, 50))
    start = whole["ts_event"][20].as_py()
    assert view.trades(NAMES[0], start=start, limit=10).rows.equals(whole.slice(20, 10))


def book_of(records: np.ndarray, name: str) -> tuple[list, list, bool]:
    book = _native.Book()
    book.apply(np.ascontiguousarray(records), number(name))
    bids, asks = book.top(1_000)
    return bids, asks, book.valid


def quiet_book(count: int, seed: int) -> np.ndarray:
    """Levels whose bids are below asks, with a snapshot now and then."""
    records = mixed(count, seed=seed)
    levels = records["kind"] == wire.KIND_LEVEL
    side = records["flags"] & wire.FLAG_SIDE
    records["price"][levels & (side == 1)] = 642_000 + records["price"][levels & (side == 1)] % 50
    records["price"][levels & (side == 2)] = 642_100 + records["price"][levels & (side == 2)] % 50
    records["size"][levels & (records["size"] % 5 == 0)] = 0
    keep = ~np.isin(records["kind"], (wire.KIND_GAP, wire.KIND_STATUS))
    return records[keep]


@pytest.mark.parametrize("stored", [0, 1_000, 10_000])
def test_books_now_and_then(world: World, view: LiveView, stored: int) -> None:
    records = quiet_book(3_000, seed=5)
    stored = min(stored, len(records))
    if stored:
        world.write(records[:stored])
    world.record()
    if stored < len(records):
        world.write(records[stored:])
    for name in NAMES:
        for at in (None, len(records), 2_000, 1_500):
            found = view.book(name, at=None if at is None else (1, at), depth=1_000)
            bids, asks, valid = book_of(records[: at or len(records)], name)
            texts = [[(wire.text(p, ps), wire.text(s, ss)) for p, ps, s, ss in side] for side in (bids, asks)]
            assert [found.bids, found.asks] == texts
            assert found.valid == valid
        then = int(records["ts_recv"][1_999])
        assert view.book(name, at=then, depth=1_000).bids == view.book(name, at=(1, 2_000), depth=1_000).bids
    # A book that is followed stays right.
    more = quiet_book(500, seed=6)
    more["ts_recv"] += 10**12
    world.write(more)
    found = view.book(NAMES[0], depth=1_000)
    assert found.sequence == len(records) + len(more)
    bids, _, valid = book_of(np.concatenate([records, more]), NAMES[0])
    assert [p for p, _ in found.bids] == [wire.text(p, ps) for p, ps, _, _ in bids]
    assert found.valid == valid


def levels(*sides: tuple[int, int, int], snapshot: bool = False) -> np.ndarray:
    """Changes of the first book: (side, price, size); as a snapshot behind a clear."""
    records = np.zeros(len(sides) + snapshot, wire.RECORD)
    records["kind"], records["instrument"] = wire.KIND_LEVEL, number(NAMES[0])
    records["ts_event"], records["ts_recv"] = START, START + 1
    changes = records[int(snapshot) :]
    changes["flags"], changes["price"], changes["size"] = np.array(sides).T
    if snapshot:
        records["kind"][0] = wire.KIND_CLEAR
        records["flags"] |= wire.FLAG_SNAPSHOT
    records["flags"][-1] |= wire.FLAG_LAST
    return records


def test_a_book_of_which_the_journal_lost_levels_is_not_valid(world: World) -> None:
    bid, ask = wire.FLAG_BUY, wire.FLAG_SELL
    world.write(levels((bid, 1_000, 5), (ask, 1_010, 5), snapshot=True))
    early = world.view(follow=False)
    assert early.book(NAMES[0]).valid
    lost = levels((ask, 1_010, 0))
    world.write(lost)
    rot(world.home, lost)
    # The rot is met by whoever reads on, in the same read as what lies before it or behind it.
    world.write(levels((ask, 1_011, 9)))
    hole = [(gap["cause"], gap["sequence"], gap["missing"]) for gap in early.gaps()]
    assert hole == [("corrupt", 4, 1)]
    views = [early, world.view(follow=False)]
    for one in views:
        assert not one.book(NAMES[0]).valid
        assert one.book(NAMES[0], (1, 3)).valid
        assert not one.book(NAMES[0], (1, 5)).valid
        assert [gap["missing"] for gap in one.read(GAPS, VENUE, Query())[0].to_pylist()] == [1]
    world.write(levels((bid, 1_000, 5), (ask, 1_012, 5), snapshot=True))
    for one in [*views, world.view(follow=False)]:
        assert one.book(NAMES[0]).valid
        assert one.book(NAMES[0]).asks == [("1012", "5")]
        assert not one.book(NAMES[0], (1, 5)).valid


def test_gaps_spoil_what_they_touch(world: World, view: LiveView) -> None:
    records = mixed(400, seed=3)
    records = records[records["kind"] != wire.KIND_GAP][:300]
    gap = np.zeros(2, wire.RECORD)
    gap["kind"], gap["instrument"] = wire.KIND_GAP, number(NAMES[0])
    gap["flags"], gap["price_scale"], gap["size_scale"] = (1, 2), 1, 3
    gap["price"], gap["size"] = -1, (-1, 7)
    gap["ts_event"] = records["ts_event"][[100, 120]]
    gap["ts_recv"] = records["ts_recv"][[110, 120]]
    gap["id"] = (0, 111)
    world.write(np.concatenate([records[:110], gap[:1], records[110:120], gap[1:], records[120:]]))
    for _ in range(2):  # from the journal, then from the lake
        found = [g for g in view.gaps() if g["cause"] == "hole"]
        assert len(found) == 1
        assert (found[0]["epoch"], found[0]["sequence"], found[0]["missing"]) == (1, 111, 7)
        assert found[0]["ts_event_end"] == records["ts_event"][120]
        assert found[0]["state"] == "open"
        bars = view.bars(NAMES[0], "1s")
        assert not bars.complete
        assert view.bars(NAMES[1], "1s").complete
        assert view.bars(NAMES[0], "1s", end=int(records["ts_event"][90])).complete
        world.record()
        view = world.view()
    view.close()


def test_lists(world: World, view: LiveView) -> None:
    world.write(mixed(1_000))
    view.bars(NAMES[0], "1m")
    lines = view.instruments()
    assert [line["instrument"] for line in lines] == list(NAMES)
    trades, _ = world.trades(NAMES[0])
    assert lines[0]["last"]["price"] == wire.text(int(trades["price"][-1]), 1)
    assert view.datasets() == []
    world.record()
    ids = {line["id"]: line for line in view.datasets()}
    assert ids[f"{NAMES[0]}:trades"]["rows"] == len(trades)
    assert ids[f"{NAMES[0]}:trades"]["start"] == trades["ts_event"][0]
    assert f"{NAMES[0]}:bars" in ids


def test_what_nobody_has(world: World, view: LiveView) -> None:
    with pytest.raises(NotFoundError):
        view.bars("BTC-EUR.sim-kraken", "1m")
    with pytest.raises(NotFoundError):
        view.bars("BTC-EUR.nowhere", "1m")
    with pytest.raises(NotFoundError):
        view.trades("BTC-EUR.nowhere")
    with pytest.raises(NotFoundError):
        view.book("BTC-EUR.nowhere")
    with pytest.raises(UsageError):
        view.bars(NAMES[0], "1x")
    assert len(view.bars(NAMES[0], "1m").bars) == 0


def history(minutes: int, end: int) -> dict:
    """Made-up 1m bars that end at `end`."""
    random_ = np.random.default_rng(4)
    close = 642_000 + random_.integers(-30, 30, minutes).cumsum()
    opens = np.concatenate([[642_000], close[:-1]])
    return {
        "start": end - (np.arange(minutes)[::-1] + 1) * MINUTE,
        "open": opens,
        "high": np.maximum(opens, close) + 5,
        "low": np.minimum(opens, close) - 5,
        "close": close,
        "volume": random_.integers(1, 10**9, minutes),
        "trades": random_.integers(1, 50, minutes),
        "price_scale": 1,
        "size_scale": 8,
    }


def test_imported_history_and_live_bars_are_one_series(world: World, view: LiveView) -> None:
    minute = Interval.parse("1m").start(START)
    columns = history(5_000, minute)
    for _ in range(2):
        kept = Lake(world.home / "lake").import_bars(
            NAMES[0], "1m", columns, source="generated", chunk="all", ts_recv=START
        )
        assert kept == (_ == 0)
    records = mixed(4_000)
    records["ts_event"] = START + np.arange(4_000) * 10 * SECOND
    records["ts_recv"] = records["ts_event"] + 1
    world.write(records)
    for _ in range(2):  # live in the journal, then in the lake
        minutes = view.bars(NAMES[0], "1m", limit=100_000)
        whole = np.concatenate([minutes.bars, minutes.current])
        live = world.bars(NAMES[0], "1m")
        assert len(whole) == 5_000 + len(live)
        assert (whole["start"][:5_000] == columns["start"]).all()
        np.testing.assert_array_equal(whole[5_000:][FIELDS], live[FIELDS])
        for text in ("1h", "1d", "4h", "1w"):
            longer = view.bars(NAMES[0], text, limit=100_000)
            got = np.concatenate([longer.bars, longer.current])
            expected = series.merge(whole, Interval.parse(text))
            np.testing.assert_array_equal(got[FIELDS], expected[FIELDS], err_msg=text)
        world.record()
        view.close()
        view = world.view()
    view.close()


def test_a_series_of_no_bars_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for change in ({"low": 10**9}, {"start": START + 1}):
        columns = history(10, START // MINUTE * MINUTE)
        for key, value in change.items():
            columns[key][5] = value
        with pytest.raises(UsageError, match="row 5"):
            lake.import_bars(NAMES[0], "1m", columns, source="s", chunk="c", ts_recv=START)
    with pytest.raises(UsageError, match="not stored"):
        lake.import_bars(NAMES[0], "5m", history(10, START), source="s", chunk="c", ts_recv=START)


def test_floats(world: World, view: LiveView) -> None:
    world.write(mixed(1_000))
    found = view.bars(NAMES[0], "1m")
    columns = found.floats(current=True)
    trades, _ = world.trades(NAMES[0])
    assert columns["close"][-1] == float(wire.text(int(trades["price"][-1]), 1))
    assert columns["trades"].sum() == len(trades)
    assert columns["volume"].sum() == pytest.approx(trades["size"].sum() / 1e8)
    assert HOUR > 0


def test_a_lake_without_its_journal_answers_as_with_it(world: World, tmp_path: Path) -> None:
    world.write(mixed(3_000))
    world.record()
    here, alone = world.view(follow=False), lake_alone(world, tmp_path / "elsewhere")
    assert alone.venues() == [VENUE]
    assert alone.names() == set(NAMES)
    assert alone.gaps() == here.gaps() != []
    without_last = [{**line, "last": None} for line in here.instruments()]
    assert alone.instruments() == without_last
    for name in NAMES:
        for at in (None, (1, 1_500), START + 100 * SECOND):
            mine, theirs = alone.book(name, at, 5), here.book(name, at, 5)
            assert (mine.bids, mine.asks, mine.valid) == (theirs.bids, theirs.asks, theirs.valid)
        assert alone.trades(name).complete == here.trades(name).complete
        assert not alone.bars(name, "1m").complete  # the last bar is not closed, so not stored: gaps differ
    with pytest.raises(NotFoundError, match="NO-USD"):
        alone.book(f"NO-USD.{VENUE}")


def test_a_gap_that_ended_before_it_began_by_the_venues_clock_is_one_gap(world: World) -> None:
    edges = mixed(2)
    edges["kind"], edges["flags"], edges["instrument"] = wire.KIND_GAP, [1, 2], number(NAMES[0])
    edges["price_scale"], edges["size_scale"] = 1, 1
    edges["price"], edges["size"], edges["id"] = [100, 104], [-1, 3], [0, 1]
    edges["ts_event"] = [START + SECOND, START]
    world.write(edges)
    (before,) = world.view(follow=False).gaps()
    assert before["ts_event_open"] == START + SECOND
    world.record()
    assert world.view(follow=False).gaps() == [before]


def late(world: World, at: int, *, by: int, name: str = NAMES[0]) -> None:
    """A trade that happened in a bar that is closed, and arrives `by` ns after it."""
    record = trades(1, start=at, first_id=10**6 + len(world.records))
    record["instrument"], record["ts_recv"] = number(name), at + by
    world.write(record)


def test_bars_that_late_trades_changed_are_told_once(
    world: World, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert view.revised(VENUE, None) == []
    world.write(trades(1_000))
    world.record()
    assert view.revised(VENUE, None) == []
    late(world, START + 50 * SECOND, by=60 * SECOND)
    late(world, START + 55 * SECOND, by=60 * SECOND)
    world.record()
    found = view.revised(VENUE, None)
    rows = world.store.read(BARS, Query(revisions=True)).to_pylist()
    names = ("instrument", "interval", "revision", "epoch", "sequence")
    expected = [{"ts": row["ts_event"]} | {n: row[n] for n in names} for row in rows if row["revision"]]
    assert sorted(map(str, found)) == sorted(map(str, expected))
    at = [(line["epoch"], line["sequence"]) for line in found]
    assert at == sorted(at)
    assert len(found) >= 2
    # Pages hold all bars of a record, and meet.
    paged: list[dict[str, object]] = []
    after = None
    while page := view.revised(VENUE, after, limit=1):
        paged += page
        after = (page[-1]["epoch"], page[-1]["sequence"])
    assert paged == found
    assert view.revised("sim-coinbase", None) == []
    monkeypatch.setattr(view.store, "read", lambda *_: pytest.fail("a row was read again"))
    assert view.revised(VENUE, after) == []
    assert view.revised(VENUE, None) == found


@pytest.mark.parametrize("harm", ["flip", "rot", "cut", "gone"])
def test_a_damaged_file_is_named_and_spoils_no_other_venue(
    world: World, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = writer(world.home, "sim-coinbase")
    records = trades(100)
    records["instrument"] += 1 << 20
    other.append(records)
    world.write(mixed(1_000))
    world.record()
    before = world.view(follow=False).gaps(VENUE)
    harmed = next((world.home / "lake" / "trades").rglob("*.parquet"))
    damage(harmed, harm)
    view = world.view()
    for ask in (view.trades, lambda name: view.bars(name, "1m")):
        with pytest.raises(DataQualityError) as caught:
            ask(NAMES[0])
        assert caught.value.code == "data_unreadable"
        assert str(harmed) in caught.value.message
    assert len(view.trades("BTC-USD.sim-coinbase").rows) > 0
    assert len(view.instruments()) == 6
    assert view.gaps() == before != []
    until = time.monotonic() + 10
    while str(harmed) not in caplog.text and time.monotonic() < until:
        time.sleep(0.05)
    assert str(harmed) in caplog.text
    assert view._thread
    assert view._thread.is_alive()
    view.close()
    other.close()


@pytest.mark.parametrize("stored", [False, True])
def test_a_bar_within_its_grace_is_not_settled_though_a_later_one_has_begun(
    world: World, view: LiveView, stored: bool
) -> None:
    """A late trade is still taken in then: who keeps what is closed must not keep that."""

    def at(*moments: int) -> np.ndarray:
        records = trades(len(moments), first_id=1 + sum(map(len, world.written)))
        records["instrument"] = number(NAMES[0])
        records["ts_event"] = moments
        # What is late arrives after all that is there already.
        before = int(world.records["ts_recv"].max()) if world.written else 0
        records["ts_recv"] = np.maximum.accumulate(np.maximum(moments, before))
        return records

    minute = START // MINUTE * MINUTE + MINUTE
    world.write(at(minute + SECOND, minute + MINUTE + SECOND, minute + 2 * MINUTE + SECOND))
    if stored:
        world.record()
    found = view.bars(NAMES[0], "1m")
    assert (len(found.bars), len(found.current), found.settling) == (2, 1, 1)
    assert found.settled["start"].tolist() == [minute]
    # The second of the bars takes a late trade in, which the settled one would have counted as a revision.
    world.write(at(minute + MINUTE + 59 * SECOND, minute + 2 * MINUTE + SECOND + SECOND // 2))
    found = view.bars(NAMES[0], "1m")
    assert (found.bars["trades"].tolist(), found.settling) == ([1, 2], 1)
    world.write(at(minute + 2 * MINUTE + 3 * SECOND))
    found = view.bars(NAMES[0], "1m")
    assert (len(found.bars), len(found.current), found.settling) == (2, 1, 0)
    assert not found.bars["revision"].any()
    # Cut before the newest: what is old is settled, whatever goes on beyond.
    assert view.bars(NAMES[0], "1m", start=minute, limit=1).settling == 0
    assert view.bars(NAMES[0], "1m", end=minute + MINUTE).settling == 0


def test_a_bar_of_several_is_open_until_its_own_end(world: World, view: LiveView) -> None:
    """Also while none of those that it is made of has begun: seven minutes are made of single ones."""
    records = trades(2)
    records["instrument"] = number(NAMES[0]), number(NAMES[1])
    start = START // (7 * MINUTE) * 7 * MINUTE + 7 * MINUTE
    records["ts_event"] = start + SECOND, start + 3 * MINUTE
    records["ts_recv"] = records["ts_event"]
    world.write(records)
    found = view.bars(NAMES[0], "7m")
    assert (len(found.bars), len(found.current)) == (0, 1)
