"""A home with something stored, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.make import SECOND, START, mixed
from tests.stores.test_live import World
from tidemill.query.limit import Limits
from tidemill.query.session import Session

QUICK = Limits(timeout_s=20.0, memory_bytes=256 << 20, bytes=32 << 20)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("query") / "home")
    world.write(mixed(3_000))
    world.record()
    world.write(mixed(1_000, start=START + 86_000 * SECOND, first_id=9_000, seed=4))  # over midnight
    world.record()
    yield world
    world.journal.close()


@pytest.fixture
def session(stored: World) -> Session:
    return Session(stored.home, QUICK)
