"""What the store on PostgreSQL promises beyond the contract: days that go whole, rows that are refused,
writers that meet, servers that die. On a plain PostgreSQL and on TimescaleDB."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers.postgres import Postgres as Server
from tests.servers.postgres import plain as programs
from tests.stores.make import NAMES, SECOND, START, VENUE, mixed, name, number, trades
from tests.stores.test_contract import bars, rows
from tidemill.errors import ConfigError
from tidemill.model.interval import DAY
from tidemill.stores import postgres_batch, postgres_connection
from tidemill.stores import postgres_schema as schema
from tidemill.stores.api import (
    FencedError,
    Query,
    UnavailableError,
    journal_application,
    retention_application,
)
from tidemill.stores.memory import Memory
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import (
    BARS,
    DETAILS,
    GAPS,
    LEVELS,
    QUOTES,
    STATUS,
    TRADES,
    Table,
    bar_rows,
    rows_of,
)

APP = journal_application(VENUE, 1)
TODAY = START // DAY


@pytest.fixture(scope="module", params=["postgres", "timescale"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: Server) -> str:
    return server.database()


@pytest.fixture
def store(url: str) -> Iterator[Postgres]:
    made = Postgres(url)
    yield made
    made.close()


def ask(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement)
        return found.fetchall() if found.description else []


def partitions(server: Server, url: str, relation: str = "raw_trades") -> int:
    how = (
        f"SELECT count(*) FROM show_chunks('{relation}')"
        if server.timescale
        else f"SELECT count(*) FROM pg_inherits WHERE inhparent = '{relation}'::regclass"
    )
    return int(ask(url, how)[0][0])


def days_of_trades(count: int, days: int) -> pa.Table:
    """`count` trades on each of so many days, beginning today."""
    records = trades(count * days)
    records["ts_event"] += np.repeat(np.arange(days), count) * DAY
    return rows(TRADES, records)


def same(one: pa.Table, other: pa.Table) -> bool:
    """Equal but for the order of rows that are equal in the table's own order."""
    order = [(field.name, "ascending") for field in one.schema if not pa.types.is_binary(field.type)]
    return bool(one.sort_by(order).equals(other.sort_by(order)))


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


def test_many_that_start_at_once_make_the_tables_once(url: str) -> None:
    stores = [Postgres(url) for _ in range(4)]
    failed: list[BaseException] = []

    def first(at: int) -> None:
        try:
            stores[at].append(TRADES, rows(TRADES, trades(10)), {f"import/{at}": 1})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=first, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert ask(url, "SELECT version FROM tidemill_store") == [(schema.VERSION,)]
    assert len(stores[0].read(TRADES)) == 40
    for one in stores:
        one.close()


