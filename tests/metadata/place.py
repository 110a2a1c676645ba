"""A database's place, and what a test does there past the code under test."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import psycopg
from psycopg import sql

from tidemill.metadata import dialect

Place = Path | str


def opening(place: Place) -> str:
    """The expression that opens it in another process."""
    return f"Metadata.open(Path({str(place)!r}))" if isinstance(place, Path) else f"Metadata.open({place!r})"


def dump(place: Place) -> list[str]:
    """Everything that is in it, as text: what the tables are and what they hold."""
    if isinstance(place, Path):
        with contextlib.closing(sqlite3.connect(place, timeout=10)) as connection:
            return list(connection.iterdump())
    found = []
    with psycopg.connect(place, options=f"-c search_path={dialect.SCHEMA}") as connection:
        columns = "table_name, column_name, data_type, is_nullable, column_default"
        found += connection.execute(
            f"SELECT {columns} FROM information_schema.columns WHERE table_schema = current_schema()"
            " ORDER BY 1, 2"
        ).fetchall()
        found += connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1"
        ).fetchall()
        for (name,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        ).fetchall():
            rows = connection.execute(
                sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(name))
            )
            found += [(name, *row) for row in rows]
    return [str(line) for line in found]


def run_sql(place: Place, *statements: str) -> None:
    """Statements in one transaction, past the code under test."""
    if isinstance(place, Path):
        with contextlib.closing(sqlite3.connect(place, timeout=10)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
    else:
        with psycopg.connect(place, options=f"-c search_path={dialect.SCHEMA}") as server:
            for statement in statements:
                server.execute(statement)
