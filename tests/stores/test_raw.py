"""Stored bars of whole days in memory: the same as from the store, whatever comes in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stores.make import NAMES, SECOND, START, trades
from tests.stores.test_live import World
from tidemill.model.interval import DAY, MINUTE
from tidemill.stores import series
from tidemill.stores.api import Query
from tidemill.stores.lake import Lake
from tidemill.stores.raw import Raw


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("raw"))
    world.write(trades(3_000, step=40 * SECOND))  # a day and a half
    world.record()
    yield world
    world.journal.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(-3_000, 3_000), st.integers(1, 4_000), st.sampled_from([None, 1, 7, 500]), st.booleans(),
    st.integers(0, 3),
)  # fmt: skip
def test_any_span_is_as_the_store_has_it(
    world: World, at: int, length: int, limit: int | None, oldest: bool, index: int
) -> None:
    lake, raw = Lake(world.home / "lake"), Raw()
    low = START + at * MINUTE
    query = Query(start=low, end=low + length * MINUTE, limit=limit, oldest=oldest)
    expected = series.stored(lake, NAMES[0], index, query)
    for _ in range(2):
        found = raw.stored(lake, NAMES[0], index, query)
        np.testing.assert_array_equal(found.bars, expected.bars)
        np.testing.assert_array_equal(found.mixed, expected.mixed)
        np.testing.assert_array_equal(found.imported, expected.imported)


def test_other_requests_of_the_same_days_touch_no_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, raw = Lake(world.home / "lake"), Raw()
    reads: list[Query] = []
    real = lake.read
    monkeypatch.setattr(lake, "read", lambda table, query: reads.append(query) or real(table, query))
    day = START // DAY * DAY
    for low, high in ((0, 90), (5, 20), (30, 31), (0, 1_440)):
        raw.stored(lake, NAMES[0], 1, Query(start=day + low * MINUTE, end=day + high * MINUTE, limit=50))
    assert len(reads) == 1
    assert (raw.hits, raw.misses) == (3, 1)
    raw.stored(lake, NAMES[0], 1, Query(start=day, end=day + 100 * DAY))
    assert len(reads) == 2  # too long to be kept
    small = Raw(bytes_max=1)
    small.stored(lake, NAMES[0], 1, Query(start=day, end=day + DAY))
    assert small._bytes == 0


def test_what_comes_in_is_there_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    lake, raw = Lake(world.home / "lake"), Raw()
    day = START // DAY * DAY
    query = Query(start=day, end=day + DAY)
    counts = []
    for at in range(3):
        world.write(trades(600, start=START + at * 100 * SECOND, first_id=1 + at * 1_000, seed=at))
        world.record()
        found = raw.stored(lake, NAMES[0], 1, query).bars
        np.testing.assert_array_equal(found, series.stored(lake, NAMES[0], 1, query).bars)
        counts.append(len(found))
    assert counts == sorted(set(counts))
    world.journal.close()
