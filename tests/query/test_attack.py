"""What a hostile statement may try: to leave the lake, to change something, to take the machine."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.query.conftest import QUICK
from tests.stores.test_live import World
from tidemill.errors import TidemillError
from tidemill.query import view
from tidemill.query.session import Session
from tidemill.query.statement import Statement

SECRET = "root:x:0:0:the-secret-of-this-machine"


class Canary:
    """A file outside the lake, a link to it within, and a port: none may be touched."""

    def __init__(self, folder: Path, lake: Path) -> None:
        self.folder = folder
        self.file = folder / "secret.csv"
        self.file.write_text(SECRET + "\n")
        self.lake = lake
        self.link = lake / "trades" / "link.csv"
        self.link.symlink_to(self.file)
        (lake / "trades" / "linked").symlink_to(folder)
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            peer.close()

    def close(self) -> None:
        self._socket.close()

    def names(self) -> set[str]:
        return {str(path) for root in (self.folder, self.lake.parent) for path in root.rglob("*")}


@pytest.fixture(scope="module")
def canary(stored: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    made = Canary(tmp_path_factory.mktemp("canary"), stored.home / "lake")
    yield made
    made.close()


def payloads(canary: Canary) -> list[str]:
    up = "/".join([".."] * 30)
    places = [
        str(canary.file),
        f"{canary.lake}/{up}{canary.file}",
        f"{canary.lake}/trades/../../{up}{canary.file}",
        str(canary.link),
        f"{canary.lake}/trades/linked/secret.csv",
        f"{canary.folder}/*",
        f"file://{canary.file}",
        f"http://127.0.0.1:{canary.port}/x.csv",
        f"s3://127.0.0.1:{canary.port}/x.csv",
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/cwd",
    ]
    readers = [
        "SELECT * FROM read_csv('{}')",
        "SELECT * FROM read_csv_auto('{}', header = false)",
        "SELECT * FROM read_text('{}')",
        "SELECT * FROM read_blob('{}')",
        "SELECT * FROM read_json('{}')",
        "SELECT * FROM read_parquet('{}')",
        "SELECT * FROM glob('{}')",
        "SELECT * FROM sniff_csv('{}')",
        "SELECT * FROM '{}'",
        'FROM "{}"',
        "SELECT * FROM trades UNION ALL BY NAME SELECT * FROM read_csv('{}')",
        "WITH a AS (FROM read_text('{}')) SELECT content FROM a",
        "SELECT (SELECT content FROM read_text('{}'))",
    ]
    read = [one.format(place) for one, place in itertools.product(readers, places)]
    out = canary.folder / "out"
    other = [
        f"COPY trades TO '{out}.csv'",
        f"COPY (SELECT 1) TO '{out}.parquet' (FORMAT parquet)",
        f"COPY (SELECT 1) TO PROGRAM 'touch {out}'",
        f"EXPORT DATABASE '{out}'",
        f"IMPORT DATABASE '{canary.folder}'",
        f"ATTACH '{out}.db'",
        f"ATTACH '{out}.db' AS other; SELECT 1",
        f"ATTACH 'http://127.0.0.1:{canary.port}/a.db'",
        "DETACH memory",
        "USE memory",
        "INSTALL httpfs",
        f"INSTALL httpfs FROM 'http://127.0.0.1:{canary.port}'",
        "LOAD httpfs",
        f"LOAD '{canary.folder}/x.duckdb_extension'",
        "INSTALL shellfs FROM community",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET lock_configuration",
        "SET memory_limit = '100GB'",
        "SET threads = 64",
        f"SET temp_directory = '{canary.folder}'",
        f"SET home_directory = '{canary.folder}'",
        f"SET allowed_directories = ['{canary.folder}']",
        f"SET log_query_path = '{out}.log'",
        "SET GLOBAL python_enable_replacements = true",
        "PRAGMA database_list",
        "PRAGMA version",
        "PRAGMA enable_profiling",
        f"PRAGMA profile_output = '{out}'",
        "PRAGMA threads = 64",
        "CALL pragma_version()",
        "CALL force_checkpoint()",
        "CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE MACRO m() AS 1",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "CREATE TYPE x AS ENUM ('a')",
        "DROP VIEW trades",
        "ALTER TABLE trades ADD COLUMN x INT",
        "INSERT INTO trades VALUES (1)",
        "UPDATE trades SET price = 0",
        "DELETE FROM trades",
        "TRUNCATE trades",
        "MERGE INTO trades USING bars ON true WHEN MATCHED THEN DELETE",
        "WITH x AS (INSERT INTO raw.trades VALUES (1) RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM trades RETURNING *) SELECT * FROM x",
        "BEGIN TRANSACTION",
        "COMMIT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT getenv('HOME')",
        "SELECT current_setting('allowed_paths')",
        "SELECT write_log('x')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_extensions()",
        "SELECT * FROM duckdb_temporary_files()",
        "SELECT * FROM duckdb_logs()",
        "SELECT * FROM pragma_storage_info('trades')",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM which_secret('s3://x', 's3')",
        "SELECT * FROM query('COPY trades TO ''x''')",
        "SELECT * FROM query_table('trades')",
        "SELECT * FROM parquet_metadata('x')",
        "SELECT * FROM parquet_scan('x')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM arrow_scan_dumb(1, 2, 3)",
        "SELECT * FROM pandas_scan(140000000000)",
        "SELECT * FROM python_map_function(1)",
        "SELECT * FROM seq_scan('x')",
        "SELECT * FROM json_execute_serialized_sql('{}')",
        "SELECT * FROM canary",
        "SELECT * FROM session",
        "SELECT * FROM self",
        "SELECT 1; COPY trades TO 'x'",
        "SELECT 1 -- \n; DROP VIEW trades",
        "PIVOT trades ON venue",
        "SUMMARIZE read_csv('/etc/passwd')",
        "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
        "SHOW DATABASES; SELECT 1",
        "SELECT * FROM memory.main.trades",
        "SELECT * FROM system.main.duckdb_tables",
        "SELECT load_extension('x')",
    ]
    return read + other


def test_none_escapes(canary: Canary, stored: World) -> None:
    before = canary.names()
    session = Session(stored.home, QUICK)
    tried = payloads(canary)
    assert len(tried) >= 200
    for sql in tried:
        with pytest.raises(TidemillError) as told:
            session.fetch(sql, 100)
        assert told.value.http_status < 500, sql
        assert told.value.code == "query_invalid", sql
        assert "the-secret" not in str(told.value), sql
    assert canary.names() == before
    assert canary.calls == 0
    assert session.fetch("SELECT count(*) AS n FROM trades", 1)[0]["n"].to_pylist()[0] > 0


def test_none_escapes_the_second_wall(canary: Canary, stored: World) -> None:
    """The locked connection alone, without our reading of the statement."""
    before = canary.names()
    session = Session(stored.home, QUICK)
    everything = Statement("", view.KNOWN)
    reads = session.snapshots(everything)
    here = {str(path) for path in (stored.home / "lake").rglob("*.parquet")}
    with session._bound(everything, reads, view.PLACES) as connection:
        for sql in payloads(canary):
            try:
                cursor = connection.execute(sql)
                rows = str(cursor.fetchmany(1_000)) if cursor.description else ""
            except (duckdb.Error, RuntimeError) as error:
                rows = str(error)
            assert "the-secret" not in rows, sql
            assert "root:x:0" not in rows, sql
            assert "PATH=" not in rows, sql
        with pytest.raises(duckdb.Error):
            connection.execute("SET threads = 3")
        files = connection.execute("SELECT current_setting('allowed_paths')").fetchall()
    assert canary.names() == before
    assert canary.calls == 0
    assert set(files[0][0]) <= here


BOMBS = [
    "SELECT repeat('x', 3000000000)",
    "SELECT repeat(repeat('x', 100000), 100000)",
    "SELECT string_agg(repeat('x', 1000), '') FROM range(100000000)",
    "SELECT list(range) FROM range(10000000000)",
    "SELECT range(1000000000)",
    "SELECT sum(a.range * b.range * c.range) FROM range(1000000) a, range(1000000) b, range(1000000) c",
    "SELECT * FROM range(100000000000) a ORDER BY hash(range)",
    "SELECT count(DISTINCT hash(range)) FROM range(100000000000)",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    "WITH RECURSIVE t(n) AS (SELECT 'x' UNION ALL SELECT n || n FROM t) SELECT max(n) FROM t",
    "SELECT regexp_matches(repeat('a', 30000), '(a*)*b')",
    "SELECT 10::DOUBLE ^ 10000, repeat('1', 1000000)::HUGEINT",
    "SELECT lpad('x', 2000000000, 'y')",
    "SELECT list_reduce(range(100000000), (x, y) -> x + y)",
    "SELECT a.* FROM trades a, trades b, trades c, trades d ORDER BY hash(a.sequence + b.sequence)",
]
