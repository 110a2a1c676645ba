"""Histories for tests of engines: made up, and real ones where they are to be had."""

from __future__ import annotations

import datetime
import os
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tidemill.research.history import History, Terms, Track

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE
START = 1_700_000_040_000_000_000  # a full minute
LEAN = (
    Path(os.environ.get("TIDEMILL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "recorded" / "lean"
)


def track(
    terms: Terms,
    bars: list[tuple[int, int, int, int]],
    *,
    start: int = START,
    length: int = MINUTE,
    late: int = 0,
    starts: list[int] | None = None,
) -> Track:
    """Bars of open, high, low, close in mantissas, one after the other, each known `late` after its end."""
    begins = np.array(
        starts if starts is not None else [start + length * at for at in range(len(bars))], np.int64
    )
    columns = [np.array(column, np.int64) for column in zip(*bars, strict=True)]
    ends = begins + length
    return Track(terms, begins, ends, ends + late, *columns, volume=np.full(len(bars), 10.0))


def walk(
    seed: int, names: tuple[str, ...] = ("A",), count: int = 300, late: int = 0, grid: int = 1
) -> History:
    """A random walk of prices with two decimal places. Orders at multiples of 5 cents meet no high or low."""
    rng = np.random.default_rng(seed)
    tracks = {}
    for name in names:
        close = np.maximum(2000 + np.cumsum(rng.integers(-8, 9, count)), 200) * 5
        open_ = np.concatenate([close[:1], close[:-1]]) + rng.integers(-2, 3, count) * 5
        high = np.maximum(open_, close) + rng.integers(0, 9, count) * 5
        low = np.minimum(open_, close) - rng.integers(0, 9, count) * 5
        if grid == 1:
            high, low, close = high + 3, low - 3, close + 1
        bars = list(zip(*(one.tolist() for one in (open_, high, low, close)), strict=True))
        tracks[name] = track(Terms(name, 2, 3, grid, 10), bars, late=late)
    return History("1m", tracks)


def apart(history: History, by: int) -> History:
    """The same, the bars of each instrument begun and known `by` ns after those of the one before."""
    tracks = {
        name: replace(one, **{word: getattr(one, word) + at * by for word in ("start", "end", "known")})
        for at, (name, one) in enumerate(history.tracks.items())
    }
    return History(history.interval, tracks)


def real(*names: str, count: int = 600) -> History:
    """The newest daily bars of LEAN's samples. Skips where there are none."""
    tracks = {}
    for name in names:
        folder, price, size = (
            ("crypto/coinbase/daily", 2, 8) if name == "btcusd_trade" else ("equity/usa/daily", 4, 0)
        )
        path = LEAN / folder / f"{name}.zip"
        if not path.exists():
            pytest.skip(f"no {path}")
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
        starts, bars = [], []
        for line in text.splitlines()[-count:]:
            when, *prices, _ = line.split(",")
            day = datetime.datetime.strptime(when, "%Y%m%d %H:%M").replace(tzinfo=datetime.UTC)
            starts.append(int(day.timestamp()) * 1_000_000_000)
            scale = price if price == 2 else 0  # stocks come in ten-thousandths
            mantissas = [int(Decimal(one).scaleb(scale)) for one in prices]
            bars.append((mantissas[0], max(mantissas), min(mantissas), mantissas[3]))
        tick = 100 if price == 4 else 1
        terms = Terms(name, price, size, tick, 1 if size == 0 else 1000)
        tracks[name] = track(terms, bars, starts=starts, length=DAY)
    return History("1d", tracks)
