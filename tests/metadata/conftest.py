"""Both kinds of database: every test of this folder runs over each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metadata.place import Place
from tidemill.metadata import Metadata


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where an empty database is to be: each test runs over both kinds."""
    if request.param == "sqlite":
        return tmp_path / "tidemill.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


@pytest.fixture
def metadata(place: Place) -> Iterator[Metadata]:
    metadata = Metadata.open(place)
    yield metadata
    metadata.close()
