"""What differs between SQLite and PostgreSQL: order under many writers, waiting, errors, being told."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tests.metadata.place import Place, opening
from tests.servers.postgres import Postgres
from tests.servers.process import free_port
from tidemill.errors import ConfigError, DeadlineError, UpstreamError, UsageError
from tidemill.metadata import Metadata, collector, database, dialect, event, gap, setting
from tidemill.model.collector import Collector
from tidemill.model.gap import Gap
from tidemill.stores.api import Query
from tidemill.stores.postgres import Postgres as Rows
from tidemill.stores.table import GAPS, TRADES

WRITER = """
import random, sys, time
from pathlib import Path
from tidemill.metadata import Metadata, event
metadata = {opening}
for number in range({count}):
    with metadata.write() as connection:
        for part in range(random.randint(1, 3)):
            event.append(connection, "note", f"{name}-{{number}}-{{part}}", actor="cli")
        time.sleep(random.random() * 0.002)
"""


def test_a_follower_of_many_writers_misses_no_event(metadata: Metadata) -> None:
    """Ids become visible in order: whoever has seen 7 and asks for what is beyond it misses none."""
    stopping = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        position = 0
        while True:
            last = stopping.is_set()
            with metadata.read() as connection:
                rows = event.after(connection, position, 7)
            seen.extend(row.id for row in rows)
            position = seen[-1] if seen else 0
            if last and not rows:
                return

    def write(name: str) -> None:
        for number in range(25):
            with metadata.write() as connection:
                event.append(connection, "note", f"{name}-{number}", actor="cli")
                time.sleep(random.random() * 0.003)
                if random.random() < 0.2:
                    event.append(connection, "note", f"{name}-{number}-more", actor="cli")

    code = WRITER.format(opening=opening(metadata.place), count=25, name="process")
    other = subprocess.Popen([sys.executable, "-c", code])
    followers = [threading.Thread(target=follow)]
    writers = [threading.Thread(target=write, args=(f"t{i}",)) for i in range(8)]
    for thread in (*followers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    assert other.wait(60) == 0
    stopping.set()
    followers[0].join(30)
    with metadata.read() as connection:
        everything = [row.id for row in event.after(connection, 0, 100_000)]
    assert len(everything) >= 225
    assert seen == everything


def test_without_the_lock_a_follower_would_miss_events(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof that the test above can fail: a later id is visible before an earlier one."""
    metadata = Metadata.open(postgres.database())
    with metadata.engine.connect() as first, metadata.engine.connect() as second:
        for connection in (first, second):
            connection.exec_driver_sql("ROLLBACK")
        first.exec_driver_sql("BEGIN")
        second.exec_driver_sql("BEGIN")
        early = event.append(first, "note", "early", actor="cli")
        late = event.append(second, "note", "late", actor="cli")
        second.exec_driver_sql("COMMIT")
        with metadata.read() as reading:
            assert [row.id for row in event.after(reading, 0, 9)] == [late]
        first.exec_driver_sql("COMMIT")
    assert early < late
    metadata.close()


def test_a_change_that_reads_first_does_not_race(metadata: Metadata) -> None:
    """Eight ask for the same collector at once: one event tells of it."""
    together = threading.Barrier(8)

    def want() -> None:
        together.wait()
        metadata.want("kraken", "kraken", ["BTC-USD"], actor="cli")

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with metadata.read() as connection:
        assert [row.kind for row in event.after(connection, 0, 9)] == ["collector_started"]


