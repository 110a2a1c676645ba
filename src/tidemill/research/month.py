"""Returns of calendar months and years, in the time zone of the reader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from tidemill.errors import UsageError
from tidemill.research.returns import Array, checked


@dataclass(frozen=True)
class Month:
    """Its periods, compounded."""

    year: int
    month: int
    """1 to 12."""
    returned: float
    partial: bool
    """It has periods missing: the first or last month of a series that begins or ends within it."""


def months(returns: Array, ends: npt.ArrayLike, zone: str = "UTC", *, step: int) -> list[Month]:
    """Months that have a period, in order. `ends` is when each period ended (ns UTC, ascending), `step` how
    long one lasts: a period belongs to the month in which its last moment lies."""
    series, at = checked(returns), np.asarray(ends, np.int64)
    if len(at) != len(series) or (len(at) > 1 and (np.diff(at) <= 0).any()):
        raise UsageError(
            "returns_invalid",
            f"{len(series):,} returns with {len(at):,} times, which have to be as many, and ascend",
            hint="pass the end of each period",
        )
    place = ZoneInfo(zone)
    grouped: dict[tuple[int, int], list[float]] = {}
    for value, end in zip(series.tolist(), at.tolist(), strict=True):
        local = _local(end - 1, place)
        grouped.setdefault((local.year, local.month), []).append(1 + value)
    found = list(grouped)
    partial = set()
    if found:
        if _local(int(at[0]) - step - 1, place).month == found[0][1]:
            partial.add(found[0])
        if _local(int(at[-1]) + step - 1, place).month == found[-1][1]:
            partial.add(found[-1])
    return [
        Month(year, month, float(np.prod(grown) - 1), (year, month) in partial)
        for (year, month), grown in grouped.items()
    ]


def years(of_months: list[Month]) -> dict[int, float]:
    """Growth of each year, from its months."""
    grown: dict[int, float] = {}
    for one in of_months:
        grown[one.year] = grown.get(one.year, 1.0) * (1 + one.returned)
    return {year: value - 1 for year, value in grown.items()}


def _local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at // 10**9, UTC).astimezone(zone)
