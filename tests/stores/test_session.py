"""Bars by a calendar: the same however they are paged, and none of a night or a weekend."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.home import Home
from tidemill.model import calendar
from tidemill.model.bar import BAR, Bars, volumes
from tidemill.model.calendar import Calendar
from tidemill.model.interval import DAY, MINUTE, SECOND, STORED, Interval
from tidemill.stores import series
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView
from tidemill.stores.session import ByCalendar

FROM = int(datetime(2026, 3, 5, tzinfo=UTC).timestamp()) * SECOND
DAYS = 8
"""A weekend among them, and on its Sunday clocks are changed in New York."""
NAME = "AAPL.polygon"


def minutes(count: int = DAYS * 1_440, step: int = 1) -> Bars:
    dice = np.random.default_rng(3)
    bars = np.zeros(count, BAR)
    bars["start"] = FROM + np.arange(count) * step * MINUTE
    bars["end"] = bars["start"] + MINUTE
    bars["close"] = 1_000 + np.cumsum(dice.integers(-3, 4, count))
    bars["open"] = bars["close"] - 1
    bars["high"], bars["low"] = bars["close"] + 2, bars["open"] - 2
    bars["volume_low"] = dice.integers(1, 100, count).astype(np.uint64)
    bars["trades"] = 1
    return bars


MINUTES = minutes()


def reader(rows: Bars):  # type: ignore[no-untyped-def]
    """Stored bars of any stored interval, as a live view gives them."""
    held = {"1m": rows, "1h": series.merge(rows, Interval.parse("1h")), "1s": rows, "1d": rows[:0]}

    def read(text: str, low: int | None, high: int | None, count: int) -> Bars:
        found = held[text]
        if low is not None:
            found = found[found["start"] >= low]
        if high is not None:
            found = found[found["start"] < high]
        return found[:count] if low is not None else found[-count:]

    return read


def naive(rows: Bars, by: Calendar, unit: str) -> list[tuple[int, ...]]:
    """Each row into the bar that it lies in, one by one."""
    bounds = by.boundaries(FROM - 9 * DAY, FROM + (DAYS + 9) * DAY, unit)
    made: dict[int, list[int]] = {}
    for row, volume in zip(rows, volumes(rows), strict=True):
        ts = int(row["start"])
        part = int(np.searchsorted(bounds.open, ts, "right")) - 1
        if part < 0 or ts >= bounds.shut[part]:
            continue
        bar = int(np.searchsorted(bounds.starts, ts, "right")) - 1
        assert bounds.starts[bar] <= ts < bounds.ends[bar]
        o, h, low, c = (int(row[name]) for name in ("open", "high", "low", "close"))
        was = made.setdefault(int(bounds.starts[bar]), [int(bounds.ends[bar]), o, h, low, c, 0, 0])
        was[2], was[3], was[4] = max(was[2], h), min(was[3], low), c
        was[5], was[6] = was[5] + volume, was[6] + 1
    return [(start, *rest) for start, rest in sorted(made.items())]


def shown(bars: Bars) -> list[tuple[int, ...]]:
    names = ("start", "end", "open", "high", "low", "close")
    return [
        (*(int(row[name]) for name in names), volume, int(row["trades"]))
        for row, volume in zip(bars, volumes(bars), strict=True)
    ]


PLACES = [
    {"zone": "America/New_York"},
    {"zone": "Asia/Kathmandu"},
    {"calendar": "XNYS"},
    {"calendar": "XHKG"},
]


@pytest.mark.parametrize("place", PLACES, ids=str)
@settings(max_examples=15, deadline=None)
@given(
    unit=st.sampled_from(["1d", "1w", "2d", "1mo", "1h", "4h", "7m", "45m"]),
    limit=st.integers(1, 400),
    start=st.none() | st.integers(-DAY // MINUTE, DAYS * 1_440),
    end=st.none() | st.integers(0, DAYS * 1_440 + 600),
    kept=st.sampled_from([1, 7, 331]),
)
def test_pages_are_the_bars_of_all_rows(
    place: dict[str, str], unit: str, limit: int, start: int | None, end: int | None, kept: int
) -> None:
    by = calendar.of(place.get("zone"), place.get("calendar"))
    assert by is not None
    rows = MINUTES[::kept]
    low = None if start is None else FROM + start * MINUTE
    high = None if end is None else FROM + end * MINUTE
    cut = ByCalendar(by, Interval.parse(unit))
    found = shown(cut.bars(reader(rows), low, high, limit, FROM))
    expected = [bar for bar in naive(rows, by, unit) if (low is None or bar[0] >= low)]
    expected = [bar for bar in expected if high is None or bar[0] < high]
    if low is not None:
        assert found[:limit] == expected[:limit]
    else:
        assert found[-limit:] == expected[-limit:]
    # One more tells that there are more.
    assert (len(found) > limit) == (len(expected) > limit)
    assert cut.base in STORED


def test_a_night_longer_than_a_page_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.stores.session.CHUNK", 50)
    by = calendar.of(None, "XNYS")
    assert by is not None
    for start in (None, FROM):
        found = ByCalendar(by, Interval.parse("1d")).bars(reader(MINUTES), start, None, 5, FROM)
        assert (
            shown(found)[-5 if start is None else 0 :][:5]
            == naive(MINUTES, by, "1d")[:6][-5 if start is None else 0 :][:5]
        )


def test_both_kernels_cut_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    by = calendar.of(None, "XHKG")
    assert by is not None
    native = ByCalendar(by, Interval.parse("1d")).bars(reader(MINUTES), None, None, 100, FROM)
    monkeypatch.setenv("TIDEMILL_BAR_KERNEL", "numba")
    assert (ByCalendar(by, Interval.parse("1d")).bars(reader(MINUTES), None, None, 100, FROM) == native).all()


def test_a_live_view_cuts_by_zone_and_calendar(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    columns = {
        name: MINUTES[name].astype(np.int64) for name in ("start", "open", "high", "low", "close", "trades")
    }
    columns["volume"] = MINUTES["volume_low"].astype(np.int64)
    Lake(home.lake).import_bars(
        NAME, "1m", {**columns, "price_scale": 2, "size_scale": 0}, source="polygon", chunk="1", ts_recv=FROM
    )
    view = LiveView(home.path, follow=False)
    try:
        days = view.bars(NAME, "1d", zone="America/New_York", limit=4)
        assert shown(days.bars) == naive(MINUTES, calendar.of_zone("America/New_York"), "1d")[-4:]
        assert days.more
        lengths = (
            (
                view.bars(NAME, "1d", zone="America/New_York").bars["end"]
                - view.bars(NAME, "1d", zone="America/New_York").bars["start"]
            )
            // (60 * MINUTE)
        ).tolist()
        assert 23 in lengths
        weeks = view.bars(NAME, "1w", calendar="XNYS")
        assert shown(weeks.bars) == naive(MINUTES, calendar.of_exchange("XNYS"), "1w")
        early = view.bars(NAME, "1d", calendar="XNYS", hours="extended")
        assert shown(early.bars) == naive(MINUTES, calendar.of_exchange("XNYS", "extended"), "1d")
        assert (view.bars(NAME, "1d", calendar="24/7").bars == view.bars(NAME, "1d").bars).all()
        with pytest.raises(UsageError, match="XNYS"):
            view.bars(NAME, "1d", calendar="XNYX")
        with pytest.raises(UsageError, match="America/New_York"):
            view.bars(NAME, "1d", zone="America/New_Yrok")
    finally:
        view.close()


def test_newest_bars_that_are_kept_are_read_again_after_an_import(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    lake = Lake(home.lake)
    names = ("start", "open", "high", "low", "close", "trades")

    def keep(rows: Bars, chunk: str) -> None:
        columns = {name: rows[name].astype(np.int64) for name in names}
        columns |= {"volume": rows["volume_low"].astype(np.int64), "price_scale": 2, "size_scale": 0}
        lake.import_bars(NAME, "1m", columns, source="polygon", chunk=chunk, ts_recv=FROM)

    keep(MINUTES[:100], "1")
    view = LiveView(home.path, follow=False)
    try:
        for _ in range(2):
            assert shown(view.bars(NAME, "1m", limit=10).bars) == shown(MINUTES[90:100])
        keep(MINUTES[100:200], "2")
        assert shown(view.bars(NAME, "1m", limit=10).bars) == shown(MINUTES[190:200])
        assert shown(view.bars(NAME, "1m", limit=200).bars) == shown(MINUTES[:200])
    finally:
        view.close()
