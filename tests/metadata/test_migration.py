"""Migrations on filled databases: up and down, killed before any statement, beside others' locks."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.metadata.place import Place, dump, run_sql
from tidemill.errors import DeadlineError
from tidemill.metadata import Metadata, database, dialect
from tidemill.metadata.table import tables

LOCK_S_MAX = 1.0

# What the first version held, so that it fits every version: later columns are new or have a default.
FILL = (
    "INSERT INTO events (ts, actor, kind, subject, data) VALUES ({0}, 'cli', 'note', 's{0}', '{{}}')",
    "INSERT INTO collectors (name, protocol, instruments, wanted, owner, changed)"
    " VALUES ('v{0}', 'kraken', '[\"BTC-USD\"]', true, 'owner', {0})",
    "INSERT INTO keys (hash, purpose, subject, created, expires) VALUES ('h{0}', 'session', 'owner', 1, 2)",
    "INSERT INTO sessions (id, subject, created, expires) VALUES ('s{0}', 'owner', 1, 2)",
    "INSERT INTO gaps (venue, instrument, channel, cause, epoch, sequence, opened_at, ts_event_open, missing,"
    " state) VALUES ('v{0}', '', 'all', 'stall', 1, {0}, {0}, {0}, -1, 'open')",
    "INSERT INTO jobs (id, kind, state, progress, owner, created, detail)"
    " VALUES ('j{0}', 'import', 'done', 1.0, 'owner', {0}, '{{}}')",
    "INSERT INTO settings (key, value, changed, actor) VALUES ('k{0}', '{{\"a\": 1}}', {0}, 'owner')",
)


def fill(place: Place, count: int = 20) -> None:
    run_sql(place, *(statement.format(number) for number in range(count) for statement in FILL))


def test_the_migrations_make_the_tables_the_code_knows(metadata: Metadata) -> None:
    with metadata.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables) == []


def test_every_version_goes_up_and_down_on_filled_tables(place: Place) -> None:
    """What one version can hold is there after any way up and down to it."""
    revisions = database.revisions()
    database.migrate(place, revisions[0])
    fill(place)
    seen = {}
    for revision in revisions:
        database.migrate(place, revision)
        assert database.version(place) == revision
        seen[revision] = dump(place)
    for revision in reversed(revisions[:-1]):
        database.migrate(place, revision)
        assert database.version(place) == revision
        assert dump(place) == seen[revision]
    database.migrate(place)
    assert dump(place) == seen[revisions[-1]]


# Forks before each try, so that the imports are done once; the engine counts down to its kill.
KILL = """
import os, signal, sys
from pathlib import Path
import alembic.command, alembic.config, sqlalchemy.dialects.sqlite, sqlalchemy.dialects.postgresql
from sqlalchemy import event
from tidemill.metadata import database, dialect, table
place, start, revision, first, step = *sys.argv[2:5], *map(int, sys.argv[5:])
kind = dialect.Sqlite if sys.argv[1] == "sqlite" else dialect.Postgres
place = Path(place) if sys.argv[1] == "sqlite" else place
real = kind.engine
left = 0
def engine(self):
    made = real(self)
    @event.listens_for(made, "before_cursor_execute")
    def count(*_):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return made
kind.engine = engine
for kills in range(first, 1000, step):
    left = kills
    child = os.fork()
    if child == 0:
        database.migrate(place, revision)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        print(kills)
        sys.exit(os.WEXITSTATUS(status))
    assert os.WTERMSIG(status) == signal.SIGKILL
    found = database.version(place)
    assert found == (None if start == "none" else start), (kills, found)
