"""The metadata database: one truth per change, versions that survive a kill, writers that wait in line."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DatabaseError

from tests.metadata.place import Place, dump, opening, run_sql
from tidemill.errors import ConfigError
from tidemill.metadata import Metadata, access, collector, database, event, gap, setting
from tidemill.metadata.table import tables
from tidemill.model.collector import Collector
from tidemill.model.gap import Gap


def hole(sequence: int, **changes: Any) -> Gap:
    row: dict[str, Any] = {
        "venue": "kraken", "instrument": None, "channel": "trades", "cause": "disconnect", "epoch": 1,
        "sequence": sequence, "opened_at": 100 + sequence, "ended_at": None, "ts_event_open": 90,
        "ts_event_end": None, "missing": -1, "state": "open",
    }  # fmt: skip
    return Gap(**{**row, **changes})


def test_a_ledger_of_the_first_version_learns_the_ids_at_the_edges(place: Place) -> None:
    database.migrate(place, "0001")
    run_sql(
        place,
        "INSERT INTO gaps (venue, instrument, channel, cause, epoch, sequence, opened_at, ts_event_open,"
        " missing, state) VALUES ('kraken', '', 'trades', 'disconnect', 1, 7, 107, 90, -1, 'open')",
    )
    metadata = Metadata.open(place)
    with metadata.write() as connection:
        gap.merge(connection, [hole(7, venue_sequence_open=100, venue_sequence_end=104, missing=3)])
        (row,) = gap.page(connection, limit=9)
    assert (row.venue_sequence_open, row.venue_sequence_end, row.missing) == (100, 104, 3)
    metadata.close()


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tidemill.db"
    Metadata.open(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_opening_again_changes_nothing_and_needs_no_migration_tool(metadata: Metadata) -> None:
    metadata.want("kraken", "kraken", ["BTC-USD"], actor="cli")
    before = dump(metadata.place)
    code = (
        "import sys; from pathlib import Path; from tidemill.metadata import Metadata;"
        f"{opening(metadata.place)}; assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert dump(metadata.place) == before


def test_processes_that_start_at_once_make_one_database(place: Place) -> None:
    code = f"from pathlib import Path; from tidemill.metadata import Metadata; {opening(place)}"
    starting = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(60) for process in starting] == [0] * 4
    assert database.version(place) == database.newest()


def test_a_newer_database_is_refused_with_what_to_do(metadata: Metadata) -> None:
    run_sql(metadata.place, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="9999") as refused:
        Metadata.open(metadata.place)
    assert refused.value.code == "database_newer"


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "tidemill.db"
    path.write_bytes(b"precious" * 500)
    with pytest.raises(ConfigError) as refused:
        Metadata.open(path)
    assert refused.value.code == "database_unreadable"
    assert path.read_bytes() == b"precious" * 500


def test_a_change_and_its_event_stand_or_fall_together(metadata: Metadata) -> None:
    def fail() -> None:
        with metadata.write() as connection:
            collector.want(connection, Collector("kraken", "kraken"), actor="cli")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert metadata.collectors() == []
    with metadata.read() as connection:
        assert event.newest_id(connection) == 0


def test_ids_of_events_are_never_used_again(metadata: Metadata) -> None:
    metadata.want("kraken", "kraken", actor="cli")
    run_sql(metadata.place, "DELETE FROM events")
    metadata.unwant("kraken", actor="cli")
    with metadata.read() as connection:
        assert [row.id for row in event.after(connection, 0, 10)] == [2]


def test_writers_in_threads_and_processes_wait_for_each_other(metadata: Metadata) -> None:
    def work(name: str) -> None:
        own = Metadata(metadata.place)
        for number in range(20):
            own.want(f"{name}-{number}", "kraken", actor=name)
        own.close()

    code = (
        "from pathlib import Path; from tidemill.metadata import Metadata;"
        f"m = {opening(metadata.place)};"
        "[m.want(f'p-{i}', 'kraken', actor='p') for i in range(20)]"
    )
    other = subprocess.Popen([sys.executable, "-c", code])
    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait(60) == 0
    assert len(metadata.collectors()) == 100
    with metadata.read() as connection:
        assert len(event.after(connection, 0, 1000)) == 100


def test_wanting_the_same_again_is_no_event(metadata: Metadata) -> None:
    metadata.want("kraken", "kraken", ["BTC-USD"], actor="cli")
    metadata.want("kraken", "kraken", ["BTC-USD"], actor="cli")
    metadata.want("kraken", "kraken", ["ETH-USD"], actor="cli")
    assert metadata.unwant("kraken", actor="cli")
    assert not metadata.unwant("kraken", actor="cli")
    assert not metadata.unwant("nobody", actor="cli")
    with metadata.read() as connection:
        kinds = [row.kind for row in event.after(connection, 0, 10)]
    assert kinds == ["collector_started", "collector_configured", "collector_stopped"]
    assert metadata.collectors()[0].instruments == ("ETH-USD",)


def test_a_key_is_redeemed_by_one_of_many(metadata: Metadata) -> None:
    key = metadata.new_key(actor="cli")
    won: list[access.Session] = []

    def redeem() -> None:
        with metadata.write() as connection:
            session = access.redeem_key(connection, key)
        if session:
            won.append(session)

    threads = [threading.Thread(target=redeem) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_the_ledger_takes_each_gap_once_and_its_end_when_it_comes(metadata: Metadata) -> None:
    with metadata.write() as connection:
        assert gap.merge(connection, [hole(1), hole(2), hole(1)]) == 2
        assert gap.merge(connection, [hole(1), hole(2)]) == 0
        assert gap.merge(connection, [hole(1, ended_at=300, ts_event_end=299, missing=7)]) == 1
        rows = gap.page(connection, limit=10)
    assert [(row.sequence, row.ended_at, row.missing) for row in rows] == [(2, None, -1), (1, 300, 7)]
    with metadata.read() as connection:
        assert gap.page(connection, limit=10, state="filled") == []
        assert gap.page(connection, limit=10, venue="nobody") == []
        assert gap.count_since(connection, 102) == {"kraken": 1}
        assert gap.count_open(connection) == {"kraken": 1}


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 20), min_size=1, max_size=40),
    size=st.integers(1, 7),
    late=st.lists(st.integers(0, 30), max_size=8),
)
def test_pages_over_a_growing_ledger_skip_and_repeat_nothing(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], size: int, late: list[int]
) -> None:
    metadata = _template(tmp_path_factory)
    with metadata.write() as connection:
        gap.merge(connection, [hole(i, opened_at=at) for i, at in enumerate(times)])
        expected = {row.id for row in gap.page(connection, limit=1000)}
    seen: list[int] = []
    before = None
    number = len(times)
    while True:
        with metadata.write() as connection:
            rows = gap.page(connection, limit=size, before=before)
            if late:  # something arrives between any two pages, above or below what was read
                gap.merge(connection, [hole(number, opened_at=late.pop())])
                number += 1
        if not rows:
            break
        seen += [row.id for row in rows]
        before = (rows[-1].opened_at, rows[-1].id)
    assert len(seen) == len(set(seen))
    assert expected <= set(seen)
    metadata.close()


def _template(factory: pytest.TempPathFactory) -> Metadata:
    path = factory.mktemp("ledger") / "tidemill.db"
    return Metadata.open(path)


def test_a_setting_changes_without_its_value_in_the_events(metadata: Metadata) -> None:
    with metadata.write() as connection:
        assert setting.get(connection, "layout") is None
        setting.put(connection, "layout", {"a": [1, "CANARY"]}, actor="owner")
        setting.put(connection, "layout", {"a": 2}, actor="owner")
        assert setting.get(connection, "layout") == {"a": 2}
        assert "CANARY" not in str(event.after(connection, 0, 10))


def test_a_kill_in_the_middle_of_a_change_leaves_none_of_it(metadata: Metadata) -> None:
    code = (
        "import os, signal; from pathlib import Path; from tidemill.metadata import Metadata, collector;"
        f"m = {opening(metadata.place)}\n"
        "with m.write() as c:\n"
        "    collector.want(c, collector.Collector('kraken', 'kraken'), actor='cli')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert metadata.collectors() == []
    metadata.want("kraken", "kraken", actor="cli")
    with metadata.read() as connection:
        assert len(event.after(connection, 0, 10)) == 1


def test_a_failure_of_the_file_and_one_of_the_disk_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "tidemill.db"
    metadata = Metadata.open(path)
    metadata.want("kraken", "kraken", actor="cli")
    with metadata.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
        with pytest.raises(DatabaseError) as full:
            setting.put(connection, "large", "x" * 100_000, actor="cli")
    told = database.failure(full.value, path)
    assert (told.code, told.http_status) == ("database_unwritable", 507)
    assert str(path) in told.message
    with metadata.read() as connection:
        sql = "SELECT rootpage * (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name='{}'"
        end = int(connection.exec_driver_sql(sql.format("collectors")).scalar() or 0)
    metadata.close()
    with path.open("r+b") as file:
        file.seek(end - 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(DatabaseError) as damaged:
        Metadata.open(path).collectors()
    assert database.failure(damaged.value).code == "database_unreadable"
    assert database.failure(OSError(errno.EROFS, "Read-only file system")).code == "database_unwritable"


def test_events_have_a_bound_and_keep_their_ids(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    with metadata.write() as connection:
        ids = [event.append(connection, "note", str(i), actor="cli") for i in range(10)]
        assert event.trim(connection) == 0
        connection.execute(
            tables.tables["events"].update().where(tables.tables["events"].c.id == ids[9]).values(ts=1)
        )
        monkeypatch.setattr(event, "EVENTS_MAX", 4)
        assert event.trim(connection) == 7
        assert [row.id for row in event.after(connection, 0, 99)] == ids[6:9]
        assert event.append(connection, "note", "next", actor="cli") == ids[9] + 1
