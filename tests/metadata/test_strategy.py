"""Strategies in the database: versions that never change, and two people who change at once."""

from __future__ import annotations

import hashlib
import threading

import pytest

from tidemill.errors import ConflictError, NotFoundError
from tidemill.metadata import Metadata, event, strategy
from tidemill.metadata.strategy import Text

FIRST = Text("x = 1\n", "first", "me", {"fast": 5})


def test_a_strategy_has_every_version_that_it_ever_was(metadata: Metadata) -> None:
    with metadata.write() as connection:
        made = strategy.create(connection, "mine", FIRST, actor="me", cause="r1")
        strategy.create(connection, "other", Text("y = 1"), actor="me")
    assert (made.name, made.version, made.metrics, made.created) == ("mine", 1, None, made.changed)
    assert made.newest.sha256 == hashlib.sha256(b"x = 1\n").hexdigest()
    assert (made.newest.description, made.newest.author, made.newest.parameters) == (
        "first",
        "me",
        {"fast": 5},
    )
    with metadata.write() as connection:
        for number in range(1, 5):
            strategy.change(connection, "mine", Text(f"x = {number + 1} # é"), expected=number, actor="you")
        assert strategy.measure(connection, "mine", {"sharpe": 1.5})
        assert not strategy.measure(connection, "nobody", {})
    with metadata.read() as connection:
        now = strategy.one(connection, "mine")
        assert (now.version, now.newest.code, now.metrics) == (5, "x = 5 # é", {"sharpe": 1.5})
        assert now.created == made.created < now.changed == now.newest.created
        assert [one.version for one in strategy.versions(connection, "mine", limit=3)] == [5, 4, 3]
        assert [one.version for one in strategy.versions(connection, "mine", limit=3, before=3)] == [2, 1]
        assert strategy.version(connection, "mine", 1) == made.newest
        assert [one.name for one in strategy.every(connection)] == ["mine", "other"]
        kinds = [one.kind for one in event.after(connection, 0, 100) if one.subject == "mine"]
    assert kinds == ["strategy_created", *["strategy_changed"] * 4]


def test_a_change_that_changes_nothing_is_no_version(metadata: Metadata) -> None:
    with metadata.write() as connection:
        strategy.create(connection, "mine", FIRST, actor="me")
        assert strategy.change(connection, "mine", FIRST, expected=1, actor="me").version == 1
        assert len(event.after(connection, 0, 100)) == 1


def test_who_changes_what_has_changed_is_told(metadata: Metadata) -> None:
    with metadata.write() as connection:
        strategy.create(connection, "mine", FIRST, actor="me")
    done: list[int] = []
    refused: list[str] = []

    def edit(at: int) -> None:
        try:
            with metadata.write() as connection:
                found = strategy.change(connection, "mine", Text(f"x = {at}"), expected=1, actor="me")
                done.append(found.version)
        except ConflictError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=edit, args=(at,)) for at in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (done, refused) == ([2], ["version_conflict"] * 3)
    with metadata.read() as connection:
        assert [one.version for one in strategy.versions(connection, "mine", limit=9)] == [2, 1]


def test_what_is_deleted_is_hidden_and_goes_on_where_it_ended(metadata: Metadata) -> None:
    with metadata.write() as connection:
        strategy.create(connection, "mine", FIRST, actor="me")
        strategy.measure(connection, "mine", {"sharpe": 1})
        assert strategy.delete(connection, "mine", actor="me").version == 1
        assert strategy.every(connection) == strategy.names(connection) == []
        for ask in (strategy.one, lambda c, n: strategy.delete(c, n, actor="me")):
            with pytest.raises(NotFoundError) as unknown:
                ask(connection, "mine")
            assert unknown.value.code == "strategy_unknown"
        with pytest.raises(NotFoundError):
            strategy.change(connection, "mine", FIRST, expected=1, actor="me")
        assert strategy.version(connection, "mine", 1).code == FIRST.code
        again = strategy.create(connection, "mine", Text("z = 1"), actor="me")
        assert (again.version, again.metrics) == (2, None)
        assert [one.code for one in strategy.versions(connection, "mine", limit=9)] == ["z = 1", FIRST.code]


def test_names_and_versions_that_are_not_there(metadata: Metadata) -> None:
    with metadata.write() as connection:
        strategy.create(connection, "momentum", FIRST, actor="me")
        with pytest.raises(ConflictError) as taken:
            strategy.create(connection, "momentum", FIRST, actor="you")
        assert taken.value.code == "strategy_exists"
        with pytest.raises(NotFoundError) as unknown:
            strategy.one(connection, "momentun")
        assert unknown.value.hint == "nearest: momentum"
        with pytest.raises(NotFoundError) as late:
            strategy.version(connection, "momentum", 2)
        assert (late.value.code, late.value.hint) == ("version_unknown", "it has 1 to 1")
        with pytest.raises(NotFoundError) as nobody:
            strategy.version(connection, "nobody", 1)
        assert nobody.value.code == "strategy_unknown"
        assert strategy.versions(connection, "nobody", limit=5) == []
