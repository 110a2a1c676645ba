"""What every store promises, run over every store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.stores.hot import MemoryHot
from tests.stores.make import NAMES, SECOND, START, VENUE, mixed, name, number, trades
from tidemill import wire
from tidemill.model.bar import BAR, set_volumes, volumes
from tidemill.model.interval import DAY
from tidemill.stores.api import Dated, FencedError, Held, OffsetError, Query, Store, journal_application
from tidemill.stores.arctic import Arctic
from tidemill.stores.lake import Lake
from tidemill.stores.memory import Memory
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import (
    BARS,
    COMMITTED,
    DETAILS,
    GAPS,
    LEVELS,
    QUOTES,
    STATUS,
    TRADES,
    Table,
    bar_rows,
    bars_of,
    records_of,
    rows_of,
)
from tidemill.stores.window import Window

APP = journal_application(VENUE, 1)


def lake(request: pytest.FixtureRequest) -> Lake:
    path: Path = request.getfixturevalue("tmp_path")
    return Lake(path / "lake")


def s3(request: pytest.FixtureRequest) -> Store:
    server = request.getfixturevalue("s3")
    for variable, value in server.environment.items():
        request.getfixturevalue("monkeypatch").setenv(variable, value)
    return Lake(f"{server.bucket(f'contract-{uuid.uuid4()}')}/a/lake")


def memory(_: pytest.FixtureRequest) -> Store:
    return Memory()


def postgres(request: pytest.FixtureRequest) -> Postgres:
    return Postgres(request.getfixturevalue("postgres").database())


def timescale(request: pytest.FixtureRequest) -> Postgres:
    return Postgres(request.getfixturevalue("timescale").database())


def window(request: pytest.FixtureRequest) -> Store:
    return Window(MemoryHot(), lake(request))


def window_postgres(request: pytest.FixtureRequest) -> Store:
    return Window(postgres(request), lake(request))


def arctic(request: pytest.FixtureRequest) -> Store:
    path: Path = request.getfixturevalue("tmp_path")
    return Arctic(f"arctic://lmdb{path}/arctic")


STORES = {
    "lake": lake,
    "s3": s3,
    "memory": memory,
    "postgres": postgres,
    "timescale": timescale,
    "arctic": arctic,
    "window": window,
    "window-postgres": window_postgres,
}
"""Each kind of store by its name, and what makes an empty one for a test."""


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    made = STORES[request.param](request)
    yield made
    made.close()


def rows(table: Table, records: wire.Records, first: int = 1, epoch: int = 1) -> pa.Table:
    sequences = np.arange(first, first + len(records), dtype=np.int64)
    return rows_of(table, records, sequences, epoch, VENUE, name)


def sequences(found: pa.Table) -> list[int]:
    return found["sequence"].to_pylist()


def test_a_store_without_the_table_gives_no_rows(store: Store) -> None:
    found = store.read(TRADES, Query(instruments=(NAMES[0],), limit=5))
    assert len(found) == 0
    assert found.schema == TRADES.schema
    assert store.offset(TRADES, APP) is None


@pytest.mark.parametrize("table", [TRADES, QUOTES, LEVELS], ids=lambda t: t.name)
def test_records_come_back_digit_for_digit(store: Store, table: Table) -> None:
    records = mixed(3_000)
    records["price"][:20] = [-(2**63), 2**63 - 1] * 10
    records["id"][:10] = 2**64 - 1
    assert store.append(table, rows(table, records), {APP: len(records)})
    found = store.read(table)
    wanted = np.isin(records["kind"], table.kinds)
    expected = records[wanted].copy()
    expected["id"][(expected["flags"] & wire.FLAG_HAS_ID) == 0] = 0
    assert sequences(found) == (np.flatnonzero(wanted) + 1).tolist()
    np.testing.assert_array_equal(records_of(table, found, number), expected)
    assert set(found["venue"].to_pylist()) == {VENUE}
    assert found["ts_known"].equals(found["ts_recv"])


def test_every_kind_has_one_table(store: Store) -> None:
    records = mixed(5_000)
    records["kind"][::50] = wire.KIND_DETAIL
    records["kind"][1::50] = 99  # a kind of a later version
    for table in COMMITTED[:-1]:
        store.append(table, rows(table, records), {APP: len(records)})
    found = [sequence for table in COMMITTED[:-1] for sequence in sequences(store.read(table))]
    assert sorted(found) == list(range(1, 5_001))
    detail = store.read(DETAILS, Query(limit=1))
    assert len(detail["payload"][0].as_py()) == 32
    assert set(store.read(STATUS)["code"].to_pylist()) == {"live"}
    gap = store.read(GAPS, Query(limit=1)).to_pylist()[0]
    assert (gap["edge"], gap["channel"], gap["cause"]) == ("open", "trades", "disconnect")
    assert gap["opened"] == gap["sequence"]


def test_a_repeated_batch_is_kept_once(store: Store) -> None:
    batch = rows(TRADES, trades(100))
    assert store.append(TRADES, batch, {APP: 100})
    assert not store.append(TRADES, batch, {APP: 100})
    assert not store.append(TRADES, batch, {APP: 60})
    assert store.offset(TRADES, APP) == 100
    assert sequences(store.read(TRADES)) == list(range(1, 101))


def test_offsets_never_go_back_in_part(store: Store) -> None:
    other = journal_application(VENUE, 2)
    store.append(TRADES, rows(TRADES, trades(10)), {APP: 10})
    with pytest.raises(OffsetError):
        store.append(TRADES, rows(TRADES, trades(10)), {APP: 10, other: 20})
    assert store.offset(TRADES, other) is None
    assert len(store.read(TRADES)) == 10


def test_a_writer_that_was_overtaken_is_refused(store: Store) -> None:
    assert store.append(TRADES, rows(TRADES, trades(10)), {APP: 10}, {APP: None})
    assert store.append(TRADES, rows(TRADES, trades(5), first=11), {APP: 15}, {APP: 10})
    with pytest.raises(FencedError):
        store.append(TRADES, rows(TRADES, trades(10), first=11), {APP: 20}, {APP: 10})
    with pytest.raises(FencedError):
        store.append(TRADES, rows(TRADES, trades(10), first=30), {APP: 40}, {APP: 29})
    assert not store.append(TRADES, rows(TRADES, trades(5), first=11), {APP: 15}, {APP: 10})
    assert store.offset(TRADES, APP) == 15
    assert sorted(sequences(store.read(TRADES))) == list(range(1, 16))


def test_the_position_is_that_of_the_newest_epoch_not_beyond_one(store: Store) -> None:
    assert store.position(TRADES, VENUE, 7) is None
    for epoch in (1, 2, 5):
        app = journal_application(VENUE, epoch)
        store.append(TRADES, rows(TRADES, trades(10 * epoch), epoch=epoch), {app: 10 * epoch})
    store.append(TRADES, rows(TRADES, trades(3), epoch=9), {journal_application("sim-kraken-two", 9): 3})
    assert store.position(TRADES, VENUE, 7) == (5, 50)
    assert store.position(TRADES, VENUE, 4) == (2, 20)
    assert store.position(QUOTES, VENUE, 7) is None


def test_what_is_held_of_each_instrument(store: Store) -> None:
    assert store.held(TRADES) == []
    records = trades(2_000, step=60 * SECOND)
    store.append(TRADES, rows(TRADES, records[:700]), {APP: 700})
    store.append(TRADES, rows(TRADES, records[700:], first=701), {APP: 2_000})
    found = store.held(TRADES)
    assert [one.instrument for one in found] == sorted(NAMES)
    for one in found:
        times = records["ts_event"][records["instrument"] == number(one.instrument)]
        assert one == Held(one.instrument, len(times), times.min(), times.max(), one.bytes)
        assert one.bytes > 0
        if one.daily is not None:
            days, counts = np.unique(times // DAY, return_counts=True)
            assert dict(one.daily) == dict(zip(days.tolist(), counts.tolist(), strict=True))


def test_an_empty_batch_moves_the_offset(store: Store) -> None:
    assert store.append(BARS, BARS.empty(), {APP: 7})
    assert store.offset(BARS, APP) == 7
    assert len(store.read(BARS)) == 0


def test_time_ranges_and_names(store: Store) -> None:
    records = trades(2_000, step=60 * SECOND)  # into the next day
    store.append(TRADES, rows(TRADES, records), {APP: 2_000})
    start, end = START + 500 * 60 * SECOND, START + 1_500 * 60 * SECOND
    found = store.read(TRADES, Query(instruments=(NAMES[1],), start=start, end=end))
    wanted = (
        (records["instrument"] == number(NAMES[1]))
        & (records["ts_event"] >= start)
        & (records["ts_event"] < end)
    )
    assert sequences(found) == (np.flatnonzero(wanted) + 1).tolist()
    assert len(store.read(TRADES, Query(venues=("kraken",)))) == 0
    assert len(store.read(TRADES, Query(instruments=NAMES))) == 2_000
    assert len({str(d) for d in found["date"].to_pylist()}) == 2


def test_newest_rows_ascend(store: Store) -> None:
    for batch in range(12):  # many files, some overlapping in time
        records = trades(200, start=START + batch * 15 * SECOND, seed=batch)
        store.append(TRADES, rows(TRADES, records, first=1 + batch * 200), {APP: (batch + 1) * 200})
    whole = store.read(TRADES, Query(instruments=(NAMES[0],)))
    assert whole["ts_event"].to_pylist() == sorted(whole["ts_event"].to_pylist())
    for limit in (1, 7, 100, 10_000):
        found = store.read(TRADES, Query(instruments=(NAMES[0],), limit=limit))
        assert found.equals(whole.slice(max(0, len(whole) - limit)))
    end = START + 40 * SECOND
    before = store.read(TRADES, Query(end=end, limit=9))
    assert before.equals((everything := store.read(TRADES, Query(end=end))).slice(len(everything) - 9))


def test_oldest_rows_and_pages(store: Store) -> None:
    for batch in range(6):
        records = trades(200, start=START + batch * 15 * SECOND, step=SECOND // 2, seed=batch)
        records["ts_event"] = records["ts_event"] // SECOND * SECOND  # equal times across page edges
        store.append(TRADES, rows(TRADES, records, first=1 + batch * 200), {APP: (batch + 1) * 200})
    whole = store.read(TRADES)
    keys = list(zip(*(whole[c].to_pylist() for c in TRADES.order), strict=True))
    assert keys == sorted(keys)
    assert store.read(TRADES, Query(limit=77, oldest=True)).equals(whole.slice(0, 77))
    at = len(whole)
    while at > 0:
        page = store.read(TRADES, Query(limit=77, before=keys[at] if at < len(keys) else None))
        assert page.equals(whole.slice(max(0, at - 77), min(77, at)))
        at -= len(page)
    page = store.read(TRADES, Query(limit=50, oldest=True, beyond=keys[123]))
    assert page.equals(whole.slice(124, 50))


def test_as_of_sees_only_what_had_arrived(store: Store) -> None:
    records = trades(100)
    records["ts_recv"][::2] += 3_600 * SECOND
    store.append(TRADES, rows(TRADES, records), {APP: 100})
    found = store.read(TRADES, Query(as_of=START + 60 * SECOND))
    assert sequences(found) == list(range(2, 101, 2))


def test_positions(store: Store) -> None:
    store.append(TRADES, rows(TRADES, trades(50), epoch=1), {APP: 50})
    store.append(TRADES, rows(TRADES, trades(50), first=51, epoch=2), {journal_application(VENUE, 2): 100})
    assert sorted(sequences(store.read(TRADES, Query(after=(1, 45), through=(2, 53))))) == list(range(46, 54))


def test_columns(store: Store) -> None:
    store.append(TRADES, rows(TRADES, trades(50)), {APP: 50})
    found = store.read(TRADES, Query(columns=("sequence", "price"), limit=3))
    assert found.column_names == ["sequence", "price"]
    assert len(found) == 3


def bars(starts: list[int], revision: int = 0, price: int = 10) -> np.ndarray:
    made = np.zeros(len(starts), BAR)
    made["instrument"], made["interval"] = number(NAMES[0]), 1
    made["start"] = np.array(starts, np.int64)
    made["end"] = made["start"] + 60 * SECOND
    made["ts_recv"] = made["end"] + 2 * SECOND + revision * 10 * SECOND
    made["ts_known"] = made["end"]
    made["revision"] = revision
    for field in ("open", "high", "low", "close"):
        made[field] = price
    set_volumes(made, [10**25 + s for s in starts])
    made["trades"] = 1
    made["sequence"] = 1
    return made


def test_bars_keep_128_bits_and_show_the_newest_revision(store: Store) -> None:
    minutes = [START + i * 60 * SECOND for i in range(10)]
    first = bars(minutes)
    store.append(BARS, bar_rows(first, VENUE, 1, name), {APP: 1})
    store.append(BARS, bar_rows(bars(minutes[3:4], 1, 12), VENUE, 1, name), {APP: 2})
    found = bars_of(store.read(BARS, Query(instruments=(NAMES[0],), interval="1m")), number)
    expected = first.copy()
    expected[3] = bars(minutes[3:4], 1, 12)[0]
    np.testing.assert_array_equal(found, expected)
    assert volumes(found)[0] == 10**25 + minutes[0]
    early = store.read(BARS, Query(as_of=minutes[3] + 63 * SECOND))
    assert early["open"].to_pylist() == [10] * 4
    assert len(store.read(BARS, Query(revisions=True))) == 11
    assert len(store.read(BARS, Query(interval="1h"))) == 0
    assert store.read(BARS, Query(limit=7))["ts_event"].to_pylist() == minutes[3:]


@pytest.mark.parametrize("oldest", [True, False])
def test_a_limit_counts_bars_whatever_their_revisions(store: Store, oldest: bool) -> None:
    minutes = [START + i * 60 * SECOND for i in range(10)]
    store.append(BARS, bar_rows(bars(minutes), VENUE, 1, name), {APP: 1})
    for revision in (1, 2):
        again = bars([minutes[1], minutes[-2]], revision)
        store.append(BARS, bar_rows(again, VENUE, 1, name), {APP: 1 + revision})
    for limit in range(1, 12):
        wanted = minutes[:limit] if oldest else minutes[-limit:]
        found = store.read(BARS, Query(limit=limit, oldest=oldest, revisions=True))
        assert sorted({*found["ts_event"].to_pylist()}) == wanted
        assert len(found) == len(wanted) + 2 * (minutes[1] in wanted) + 2 * (minutes[-2] in wanted)
        assert store.read(BARS, Query(limit=limit, oldest=oldest))["ts_event"].to_pylist() == wanted


def test_live_bars_come_before_imported_ones(store: Store) -> None:
    imported = bar_rows(bars([START], 5, 99), VENUE, 0, name, source="generated")
    store.append(BARS, imported, {"import/generated/x": 1})
    store.append(BARS, bar_rows(bars([START]), VENUE, 1, name), {APP: 1})
    assert store.read(BARS)["open"].to_pylist() == [10]


def test_changed_bars_can_be_asked_for_alone(store: Store) -> None:
    bars = np.zeros(4, BAR)
    bars["start"] = START + np.array([0, 60, 60, 120]) * SECOND
    bars["end"] = bars["start"] + 60 * SECOND
    bars["interval"], bars["instrument"] = 1, number(NAMES[0])
    bars["revision"], bars["sequence"] = [0, 0, 1, 0], [1, 2, 3, 4]
    store.append(BARS, bar_rows(bars, VENUE, 1, name), {APP: 4})
    found = store.read(BARS, Query(venues=(VENUE,), revised=True, revisions=True))
    assert sequences(found) == [3]
    assert sequences(store.read(BARS, Query(revised=True, revisions=True, through=(1, 2)))) == []


def test_changed_bars_of_other_months_and_venues(store: Store) -> None:
    minutes = [START + day * DAY for day in (0, 40, 80)]
    store.append(BARS, bar_rows(bars(minutes), VENUE, 1, name), {APP: 1})
    assert len(store.read(BARS, Query(revised=True))) == 0
    late = bars(minutes[::2], 1, 12)
    late["sequence"] = [2, 3]
    store.append(BARS, bar_rows(late, VENUE, 1, name), {APP: 3})
    found = store.read(BARS, Query(revised=True, revisions=True))
    assert found["ts_event"].to_pylist() == minutes[::2]
    assert set(found["revision"].to_pylist()) == {1}
    for limit in (1, 2, 3):
        newest = store.read(BARS, Query(revised=True, limit=limit))
        assert newest["ts_event"].to_pylist() == minutes[::2][-limit:]
    assert sequences(store.read(BARS, Query(revised=True, after=(1, 2), through=(1, 3)))) == [3]
    assert len(store.read(BARS, Query(revised=True, venues=("kraken",)))) == 0


def test_the_version_changes_with_every_row_of_its_span(store: Store) -> None:
    day = START // DAY * DAY
    span = day, day + DAY
    edges = [(None, None), span, (day, None), (None, day + DAY), (-(2**63), 2**63)]
    seen = [[store.version(TRADES, *edge)] for edge in edges]
    batches = [
        trades(10),
        trades(1, start=day + DAY - 1),
        trades(1, start=day),  # a late row
        trades(10, start=START + SECOND),
    ]
    at = 0
    for records in batches:
        batch = rows(TRADES, records, first=at + 1)
        at += len(records)
        assert store.append(TRADES, batch, {APP: at})
        for edge, told in zip(edges, seen, strict=True):
            version = store.version(TRADES, *edge)
            assert version not in told, edge
            assert store.version(TRADES, *edge) == version
            told.append(version)
        # A batch that is refused, or kept before, changes nothing that is read.
        assert not store.append(TRADES, batch, {APP: at})
    assert store.version(TRADES, day - DAY, day) == store.version(TRADES, day - DAY, day)


def test_days_that_may_have_rows_are_told(store: Store) -> None:
    if not isinstance(store, Dated):
        return  # it is optional
    for at, day in enumerate((0, 2)):
        records = trades(60, start=START + day * DAY, first_id=1 + at * 60)
        store.append(TRADES, rows(TRADES, records, 1 + at * 60), {APP: 60 + at * 60})
    first = START // DAY
    told = store.dated(TRADES, Query(venues=(VENUE,)))
    assert set(told) == {first, first + 2}
    assert all(counted > 0 for counted in told.values())
    assert set(store.dated(TRADES, Query(venues=(VENUE,), start=START + DAY))) == {first + 2}
