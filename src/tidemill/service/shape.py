"""The shapes a series can have, and how much of it one answer may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Query

from tidemill.service.instant import TimeFormat

Hours = Literal["regular", "extended"]
Adjusted = Literal["raw", "none", "split", "all"]
Adjusting = tuple[Adjusted, int | None] | tuple[()]
Format = Literal["columns", "rows", "arrow", "csv", "parquet"]
ARROW, CSV, PARQUET = "application/vnd.apache.arrow.stream", "text/csv", "application/vnd.apache.parquet"
MEDIA = {"arrow": ARROW, "csv": CSV, "parquet": PARQUET}
BARS_MAX = 500_000
TICKS_MAX = 100_000

As = Annotated[Format, Query(alias="format", description="shape of the answer")]
AdjustedBy = Annotated[
    Adjusted,
    Query(description="prices in today's shares: split, or all, with dividends too; none is raw, as printed"),
]
KnownAt = Annotated[
    str | None, Query(max_length=64, description="adjusted with the facts known then; all when left out")
]


@dataclass(frozen=True)
class Asked:
    """What every series route is asked. Times in ns UTC."""

    symbol: str
    start: int | None
    end: int | None
    limit: int
    cursor: str | None
    format: Format
    time: TimeFormat
    zone: str | None = None
    """IANA zone whose days bars are cut by; UTC where neither this nor `calendar` is given."""
    calendar: str | None = None
    """Exchange whose sessions bars are cut by."""
    hours: Hours = "regular"
    adjusted: Adjusted = "raw"
    known: int | None = None
    """With the facts known by then, ns; None: with all."""

    @property
    def adjusting(self) -> Adjusting:
        """How prices are adjusted, and with the facts of when; empty for raw ones."""
        return () if self.adjusted in ("raw", "none") else (self.adjusted, self.known)

    @property
    def by(self) -> dict[str, Any]:
        """How bars are cut, as `LiveView.bars` takes it; empty for UTC around the clock."""
        if self.zone is None and self.calendar is None:
            return {}
        return {"zone": self.zone, "calendar": self.calendar, "hours": self.hours}