"""


def killed(place: Place, start: str | None, revision: str, first: int, step: int) -> int:
    """Migrates with a kill before the statement `first`, then before that `step` later, …; returns the number
    that there are not so many statements for."""
    kind = "sqlite" if isinstance(place, Path) else "postgres"
    words = [sys.executable, "-c", KILL, kind, str(place), start or "none", revision, str(first), str(step)]
    run = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)], ids=["some", "every"])
def test_a_kill_before_any_statement_leaves_the_old_version_or_the_new(place: Place, step: int) -> None:
    """Each revision by itself, up and then down again, on filled tables; nothing is lost on the way. Before
    every statement of the newest revision, which is the one that is worked on; of the others before some that
    differ from one to the next, and in the long run before every one."""
    revisions = database.revisions()
    assert killed(place, None, revisions[0], 0, step) > 12
    fill(place, 5)
    seen = {revisions[0]: dump(place)}
    for number, (before, revision) in enumerate(itertools.pairwise(revisions), 1):
        points = (0, 1) if revision == revisions[-1] else (number % step, step)
        assert killed(place, before, revision, *points) > 2
        seen[revision] = dump(place)
    for number, (before, revision) in reversed([*enumerate(itertools.pairwise(revisions), 2)]):
        points = (0, 1) if revision == revisions[-1] else (number % step, step)
        assert killed(place, revision, before, *points) > 2
        assert dump(place) == seen[before]


def test_a_migration_keeps_nobody_waiting_for_a_second(place: Place) -> None:
    """Whoever writes to filled tables while each revision goes up and down waits less than that."""
    revisions = database.revisions()
    database.migrate(place, revisions[0])
    fill(place, 3)
    series = (
        "INSERT INTO gaps (venue, instrument, channel, cause, epoch, sequence, opened_at, ts_event_open,"
        " missing, state) WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 51000)"
        " SELECT 'filled', '', 'all', 'stall', 1, i, i, i, -1, 'open' FROM n",
        "INSERT INTO jobs (id, kind, state, progress, owner, created, detail)"
        " WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 21000)"
        " SELECT 'filled' || i, 'import', 'done', 1.0, 'owner', i, '{}' FROM n",
        "INSERT INTO events (ts, actor, kind, subject, data)"
        " WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 51000)"
        " SELECT i, 'cli', 'note', 's', '{}' FROM n",
    )
    run_sql(place, *series)
    done = threading.Event()
    waits: list[float] = []

    changes = (
        "UPDATE collectors SET changed = {0} WHERE name = 'v1'",
        "UPDATE gaps SET ended_at = {0} WHERE id = 1",
        "UPDATE jobs SET created = {0} WHERE id = 'j1'",
    )

    def work() -> None:
        while not done.is_set():
            started = time.monotonic()
            run_sql(place, changes[len(waits) % len(changes)].format(len(waits)))
            waits.append(time.monotonic() - started)
            time.sleep(0.002)

    thread = threading.Thread(target=work)
    thread.start()
    longest = []
    try:
        for _ in range(3):  # on a busy machine everything takes its time: the least disturbed round counts
            waits.clear()
            for revision in [*revisions[1:], *reversed(revisions[:-1])]:
                database.migrate(place, revision)
                time.sleep(0.2)  # who waited for this one does not wait for the next as well
            longest.append(max(waits))
            if longest[-1] < LOCK_S_MAX:
                break
    finally:
        done.set()
        thread.join()
    assert min(longest) < LOCK_S_MAX


def test_a_migration_behind_a_long_reader_lets_others_past_it(
    postgres: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wants the whole table, which a long reading keeps; who comes behind it must not wait with it."""
    import psycopg

    place = postgres.database()  # type: ignore[attr-defined]
    revisions = database.revisions()
    database.migrate(place, revisions[0])
    fill(place, 2)
    monkeypatch.setattr(dialect, "MIGRATE_S", 4.0)
    failed: list[BaseException] = []

    def migrate() -> None:
        try:
            database.migrate(place)
        except BaseException as error:
            failed.append(error)

    with psycopg.connect(place, options=f"-c search_path={dialect.SCHEMA}") as reader:
        reader.execute("SELECT count(*) FROM gaps")  # holds its lock until the transaction ends
        thread = threading.Thread(target=migrate)
        thread.start()
        longest, until = 0.0, time.monotonic() + 2.0
        while time.monotonic() < until:
            started = time.monotonic()
            run_sql(place, "UPDATE gaps SET ended_at = 5 WHERE id = 1")
            longest = max(longest, time.monotonic() - started)
        assert database.version(place) == revisions[0]
    thread.join(30)
    assert failed == []
    assert database.version(place) == database.newest()
    assert longest < LOCK_S_MAX


def test_a_migration_that_never_gets_its_table_says_so(
    postgres: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    place = postgres.database()  # type: ignore[attr-defined]
    database.migrate(place, "0001")
    monkeypatch.setattr(dialect, "MIGRATE_S", 1.0)
    with psycopg.connect(place, options=f"-c search_path={dialect.SCHEMA}") as reader:
        reader.execute("SELECT count(*) FROM gaps")
        with pytest.raises(DeadlineError) as late:
            Metadata.open(place)
    assert late.value.code == "database_busy"
    assert database.version(place) == "0001"
