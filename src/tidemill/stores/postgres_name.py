"""The dictionary of the PostgreSQL store: every string of a row is a number there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import Connection

from tidemill.stores.postgres_connection import is_data

BYTES_MAX = 1_000
"""A longer name is no name, and would not fit its index."""


class Names:
    """Numbers of names, remembered. A name keeps its number for ever, so what is remembered stays true."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def forget(self) -> None:
        """After a connection was lost: another server may have answered last."""
        self._numbers, self._texts = {}, {}

    def learn(self, connection: Connection[Any], texts: Iterable[str]) -> dict[str, int]:
        """The number of each name, new ones made. Names that PostgreSQL cannot keep are left out.

        Not in the transaction of the rows: a name that no row uses does no harm, and writers that wait for
        each other's names would.
        """
        wanted = set(texts)
        numbers = self.known(connection, wanted)
        new = sorted(text for text in wanted - numbers.keys() if _fits(text))
        if new:
            try:
                _insert(connection, new)
            except psycopg.Error as error:
                if not is_data(error):
                    raise
                # One of them is at fault: each for itself then.
                for text in new:
                    try:
                        _insert(connection, [text])
                    except psycopg.Error as one:
                        if not is_data(one):
                            raise
            numbers |= self.known(connection, new)
        return numbers

    def known(self, connection: Connection[Any], texts: Iterable[str]) -> dict[str, int]:
        """The number of each of these names that has one."""
        wanted = [text for text in set(texts) if _fits(text)]
        known = self._numbers  # another thread may forget it meanwhile
        new = [text for text in wanted if text not in known]
        if new:
            found = connection.execute(
                "SELECT id, name FROM tidemill_name WHERE name = ANY(%s)", (new,)
            ).fetchall()
            known.update((text, number) for number, text in found)
            self._keep(found)
        return {text: number for text in wanted if (number := known.get(text)) is not None}

    def texts(self, connection: Connection[Any], numbers: Iterable[int]) -> list[str]:
        """The name of each number."""
        wanted = list(numbers)
        known = self._texts  # another thread may forget it meanwhile
        new = [number for number in wanted if number not in known]
        if new:
            found = connection.execute(
                "SELECT id, name FROM tidemill_name WHERE id = ANY(%s)", (new,)
            ).fetchall()
            known.update(found)
            self._keep(found)
        return [known[number] for number in wanted]

    def _keep(self, found: Iterable[tuple[int, str]]) -> None:
        for number, text in found:
            self._numbers[text], self._texts[number] = number, text


def _insert(connection: Connection[Any], texts: list[str]) -> None:
    connection.execute(
        "INSERT INTO tidemill_name (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (texts,)
    )


def _fits(text: str) -> bool:
    try:
        return "\0" not in text and len(text.encode()) <= BYTES_MAX
    except UnicodeEncodeError:
        return False
