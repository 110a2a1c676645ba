"""How much of what there was a dataset has: a stock cannot miss its nights and weekends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stores.make import NAMES, START, trades
from tests.stores.test_live import World
from tidemill.model.gap import Gap
from tidemill.model.interval import DAY, HOUR, MINUTE
from tidemill.model.time import parse
from tidemill.stores.completeness import by_day, lost, runs
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView

STOCK, PAIR = "AAPL.acme", "BTC-USD.acme"
MONDAY = parse("2026-06-01")
SESSION = 6 * HOUR + 30 * MINUTE


def gap(start: int, end: int | None, **rest: Any) -> Gap:
    return Gap("acme", None, "trades", "disconnect", 1, 1, start, end, start, end, -1, **rest)


def days_of(*numbers: int) -> tuple[tuple[int, int], ...]:
    return runs({MONDAY // DAY + number for number in numbers})


def test_a_stock_misses_no_night_and_no_weekend() -> None:
    two_weeks = (MONDAY, MONDAY + 12 * DAY)
    assert lost(STOCK, *two_weeks, days_of(0, 1, 2, 3, 4, 7, 8, 9, 10, 11), []) == (0, 10 * SESSION)
    night = gap(MONDAY + 21 * HOUR, MONDAY + DAY + 13 * HOUR)
    weekend = gap(MONDAY + 5 * DAY, MONDAY + 7 * DAY)
    assert lost(STOCK, *two_weeks, None, [night, weekend])[0] == 0
    # A Wednesday without rows, and an hour from the opening (13:30 UTC) of a Thursday.
    opening = gap(MONDAY + 3 * DAY + 13 * HOUR, MONDAY + 3 * DAY + 14 * HOUR + 30 * MINUTE)
    held = days_of(0, 1, 3, 4, 7, 8, 9, 10, 11)
    assert lost(STOCK, *two_weeks, held, [opening])[0] == SESSION + HOUR


def test_a_holiday_is_no_loss_and_half_a_day_is_half_one() -> None:
    thursday = parse("2026-11-26")  # Thanksgiving; the Friday after it ends at 13:00
    held = runs({thursday // DAY - 1, thursday // DAY + 4})
    whole = lost(STOCK, thursday - DAY, thursday + 4 * DAY + 21 * HOUR, held, [])
    assert whole == (3 * HOUR + 30 * MINUTE, 2 * SESSION + 3 * HOUR + 30 * MINUTE)


def test_a_pair_misses_every_hour() -> None:
    span = (MONDAY + 6 * HOUR, MONDAY + 4 * DAY + 6 * HOUR)
    assert lost(PAIR, *span, days_of(0, 1, 2, 3, 4), []) == (0, 4 * DAY)
    assert lost(PAIR, *span, days_of(0, 1, 3, 4), []) == (DAY, 4 * DAY)
    weekend = gap(MONDAY + 3 * DAY + 12 * HOUR, None)
    assert lost(PAIR, *span, days_of(0, 1, 2, 3, 4), [weekend])[0] == 18 * HOUR
    assert lost(PAIR, *span, None, [])[0] == 0
    assert lost(PAIR, MONDAY, MONDAY + 1, days_of(0), []) == (0, 1)


@given(
    st.lists(st.tuples(st.integers(-30, 200), st.integers(0, 60)), max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_it_is_what_counting_hours_says(gaps: list[tuple[int, int]], held: set[int]) -> None:
    """Against the plain definition, an hour at a time."""
    start, end = MONDAY + 3 * HOUR, MONDAY + 5 * DAY + 9 * HOUR
    spans = [(MONDAY + low * HOUR, MONDAY + (low + length) * HOUR) for low, length in gaps]
    missing = 0
    for at in range(start, end, HOUR):
        within = any(low <= at < high for low, high in spans)
        missing += HOUR * (within or (at - MONDAY) // DAY not in held)
    found = lost(PAIR, start, end, days_of(*held), [gap(low, high) for low, high in spans])
    assert found == (missing, end - start)


def minutes(home: Path, name: str, day: int, chunk: str) -> None:
    starts = MONDAY + day * DAY + 13 * HOUR + 30 * MINUTE + np.arange(390) * MINUTE
    price = np.full(390, 100)
    columns = {
        "start": starts, "open": price, "high": price, "low": price, "close": price,
        "volume": price, "trades": np.ones(390, np.int64), "price_scale": 1, "size_scale": 0,
    }  # fmt: skip
    Lake(home / "lake").import_bars(name, "1m", columns, source="test", chunk=chunk, ts_recv=MONDAY)


def test_the_catalogue_says_it(tmp_path: Path) -> None:
    for name, days in ((STOCK, (0, 1, 2, 3, 4, 7)), (PAIR, (0, 1, 2, 3, 4, 7)), ("MSFT.acme", (0, 1, 3))):
        for day in days:
            minutes(tmp_path, name, day, f"{day}")
    with_gaps = {row["instrument"]: row for row in LiveView(tmp_path, follow=False).datasets()}
    assert (with_gaps[STOCK]["complete"], with_gaps[STOCK]["completeness"]) == (True, 1.0)
    assert (with_gaps["MSFT.acme"]["complete"], with_gaps["MSFT.acme"]["completeness"]) == (False, 0.75)
    # Of a pair the days between count: Saturday and Sunday are missing. (Its first bar of a day begins at
    # midnight, its last row is of Monday's.)
    pair = with_gaps[PAIR]
    assert not pair["complete"]
    assert pair["completeness"] == pytest.approx(1 - 2 * DAY / (pair["end"] + 1 - pair["start"]), abs=1e-6)


def test_what_was_collected_live_has_quiet_days(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(trades(100, seed=1))
    world.write(trades(100, start=START + 3 * DAY, first_id=5_000, seed=2))
    world.record()
    view = LiveView(tmp_path, follow=False)
    found = {row["id"]: row for row in view.datasets()}[f"{NAMES[0]}:trades"]
    assert found["end"] - found["start"] > 2 * DAY
    assert (found["complete"], found["completeness"]) == (True, 1.0)
    world.journal.close()


def test_runs_of_days() -> None:
    assert runs(set()) == ()
    assert runs({5, 3, 4, 9, 11, 10}) == ((3, 5), (9, 11))


def test_each_day_says_what_it_lacks() -> None:
    span = (MONDAY + 6 * HOUR, MONDAY + 4 * DAY + 6 * HOUR)
    hole = gap(MONDAY + 2 * DAY + 23 * HOUR, MONDAY + 3 * DAY + 2 * HOUR)
    missing, opened = by_day(PAIR, *span, days_of(0, 2, 3, 4), [hole])
    assert missing.tolist() == [0, DAY, HOUR, 2 * HOUR, 0]
    assert opened.tolist() == [18 * HOUR, DAY, DAY, DAY, 6 * HOUR]
    missing, opened = by_day(STOCK, MONDAY, MONDAY + 7 * DAY, days_of(0, 1, 2, 3), [])
    assert missing.tolist() == [0, 0, 0, 0, SESSION, 0, 0]
    assert opened.tolist() == [SESSION] * 5 + [0, 0]


@given(
    st.integers(0, 5 * DAY), st.integers(1, 9 * DAY), st.lists(st.integers(0, 12), max_size=9),
    st.lists(st.tuples(st.integers(0, 10 * DAY), st.integers(1, 3 * DAY)), max_size=4),
    st.sampled_from([STOCK, PAIR]),
)  # fmt: skip
def test_days_add_up_to_the_whole(
    start: int, length: int, held: list[int], holes: list[tuple[int, int]], name: str
) -> None:
    span = (MONDAY + start, MONDAY + start + length)
    gaps = [gap(MONDAY + at, MONDAY + at + long) for at, long in holes]
    missing, opened = by_day(name, *span, days_of(*held), gaps)
    assert len(missing) == len(opened) == (span[1] - 1) // DAY - span[0] // DAY + 1
    assert (missing >= 0).all()
    assert (missing <= opened).all()
    assert (int(missing.sum()), int(opened.sum())) == lost(name, *span, days_of(*held), gaps)
