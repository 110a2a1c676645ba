"""What a keeper keeps of sessions: no end is overtaken by an older reading, and nobody waits in the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.conftest import short_home
from tidemill.cache import Shared
from tidemill.metadata import Metadata, access
from tidemill.service.auth import Keeper


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    home = short_home()
    metadata = Metadata.of(home)
    yield Keeper(home, metadata, 80, Shared(None, ""))
    metadata.close()


def opened(keeper: Keeper) -> access.Session:
    with keeper._metadata.write() as connection:
        return access.open_session(connection, "owner")


def test_a_reading_that_is_older_than_the_end_of_a_session_lets_nobody_in(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(keeper)
    cookie = keeper.cookie_value(session)
    has_read, has_ended = threading.Event(), threading.Event()
    real = access.session

    def slow(*given: Any) -> access.Session | None:
        found = real(*given)
        has_read.set()
        assert has_ended.wait(10)
        return found

    monkeypatch.setattr(access, "session", slow)
    reader = threading.Thread(target=keeper.session, args=(cookie,))
    reader.start()
    assert has_read.wait(10)
    with keeper._metadata.write() as connection:
        assert access.end_session(connection, session.id, actor="owner")
    keeper.forget(session.id)
    has_ended.set()
    reader.join(10)
    assert keeper.session(cookie) is None
    assert asyncio.run(keeper.enter(cookie)) is None


def test_what_is_kept_in_memory_is_answered_in_the_loop_and_all_else_beside_it(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = keeper.cookie_value(opened(keeper))
    asked: list[threading.Thread] = []
    real = Keeper.session

    def session(self: Keeper, text: str) -> Any:
        asked.append(threading.current_thread())
        return real(self, text)

    monkeypatch.setattr(Keeper, "session", session)

    async def main() -> None:
        for _ in range(3):
            found = await keeper.enter(cookie)
            assert found is not None
            assert found.subject == "owner"

    asyncio.run(main())
    assert len(asked) == 1
    assert asked[0] is not threading.main_thread()
