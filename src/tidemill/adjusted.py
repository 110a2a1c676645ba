"""Bars as they would look in today's shares: the raw ones that are stored, adjusted while they are read."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill import wire
from tidemill.errors import UsageError
from tidemill.model import adjust
from tidemill.model.adjust import Adjusted, Step
from tidemill.model.bar import Bars, volumes
from tidemill.model.fact import Fact
from tidemill.model.interval import DAY, Interval

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView

PLACES = 6
"""Decimals that exact adjusted numbers have beyond the raw ones; the last is rounded half to even."""
_SCALE_MAX = 18
_DAYS_MAX = 40_000
"""A century and more."""


def facts(home: Path, instrument: str) -> list[Fact]:
    """All that is known of an instrument; nothing where the home has no database yet."""
    from tidemill.home import Home
    from tidemill.metadata import Metadata, database, fact

    place = database.place(Home(home))
    if (version := database.version(place)) is None or version < "0004":
        return []
    metadata = Metadata(place)
    try:
        with metadata.read() as connection:
            return fact.every(connection, instrument)
    finally:
        metadata.close()


def steps(
    view: LiveView,
    instrument: str,
    interval: str,
    adjusted: Adjusted,
    known_at: int | None = None,
    told: Sequence[Fact] | None = None,
) -> list[Step]:
    """What changes the prices of a series, with the facts known at a time (ns UTC; None: all); `told` are all
    facts of the instrument, read from the home where they are left out.

    Raises `UsageError` for bars longer than a day: in one that holds an ex-date are prices of two kinds.
    """
    parsed = Interval.parse(interval)
    if adjusted != "raw" and (parsed.months or parsed.length_ns > DAY):
        raise UsageError(
            "adjusted_interval",
            f"adjusted bars of {interval} were asked for",
            hint="ask for 1d, and merge those",
        )

    @functools.cache
    def days() -> Bars:  # once for all dividends
        return view.bars(instrument, "1d", limit=_DAYS_MAX).bars

    def close_before(starts: int) -> Fraction | None:
        at = int(np.searchsorted(days()["start"], starts)) - 1
        return Fraction(int(days()["close"][at]), 10 ** int(days()["price_scale"][at])) if at >= 0 else None

    return adjust.steps(
        facts(view.home, instrument) if told is None else told,
        adjusted,
        at=known_at,
        days=parsed.length_ns == DAY,
        close_before=close_before,
    )


def floats(columns: dict[str, Any], starts: np.ndarray, found: Sequence[Step]) -> None:
    """Adjusts columns of floats in place."""
    price, volume = adjust.arrays(starts, found)
    for name in ("open", "high", "low", "close"):
        columns[name] = np.asarray(columns[name]) * price
    columns["volume"] = np.asarray(columns["volume"]) * volume


def exact(bars: Bars, found: Sequence[Step]) -> dict[str, tuple[list[int], list[int]]]:
    """Adjusted columns as mantissas and their scales; rows that no fact changes keep their digits."""
    columns: dict[str, tuple[list[int], list[int]]] = {}
    held = volumes(bars)
    for name in ("open", "high", "low", "close", "volume"):
        mantissas = list(held) if name == "volume" else bars[name].tolist()
        scales: list[int] = bars["size_scale" if name == "volume" else "price_scale"].tolist()
        for rows, by_price, by_volume in adjust.factors(bars["start"], found):
            factor = by_volume if name == "volume" else by_price
            if factor == 1:
                continue
            for at in range(rows.start, rows.stop):
                more = min(PLACES, _SCALE_MAX - scales[at])
                mantissas[at] = adjust.exact([mantissas[at]], factor, more)[0]
                scales[at] += more
        columns[name] = mantissas, scales
    return columns


def texts(bars: Bars, found: Sequence[Step]) -> dict[str, list[str]]:
    """Adjusted columns as decimal text."""
    return {
        name: [wire.text(mantissa, scale) for mantissa, scale in zip(*column, strict=True)]
        for name, column in exact(bars, found).items()
    }