def test_a_merge_counts_what_it_changed_whoever_wrote_meanwhile(metadata: Metadata) -> None:
    holes = [
        Gap(
            venue="kraken", instrument=None, channel="all", cause="stall", epoch=1, sequence=number,
            opened_at=100, ended_at=None, ts_event_open=90, ts_event_end=None, missing=-1, state="open",
        )
        for number in range(50)
    ]  # fmt: skip
    changed: list[int] = []

    def merge() -> None:
        with metadata.write() as connection:
            changed.append(gap.merge(connection, holes))

    threads = [threading.Thread(target=merge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [0, 0, 0, 50]


def test_a_reading_cannot_write(postgres: Postgres) -> None:
    metadata = Metadata.open(postgres.database())
    with pytest.raises(DBAPIError) as refused, metadata.read() as connection:
        event.append(connection, "note", "x", actor="cli")
    assert database.failure(refused.value).code == "database_unwritable"
    metadata.close()


def test_a_reading_sees_one_moment(metadata: Metadata) -> None:
    with metadata.read() as connection:
        assert event.newest_id(connection) == 0
        metadata.want("kraken", "kraken", actor="cli")
        assert event.newest_id(connection) == 0
    with metadata.read() as connection:
        assert event.newest_id(connection) == 1


def test_a_writer_waits_only_so_long_for_a_stuck_one(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "BUSY_S", 0.5)
    metadata = Metadata.open(postgres.database())
    started = time.monotonic()
    with metadata.write(), pytest.raises(SQLAlchemyError) as late, metadata.write():
        pass
    assert 0.4 < time.monotonic() - started < 5
    told = database.failure(late.value)
    assert (told.code, told.retryable, type(told)) == ("database_busy", True, DeadlineError)
    metadata.close()


def test_a_text_that_cannot_be_stored_is_the_askers_fault(postgres: Postgres) -> None:
    metadata = Metadata.open(postgres.database())
    with pytest.raises(SQLAlchemyError) as refused, metadata.read() as connection:
        collector.one(connection, "a\0b")
    assert isinstance(database.failure(refused.value), UsageError)
    with metadata.write() as connection:
        setting.put(connection, "layout", {"text": "a\0b"}, actor="owner")
        assert setting.get(connection, "layout") == {"text": "a\0b"}
    metadata.close()


@pytest.mark.parametrize(
    ("state", "code", "retryable"),
    [
        ("40001", "database_busy", True),
        ("40P01", "database_busy", True),
        ("55P03", "database_busy", True),
        ("53300", "database_busy", True),
        ("57P01", "database_down", True),
        ("08006", "database_down", True),
        ("53100", "database_unwritable", False),
        ("25006", "database_unwritable", False),
        ("42501", "database_refused", False),
        ("22021", "value_unfit", False),
        ("42P01", "database_unreadable", False),
    ],
)
def test_a_state_of_the_server_becomes_a_known_error(state: str, code: str, retryable: bool) -> None:
    cause = psycopg.errors.lookup(state)("as the server said it")
    told = database.failure(cause, "postgresql://owner:CANARY@db/x")
    assert (told.code, told.retryable) == (code, retryable)
    assert "CANARY" not in str(told)


def test_a_server_that_is_not_there_is_told_without_the_password(postgres: Postgres, tmp_path: Path) -> None:
    with pytest.raises(UpstreamError) as down:
        Metadata.open(f"postgresql://owner:CANARY@127.0.0.1:{free_port()}/x")
    assert (down.value.code, down.value.http_status, down.value.retryable) == ("database_down", 503, True)
    with pytest.raises(ConfigError) as refused:
        Metadata.open(postgres.url("nosuch"))
    assert refused.value.code == "database_refused"
    with pytest.raises(ConfigError) as invalid:
        Metadata.open("postgresql://owner:CANARY@[")
    assert invalid.value.code == "address_invalid"
    assert not any("CANARY" in str(error.value) for error in (down, refused, invalid))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="psycopg") as missing:
        Metadata.open("postgresql://127.0.0.1/x")
    assert missing.value.code == "extra_missing"
    assert "tidemill[postgres]" in missing.value.hint


def test_sqlite_needs_nothing_of_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tidemill.metadata import Metadata;"
        f"Metadata.open(Path({str(tmp_path / 'x.db')!r})); assert 'psycopg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_listener_hears_of_each_commit_at_once_and_of_no_rollback(metadata: Metadata) -> None:
    stopping, heard = threading.Event(), threading.Semaphore(0)
    answered: list[bool] = []
    thread = threading.Thread(target=lambda: answered.append(metadata.listen(heard.release, stopping)))
    thread.start()
    if isinstance(metadata.place, Path):
        thread.join(5)
        assert answered == [False]
        return
    try:
        assert heard.acquire(timeout=10)  # it listens now
        for name in ("a", "b"):
            started = time.monotonic()
            metadata.want(name, "kraken", actor="cli")
            assert heard.acquire(timeout=10)
            assert time.monotonic() - started < 5

        def rolled_back() -> None:
            with metadata.write() as connection:
                collector.want(connection, Collector("c", "kraken"), actor="cli")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            rolled_back()
        assert not heard.acquire(timeout=0.3)
    finally:
        stopping.set()
        thread.join(10)
    assert answered == [True]


def test_connections_come_back_after_the_server_was_away() -> None:
    from tests.servers.postgres import plain

    programs = plain()
    if programs is None:
        pytest.skip("no PostgreSQL here: install Debian's postgresql")
    with Postgres(programs) as server:
        metadata = Metadata.open(server.database())
        metadata.want("kraken", "kraken", actor="cli")
        server.process.kill()
        with pytest.raises(SQLAlchemyError) as down:
            metadata.collectors()
        assert database.failure(down.value, metadata.place).code == "database_down"
        server.process.start()
        assert [row.name for row in metadata.collectors()] == ["kraken"]
        metadata.close()


def test_the_setting_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.home import Home

    home = Home.at(tmp_path)
    assert database.place(home) == home.database
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "postgresql://db/x")
    place: Place = database.place(home)
    assert place == "postgresql://db/x"
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "mysql://db/x")
    with pytest.raises(ConfigError):
        database.place(home)


@pytest.mark.parametrize("first", ["metadata", "rows"])
def test_rows_may_be_kept_in_the_same_database(postgres: Postgres, first: str) -> None:
    """One server for all is what a team begins with, and its user may well be named `tidemill`."""
    url = postgres.database()
    assert urlsplit(url).username == "tidemill"
    if first == "metadata":
        Metadata.open(url).close()
    with contextlib.closing(Rows(url)) as store:
        assert store.offset(TRADES, "journal") is None
        store.append(TRADES, TRADES.empty(), {"journal": 7})
    with contextlib.closing(Metadata.open(url)) as metadata, metadata.write() as connection:
        gap.merge(connection, [])
        event.append(connection, "note", "beside", actor="cli")
    with contextlib.closing(Rows(url)) as store:
        assert store.offset(TRADES, "journal") == 7
        assert store.read(GAPS, Query()).num_rows == 0