def test_tables_that_were_half_made_are_not_there(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = schema._view

    def killed(table: Table) -> object:
        ask(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill'")
        return real(table)

    monkeypatch.setattr(schema, "_view", killed)
    store = Postgres(f"{url}&application_name=tidemill")
    with pytest.raises(UnavailableError):
        store.offset(TRADES, APP)
    assert ask(url, "SELECT to_regclass('tidemill_name'), to_regclass('raw_gaps')") == [(None, None)]
    monkeypatch.undo()
    assert store.offset(TRADES, APP) is None
    store.close()


def test_tables_of_a_later_version_are_left_alone(url: str, store: Postgres) -> None:
    assert store.offset(TRADES, APP) is None
    ask(url, "UPDATE tidemill_store SET version = 99")
    with pytest.raises(ConfigError, match="99"):
        Postgres(url).offset(TRADES, APP)


def test_people_read_names_and_decimals(url: str, store: Postgres) -> None:
    records = trades(500)
    store.append(TRADES, rows(TRADES, records), {APP: 500})
    store.append(BARS, bar_rows(bars([START]), VENUE, 1, name), {APP: 500})
    found = ask(
        url,
        "SELECT venue, instrument, price::text, size::text, aggressor, ts_event, ts FROM trades"
        f" WHERE instrument = '{NAMES[1]}' AND ts > now() - interval '100 years' ORDER BY ts",
    )
    mine = records[records["instrument"] == number(NAMES[1])]
    assert len(found) == len(mine) > 0
    price, size = str(mine["price"][0]), str(mine["size"][0]).rjust(9, "0")
    sides = {0: "none", 1: "buy", 2: "sell"}
    assert found[0][:6] == (
        VENUE, NAMES[1], f"{price[:-1]}.{price[-1]}", f"{size[:-8]}.{size[-8:]}",
        sides[int(mine["flags"][0] & 3)], mine["ts_event"][0],
    )  # fmt: skip
    assert found[0][6] == schema.instant(int(mine["ts_event"][0]))
    assert ask(url, 'SELECT "interval", volume, trades_count FROM bars') == [("1m", 10**25 + START, 1)]
    assert ask(url, "SELECT count(*), min(trades_count) FROM candles_1m") == [(1, 1)]


def test_volumes_come_back_whatever_their_length(store: Postgres) -> None:
    edges = [0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 3 * 2**64 + 2**63, 10**38 - 1]
    told = sorted({sign * edge for edge in edges for sign in (1, -1)})
    brought = bar_rows(bars([START + i * 60 * SECOND for i in range(len(told))]), VENUE, 1, name)
    column = brought.schema.get_field_index("volume")
    volumes = pa.array(map(Decimal, told), pa.decimal128(38, 0))
    store.append(BARS, brought.set_column(column, "volume", volumes), {APP: 1})
    assert [int(one) for one in store.read(BARS)["volume"].to_pylist()] == told
    newest = store.read(BARS, Query(instruments=(NAMES[0],), interval="1m", limit=5))
    assert [int(one) for one in newest["volume"].to_pylist()] == told[-5:]


def test_the_queries_of_the_page_run(server: Server, url: str, store: Postgres) -> None:
    recent = trades(300, start=time.time_ns() - 60 * SECOND)
    names = {number(one): one.replace(VENUE, "kraken") for one in NAMES}
    brought = rows_of(TRADES, recent, np.arange(1, 301), 1, "kraken", lambda n: names[n])
    store.append(TRADES, brought, {journal_application("kraken", 1): 300})
    minute = time.time_ns() // (60 * SECOND) * 60 * SECOND
    for revision in (0, 1):
        made = bar_rows(bars([minute], revision, 7 + revision), "kraken", 1, lambda n: names[n])
        store.append(BARS, made, {journal_application("kraken", 1): 1 + revision})
    page = (Path(__file__).parents[2] / "docs" / "stores.md").read_text()
    queries = page.partition("```sql")[2].partition("```")[0].split(";\n")[:3]
    if not server.timescale:
        queries[2] = queries[2].replace("time_bucket('5 minutes', ts)", "date_bin('5 minutes', ts, 'epoch')")
    answers = [ask(url, query) for query in queries]
    assert len(answers[0]) == int((recent["instrument"] == number(NAMES[0])).sum()) > 0
    assert [str(line[1]) for line in answers[1]] == ["0.8" if bars([0])["price_scale"][0] else "8"]
    assert 1 <= len(answers[2]) <= 2
    newest = (
        "SELECT ts FROM trades WHERE instrument_id = instrument_id('BTC-USD.kraken') ORDER BY ts DESC LIMIT 5"
    )
    assert ask(url, newest) == [(ts,) for ts, *_ in answers[0][:-6:-1]]


def test_a_query_of_an_hour_leaves_other_days_alone(url: str, store: Postgres) -> None:
    store.append(TRADES, days_of_trades(100, 4), {APP: 400})
    plan = "\n".join(
        line
        for (line,) in ask(
            url,
            f"EXPLAIN SELECT * FROM trades WHERE instrument = '{NAMES[0]}'"
            " AND ts >= '2026-11-20 09:00Z' AND ts < '2026-11-20 10:00Z'",
        )
    )
    assert sum(plan.count(word) for word in ("raw_trades_d", "_chunk t")) - plan.count("_idx") <= 1, plan


def test_no_statement_is_made_of_text() -> None:
    """Only constants, and what `psycopg.sql` composes of constants, identifiers of our own and literals."""
    checked = 0
    for file in (Path(schema.__file__).parent).glob("postgres*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in ("execute", "executemany") or called in ("SQL", "cursor.copy"):
                checked += 1
                for part in ast.walk(node.args[0]):
                    assert not isinstance(part, ast.JoinedStr), ast.unparse(node)
                    assert not isinstance(part, ast.BinOp), ast.unparse(node)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
                maker = node.func.value
                assert isinstance(maker, ast.Call), ast.unparse(node)
                assert ast.unparse(maker.func) == "SQL", ast.unparse(node)
    assert checked > 40


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


def test_days_go_whole_and_late_rows_find_theirs(server: Server, url: str, store: Postgres) -> None:
    store.append(TRADES, days_of_trades(100, 3), {APP: 300})
    assert store.days(TRADES) == [TODAY, TODAY + 1, TODAY + 2]
    assert partitions(server, url) == 3
    # Late rows of days that are long over.
    late = trades(50, start=START - 40 * DAY)
    store.append(TRADES, rows(TRADES, late, first=301), {APP: 350})
    assert store.days(TRADES)[0] == TODAY - 40
    assert partitions(server, url) == 4
    kept = store.read(TRADES, Query(start=(TODAY + 2) * DAY))
    assert store.let_go(TRADES, TODAY + 1, store.digest(TRADES, TODAY + 1))
    assert partitions(server, url) == 3
    assert store.days(TRADES) == [TODAY - 40, TODAY, TODAY + 2]
    assert len(store.read(TRADES)) == 250
    assert store.read(TRADES, Query(start=(TODAY + 2) * DAY)).equals(kept)
    assert sum(one.rows for one in store.held(TRADES)) == 250
    # And such a day may come back.
    store.append(TRADES, rows(TRADES, trades(10, start=START + DAY), first=351), {APP: 360})
    assert len(store.read(TRADES)) == 260


@pytest.mark.parametrize("table", [TRADES, QUOTES, LEVELS, STATUS, GAPS, DETAILS, BARS], ids=lambda t: t.name)
def test_a_digest_is_the_same_in_sql_and_in_memory(store: Postgres, table: Table) -> None:
    records = mixed(4_000)
    records["kind"][::70] = 7
    records["id"][5:50] = np.uint64(2**64 - 1) - np.arange(45, dtype=np.uint64)
    records["price"][5:50] = -(2**63)
    brought = (
        bar_rows(bars([START + i * 60 * SECOND for i in range(300)]), VENUE, 1, name).cast(BARS.schema)
        if table is BARS
        else rows(table, records).cast(table.schema)
    )
    store.append(table, brought, {APP: 4_000})
    found = store.digest(table, TODAY)
    assert found == Postgres.digest_of(table, brought)
    assert found == Postgres.digest_of(table, store.read(table))
    shuffled = brought.take(pa.array(np.random.default_rng(1).permutation(len(brought))))
    assert found == Postgres.digest_of(table, shuffled)
    assert found[0] == len(brought) > 10
    assert Postgres.digest_of(table, brought.slice(1)) != found
    assert store.digest(table, TODAY + 1) == (0, 0) == Postgres.digest_of(table, table.empty())


@given(
    at=st.integers(0, 98),
    column=st.sampled_from(
        ["price", "size", "sequence", "ts_event", "ts_recv", "id", "price_scale", "flags"]
    ),
    by=st.sampled_from([1, -1, 1 << 31, 1 << 40]),
)
@settings(max_examples=60)
def test_a_digest_tells_one_change_and_one_swap(at: int, column: str, by: int) -> None:
    brought = rows(TRADES, trades(100)).cast(TRADES.schema)
    values = brought[column].to_numpy().copy()
    changed = values.copy()
    changed[at] = changed[at] + by if values.itemsize == 8 else changed[at] ^ 1
    swapped = values.copy()
    swapped[[at, at + 1]] = swapped[[at + 1, at]]
    before = Postgres.digest_of(TRADES, brought)
    for other in (changed, swapped):
        where = brought.schema.get_field_index(column)
        made = brought.set_column(where, brought.schema.field(where), pa.array(other))
        assert (Postgres.digest_of(TRADES, made) == before) == np.array_equal(other, values)


def test_a_day_with_new_rows_stays(store: Postgres) -> None:
    store.append(TRADES, days_of_trades(100, 2), {APP: 200})
    digest = store.digest(TRADES, TODAY)
    store.append(TRADES, rows(TRADES, trades(5), first=201), {APP: 205})
    assert not store.let_go(TRADES, TODAY, digest)
    assert len(store.read(TRADES)) == 205
    assert store.days(TRADES) == [TODAY, TODAY + 1]


def test_letting_go_beside_writers_of_that_day_takes_only_what_it_has_seen(store: Postgres) -> None:
    stop = threading.Event()
    written = [0]

    def write() -> None:
        while not stop.is_set():
            batch = rows(TRADES, trades(20), first=written[0] + 1)
            if store.append(TRADES, batch, {APP: written[0] + 20}):
                written[0] += 20

    writer = threading.Thread(target=write)
    writer.start()
    taken = refused = 0
    try:
        until = time.monotonic() + 20
        while taken < 60 and time.monotonic() < until:
            digest = store.digest(TRADES, TODAY)
            if digest[0] and store.let_go(TRADES, TODAY, digest):
                taken += digest[0]
            else:
                refused += 1
    finally:
        stop.set()
        writer.join()
    assert taken
    assert taken + len(store.read(TRADES)) == written[0]
    assert sum(one.rows for one in store.held(TRADES)) == written[0] - taken


def test_a_venue_is_let_go_up_to_a_time(server: Server, url: str, store: Postgres) -> None:
    other = "BTC-USD.kraken"
    store.append(TRADES, days_of_trades(100, 3), {APP: 300})
    beside = rows_of(TRADES, trades(50), np.arange(1, 51), 1, "kraken", lambda _: other)
    store.append(TRADES, beside, {journal_application("kraken", 1): 50})
    before = (TODAY + 2) * DAY + 10 * 3_600 * SECOND
    kept = store.read(TRADES, Query(venues=(VENUE,), start=before))
    whole = store.read(TRADES, Query(venues=(VENUE,), end=before))
    gone = store.let_go_venue(TRADES, VENUE, before)
    assert gone == 300 - len(kept)
    assert store.read(TRADES, Query(venues=(VENUE,))).equals(kept)
    assert len(store.read(TRADES, Query(venues=("kraken",)))) == 50
    # The day that only this venue had went whole, the other one had to be gone through.
    assert store.days(TRADES) == ([TODAY, TODAY + 2] if len(kept) else [TODAY])
    last = pc.max(whole["ts_event"]).as_py()
    assert store.offset(TRADES, retention_application(VENUE)) == last
    assert store.offset(TRADES, retention_application(VENUE, 1)) == pc.max(whole["sequence"]).as_py()
    held = {one.instrument: one for one in store.held(TRADES)}
    assert held[other].rows == 50
    assert sum(one.rows for one in held.values()) == 50 + len(kept)
    # Marks never go back.
    records = trades(1)
    records["ts_event"] = 0
    store.append(TRADES, rows(TRADES, records, first=301), {APP: 301})
    assert store.let_go_venue(TRADES, VENUE, before) == 1
    assert store.offset(TRADES, retention_application(VENUE)) == last
    assert store.offset(TRADES, retention_application(VENUE, 1)) == 301
    assert store.let_go_venue(TRADES, "nobody", before) == 0


def test_times_that_no_clock_shows_make_few_partitions(
    server: Server, url: str, store: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = trades(20)
    odd = [0, 2**62, -1, -(2**63), 2**63 - 1]
    records["ts_event"][:5] = odd
    assert store.append(TRADES, rows(TRADES, records), {APP: 20})
    found = store.read(TRADES)["ts_event"].to_pylist()
    assert sorted(odd) == [ts for ts in found if not START <= ts < START + DAY]
    for ts in odd:  # each can be asked for, up to the last nanosecond
        assert len(store.read(TRADES, Query(start=ts, end=ts + 1))) == 1
    assert store.dead(TRADES) == 0
    # A venue that stamps noise: what is near its arrival is kept, and as many days as there is room for.
    monkeypatch.setattr(postgres_batch, "DAYS_MAX", 12)
    records = trades(3_000, first_id=21)
    records["ts_event"][::2] -= np.arange(1_500) * 20 * DAY
    assert store.append(TRADES, rows(TRADES, records, first=21), {APP: 3_020}, {APP: 20})
    assert store.offset(TRADES, APP) == 3_020
    near = 1_500 + 6  # on its day, and up to 100 days before
    assert len(store.read(TRADES)) == 20 + near + (12 - 6)
    assert store.dead(TRADES) == 3_000 - near - (12 - 6)
    assert len(store.days(TRADES)) == partitions(server, url) == 6 + 5 + (12 - 6)
    reasons = ask(url, "SELECT DISTINCT reason FROM dead_letter")
    assert len(reasons) == 1
    assert "days from its arrival" in reasons[0][0]
    # They do not keep a later row from its place.
    assert store.append(TRADES, rows(TRADES, trades(10), first=3_021), {APP: 3_030}, {APP: 3_020})
    assert store.dead(TRADES) == 3_000 - near - 6


# ── rows that are refused ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def guarded(server: Server) -> Iterator[tuple[str, Postgres]]:
    """A store that takes no trade at a price of 666."""
    url = server.database()
    store = Postgres(url)
    store.offset(TRADES, APP)
    ask(url, "ALTER TABLE raw_trades ADD CHECK (price <> 666)")
    yield url, store
    store.close()


_round = iter(range(1, 1_000_000))


@given(
    prices=st.sets(st.integers(0, 299), max_size=4),
    names=st.sets(st.integers(0, 299), max_size=3),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_poison_is_taken_out_row_by_row(
    guarded: tuple[str, Postgres], prices: set[int], names: set[int]
) -> None:
    url, store = guarded
    epoch = next(_round)
    brought = rows(TRADES, trades(300), epoch=epoch).cast(TRADES.schema)
    price = brought["price"].to_numpy().copy()
    price[list(prices)] = 666
    instrument = brought["instrument"].to_pylist()
    for at in names:
        instrument[at] = "BAD\0NAME.sim-kraken"
    brought = brought.set_column(brought.schema.get_field_index("price"), "price", pa.array(price))
    brought = brought.set_column(
        brought.schema.get_field_index("instrument"), "instrument", pa.array(instrument)
    )
    bad = prices | names
    before = store.dead(TRADES)
    assert store.append(TRADES, brought, {journal_application(VENUE, epoch): 300})
    assert store.dead(TRADES) - before == len(bad)
    good = np.array([at not in bad for at in range(300)])
    found = store.read(TRADES, Query(venues=(VENUE,), after=(epoch, 0), through=(epoch, 300)))
    assert same(found, brought.filter(pa.array(good)))
    dead = ask(
        url, f"SELECT sequence, row, reason, application FROM dead_letter WHERE epoch = {epoch} ORDER BY 1"
    )
    assert [line[0] - 1 for line in dead] == sorted(bad)
    for sequence, raw, reason, application in dead:
        assert pa.ipc.open_stream(raw).read_all().equals(brought.slice(sequence - 1, 1))
        assert ("name" in reason) if sequence - 1 in names else reason.startswith("23514")
        assert application == journal_application(VENUE, epoch)


def test_what_may_not_be_null_is_dead_and_counted_nowhere(store: Postgres) -> None:
    brought = rows(TRADES, trades(20)).cast(TRADES.schema)
    size = brought["size"].to_pylist()
    size[7] = None
    where = brought.schema.get_field_index("size")
    store.append(TRADES, brought.set_column(where, "size", pa.array(size, pa.int64())), {APP: 20})
    assert store.dead(TRADES) == 1
    assert store.dead(QUOTES) == 0
    assert len(store.read(TRADES)) == 19 == sum(one.rows for one in store.held(TRADES))
    assert store.offset(TRADES, APP) == 20


def test_messages_of_the_venue_are_kept_beside_their_trades(url: str, store: Postgres) -> None:
    texts = ['{"p": "1.5"}', None, '{"price": 64231.5, "no": [1, 2]}']
    brought = rows(TRADES, trades(3)).append_column("payload", pa.array(texts))
    store.append(TRADES, brought, {APP: 3})
    store.append(TRADES, rows(TRADES, trades(2), first=4), {APP: 5})
    found = ask(url, "SELECT payload FROM raw_trades ORDER BY sequence")
    assert [line for (line,) in found] == [
        *(json.loads(text) if text else None for text in texts),
        None,
        None,
    ]
    assert ask(url, "SELECT price FROM trades WHERE payload ->> 'p' = '1.5'") != []
    assert len(store.read(TRADES)) == 5


# ── writers that meet, servers that go ────────────────────────────────────────────────────────────


def test_of_two_writers_one_wins(url: str) -> None:
    stores = [Postgres(url) for _ in range(3)]
    stores[0].offset(TRADES, APP)
    for turn in range(4):
        at = stores[0].offset(TRADES, APP)
        first = (at or 0) + 1
        together = threading.Barrier(3)
        told: list[object] = []

        def write(one: Postgres, first: int = first, at: int | None = at, gate=together, told=told) -> None:  # type: ignore[no-untyped-def]
            gate.wait()
            try:
                told.append(
                    one.append(TRADES, rows(TRADES, trades(50), first=first), {APP: first + 49}, {APP: at})
                )
            except FencedError:
                told.append("fenced")

        threads = [threading.Thread(target=write, args=(one,)) for one in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told.count(True) == 1, (turn, told)
        assert len(told) == 3
    assert sorted(stores[0].read(TRADES)["sequence"].to_pylist()) == list(range(1, 201))
    for one in stores:
        one.close()


WRITER = """
import sys
from tests.stores.test_postgres import APP, TRADES, rows, trades
from tidemill.stores import postgres_connection
from tidemill.stores.api import FencedError, UnavailableError
from tidemill.stores.postgres import Postgres
postgres_connection._SETTINGS["idle_in_transaction_session_timeout"] = "1s"
store, at = Postgres(sys.argv[1]), None
while True:
    first = (at or 0) + 1
    try:
        store.append(TRADES, rows(TRADES, trades(300), first=first), {APP: first + 299}, {APP: at})
    except FencedError:
        sys.exit(3)
    except UnavailableError:
        continue
    at = first + 299
"""


def test_a_writer_that_slept_is_fenced(url: str, store: Postgres) -> None:
    root = Path(__file__).parents[2]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url], cwd=root)
    try:
        until = time.monotonic() + 60
        while (store.offset(TRADES, APP) or 0) < 900:
            assert time.monotonic() < until
            time.sleep(0.02)
        writer.send_signal(signal.SIGSTOP)
        while True:
            at = store.offset(TRADES, APP) or 0
            try:
                store.append(TRADES, rows(TRADES, trades(100), first=at + 1), {APP: at + 100}, {APP: at})
                break
            except (UnavailableError, FencedError):  # it was in the middle; its session ends after 1 s
                assert time.monotonic() < until
        writer.send_signal(signal.SIGCONT)
        assert writer.wait(60) == 3
    finally:
        writer.kill()
        writer.wait()
    found = sorted(store.read(TRADES)["sequence"].to_pylist())
    assert found == list(range(1, at + 101))


def test_a_writer_that_sleeps_in_the_middle_of_a_copy_is_ended(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
        monkeypatch.setitem(postgres_connection._SETTINGS, setting, "1s")
    store = Postgres(url)
    store.append(TRADES, rows(TRADES, trades(10)), {APP: 10})
    sleeper = psycopg.connect(url)
    # As a writer does it: the offset first, then rows that do not end.
    sleeper.execute("SELECT FROM tidemill_offset WHERE application = %s FOR UPDATE", (APP,))
    sleeper.pgconn.exec_(b"COPY dead_letter FROM STDIN")
    more = rows(TRADES, trades(10), first=11)
    with pytest.raises(UnavailableError, match="lock timeout"):
        store.append(TRADES, more, {APP: 20}, {APP: 10})
    assert store.append(TRADES, more, {APP: 20}, {APP: 10})
    sleeper.close()
    store.close()


def raising(url: str, state: str, table: str = "tidemill_offset", when: str = "UPDATE") -> None:
    ask(
        url,
        "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION 'a fault' USING ERRCODE = '{state}'; END $$;"
        f" DROP TRIGGER IF EXISTS fault ON {table};"
        f" CREATE TRIGGER fault BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION fault()",
    )


def test_what_passes_is_told_from_what_does_not(url: str, store: Postgres) -> None:
    store.append(TRADES, rows(TRADES, trades(10)), {APP: 10})
    batch = rows(TRADES, trades(10), first=11)
    for state in ("08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"):
        raising(url, state)
        with pytest.raises(UnavailableError):
            store.append(TRADES, batch, {APP: 20}, {APP: 10})
        assert store.offset(TRADES, APP) == 10, state
    for state in ("42P01", "XX000", "0A000"):
        raising(url, state)
        with pytest.raises(psycopg.Error):
            store.append(TRADES, batch, {APP: 20}, {APP: 10})
    ask(url, "DROP TRIGGER fault ON tidemill_offset")
    assert len(store.read(TRADES)) == 10
    assert store.append(TRADES, batch, {APP: 20}, {APP: 10})
    assert len(store.read(TRADES)) == 20
    assert store.dead(TRADES) == 0


def test_sessions_that_the_server_ends_are_opened_anew(url: str, store: Postgres) -> None:
    store.append(TRADES, rows(TRADES, trades(10)), {APP: 10})
    ask(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill'")
    time.sleep(0.2)  # the word of it is on its way
    assert len(store.read(TRADES)) == 10


def test_where_nobody_listens_and_what_is_not_there(server: Server) -> None:
    with pytest.raises(UnavailableError):
        Postgres("postgresql://tidemill:secret@127.0.0.1:1/x").offset(TRADES, APP)
    with pytest.raises(ConfigError, match="does not exist") as told:
        Postgres(server.url("nothing_here", tcp=True)).offset(TRADES, APP)
    assert "secret" not in str(told.value)
    with pytest.raises(ConfigError):
        Postgres("postgresql://[::1/x")


def kill_rounds(rounds: int) -> None:
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    with Server(found, settings="fsync = on\nsynchronous_commit = on\n") as own:
        store = Postgres(own.database())
        acknowledged, stop = [0], threading.Event()
        wrong: list[BaseException] = []

        def write() -> None:
            at = None
            while not stop.is_set():
                first = (at or 0) + 1
                batch = rows(TRADES, trades(500, start=START + first * SECOND), first=first)
                try:
                    store.append(TRADES, batch, {APP: first + 499}, {APP: at})
                    at = acknowledged[0] = first + 499
                except UnavailableError:
                    time.sleep(0.02)
                except FencedError as error:
                    # Its commit went through, and the server died before it could say so.
                    try:
                        at = store.offset(TRADES, APP)
                    except UnavailableError:
                        continue
                    if at != first + 499:
                        wrong.append(error)
                        return

        writer = threading.Thread(target=write)
        writer.start()
        try:
            random = np.random.default_rng(rounds)
            for _ in range(rounds):
                before, until = acknowledged[0], time.monotonic() + 60
                while acknowledged[0] < before + 1_000 and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(float(random.random()) * 0.1)
                assert acknowledged[0] > before
                own.process.kill()
                own.process.start()
        finally:
            stop.set()
            writer.join()
        assert wrong == []
        for _ in range(3):
            try:
                last = store.offset(TRADES, APP)
                break
            except UnavailableError:
                continue
        assert last is not None
        assert last >= acknowledged[0]
        found_rows = store.read(TRADES)
        assert sorted(found_rows["sequence"].to_pylist()) == list(range(1, last + 1))
        expected = pa.concat_tables(
            rows(TRADES, trades(500, start=START + first * SECOND), first=first).cast(TRADES.schema)
            for first in range(1, last, 500)
        )
        assert same(found_rows, expected)
        assert sum(one.rows for one in store.held(TRADES)) == last
        store.close()


def test_no_row_is_lost_or_doubled_when_the_server_is_killed() -> None:
    kill_rounds(5)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_no_row_is_lost_or_doubled_in_sixty_kills_of_the_server() -> None:
    kill_rounds(60)


# ── the same as in memory ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def twin(server: Server) -> Iterator[tuple[str, Postgres]]:
    url = server.database()
    store = Postgres(url)
    store.offset(TRADES, APP)
    yield url, store
    store.close()


times = st.integers(0, 40).map(lambda at: START + at * 20 * SECOND)
positions = st.tuples(st.integers(1, 2), st.integers(0, 120))


@st.composite
def queries(draw: st.DrawFn, table: Table) -> Query:
    def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
        return st.one_of(st.none(), strategy)

    # Bars of several instruments have equal places in the order, so that a limit may choose either.
    one = table is BARS
    names = st.lists(
        st.sampled_from([*NAMES, "X-Y.nowhere"]), min_size=1, max_size=1 if one else 3, unique=True
    )
    key = st.tuples(times, st.integers(1, 2), st.integers(0, 120))
    return Query(
        instruments=tuple(draw(names)) if one else draw(maybe(names.map(tuple))),
        venues=draw(maybe(st.sampled_from([(VENUE,), ("kraken",), (VENUE, "kraken")]))),
        start=draw(maybe(times)),
        end=draw(maybe(times)),
        limit=draw(maybe(st.integers(1, 60))),
        oldest=draw(st.booleans()),
        before=draw(maybe(key)),
        beyond=draw(maybe(key)),
        as_of=draw(maybe(times)),
        after=draw(maybe(positions)),
        through=draw(maybe(positions)),
        kind=draw(maybe(st.sampled_from([3, 4]))),
        interval=draw(st.sampled_from(["1m", "1s"])) if one else None,
        revisions=draw(st.booleans()),
        columns=draw(maybe(st.sampled_from([("sequence",), ("instrument", "ts_recv", "venue")]))),
    )


def generated_rows(table: Table, first: int, epoch: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    if table is not BARS:
        records = mixed(40, seed=seed)
        records["ts_event"] = START + random.integers(0, 40, 40) * 20 * SECOND
        records["ts_recv"] = records["ts_event"] + random.integers(0, 3, 40) * 20 * SECOND
        return rows(table, records, first=first, epoch=epoch).cast(table.schema)
    made = np.concatenate(
        [
            bars([START + int(at) * 60 * SECOND], revision=first + place, price=int(random.integers(1, 99)))
            for place, at in enumerate(random.integers(0, 14, 6))
        ]
    )
    made["interval"] = random.integers(0, 2, 6)
    made["instrument"] = [number(NAMES[at]) for at in random.integers(0, 2, 6)]
    return bar_rows(made, VENUE, epoch, name).cast(BARS.schema)


@given(data=st.data(), table=st.sampled_from([TRADES, LEVELS, BARS]))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_query_of_any_appends_is_answered_as_in_memory(
    twin: tuple[str, Postgres], data: st.DataObject, table: Table
) -> None:
    url, store = twin
    names = ", ".join(relation.name for relation in schema.RELATIONS[table.name])
    ask(url, f"TRUNCATE {names}, tidemill_offset, tidemill_held")
    memory = Memory()
    ends = {1: 0, 2: 0}
    for seed in data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=5)):
        epoch = 1 + seed % 2
        batch = generated_rows(table, ends[epoch] + 1, epoch, seed)
        ends[epoch] += len(batch) if table is BARS else 40
        offsets = {journal_application(VENUE, epoch): ends[epoch]}
        assert store.append(table, batch, offsets) == memory.append(table, batch, offsets)
    for _ in range(8):
        query = data.draw(queries(table))
        found, expected = store.read(table, query), memory.read(table, query)
        assert found.schema == expected.schema
        assert same(found, expected), query
        for column in table.order if query.columns is None else ():
            assert found[column].equals(expected[column]), query
    assert [one.rows for one in store.held(table)] == [one.rows for one in memory.held(table)]
    assert store.position(table, VENUE, 2) == memory.position(table, VENUE, 2)


def test_many_threads_read_and_write_at_once(store: Postgres) -> None:
    failed: list[BaseException] = []

    def work(at: int) -> None:
        try:
            epoch = at + 1
            for turn in range(6):
                for table in (TRADES, QUOTES):
                    batch = rows(table, mixed(30), first=1 + turn * 30, epoch=epoch)
                    store.append(table, batch, {journal_application(VENUE, epoch): (turn + 1) * 30})
                store.read(TRADES, Query(instruments=(NAMES[0],), limit=20))
                store.held(QUOTES)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for table in (TRADES, QUOTES):
        assert len(store.read(table)) == 36 * int(np.isin(mixed(30)["kind"], table.kinds).sum())
