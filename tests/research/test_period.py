"""Days at whose end equity is taken: midnights, and closes of an exchange."""

from __future__ import annotations

import numpy as np
import pytest

from tests.research import hand
from tidemill.errors import UsageError
from tidemill.model import time as times
from tidemill.research import period

DAY = period.DAY_NS


def at(text: str) -> int:
    return times.parse(text)


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (["BTC-USD.kraken"], "24/7"),
        (["AAPL.polygon"], "XNYS"),
        (["AAPL.polygon", "BTC-USD.kraken"], "24/7"),
        (["BRK.B.polygon"], "XNYS"),
        (["BTC-USD.sim-kraken"], "24/7"),
        (["AAPL.sim-polygon"], "XNYS"),
        ([], "24/7"),
    ],
)
def test_pairs_trade_around_the_clock(names: list[str], place: str) -> None:
    assert period.calendar_of(names) == place


def test_a_bar_that_ends_at_midnight_belongs_to_the_day_that_ends() -> None:
    midnight = at("2024-01-02")
    found = period.of(np.array([midnight, midnight + 1, midnight + DAY]))
    assert found.ends.tolist() == [midnight, midnight + DAY]
    assert found.rows(np.array([midnight, midnight + 1, midnight + DAY])).tolist() == [0, 2]
    assert found.per_year == 365


def test_days_without_a_row_are_days_all_the_same() -> None:
    ts = np.array([at("2024-01-01T12:00Z"), at("2024-01-05T12:00Z")])
    found = period.of(ts)
    assert len(found) == 5
    curve = period.sampled(np.array([110.0, 121.0]), ts, found, 100.0)
    assert curve.tolist() == [100.0, 110.0, 110.0, 110.0, 110.0, 121.0]


def test_sessions_end_at_the_close_and_holidays_are_none() -> None:
    # From Friday 12 January to Tuesday 16th: Monday is Martin Luther King's day.
    ts = np.array([at("2024-01-12T15:00Z"), at("2024-01-12T22:30Z"), at("2024-01-16T14:31Z")])
    found = period.of(ts, "XNYS")
    assert found.ends.tolist() == [at("2024-01-12T21:00Z"), at("2024-01-16T21:00Z")]
    assert found.rows(ts).tolist() == [1, 2]
    assert found.per_year == 252


def test_a_daily_bar_of_a_stock_belongs_to_its_own_day() -> None:
    ts = np.array([at("2024-01-03"), at("2024-01-04")])  # the bars of the 2nd and of the 3rd
    found = period.of(ts, "XNYS")
    assert found.ends.tolist() == [at("2024-01-02T21:00Z"), at("2024-01-03T21:00Z")]
    assert found.rows(ts).tolist() == [0, 1]


def test_no_times_have_no_periods() -> None:
    assert len(period.of(np.empty(0, np.int64))) == 0
    with pytest.raises(UsageError):
        period.of(np.array([1]), "XXXX")


def test_what_is_bought_and_held_begins_at_its_first_open() -> None:
    track = hand.track(48)
    found = period.of(track.end)
    kept = period.held(track, found)
    close = track.series.columns["close"]
    first = track.series.columns["open"][0]
    assert kept.tolist() == [1.0, close[23] / first, close[47] / first]
