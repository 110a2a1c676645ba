"""Times as they come and go: ISO 8601 or epoch numbers in, nanoseconds as text or ISO 8601 out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from fastapi import Query

from tidemill.errors import UsageError
from tidemill.model import time

# A little less than int64 nanoseconds reach, so that a day more or less does no harm.
_MIN, _MAX = -(2**63) + 10**18, 2**63 - 10**18
# A `+` that was not escaped arrives as a blank.
_BLANK_ZONE = re.compile(r"(?<=\d) (?=\d{2}:?\d{2}$)")

TimeFormat = Literal["ns", "iso"]
Start = Annotated[
    str | None,
    Query(
        max_length=64,
        description="from (inclusive): ISO 8601 (UTC unless it says otherwise) or epoch s, ms, us, ns",
    ),
]
End = Annotated[str | None, Query(max_length=64, description="to (exclusive): as start")]
As = Annotated[TimeFormat, Query(alias="time", description="times in the answer: ns as text, or ISO 8601")]


def parse(text: str | None, name: str) -> int | None:
    """Nanoseconds since the epoch of what a client sent as parameter `name`; None stays None.

    Raises `UsageError` for what is no time; see `model.time.parse`.
    """
    if text is None:
        return None
    try:
        nanoseconds = time.parse(_BLANK_ZONE.sub("+", text.strip()) if text.count(":") > 1 else text)
        if _MIN <= nanoseconds <= _MAX:
            return nanoseconds
    except UsageError:
        pass
    raise UsageError(
        "time_invalid",
        f"{name}={text[:64]!r} is not a time between the years 1710 and 2230",
        hint="send ISO 8601 (2026-11-01T00:00:00Z) or an epoch in s, ms, us or ns",
    )


def span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """Both ends of a range. Raises `UsageError` when it ends before it begins."""
    first, last = parse(start, "start"), parse(end, "end")
    if first is not None and last is not None and first > last:
        raise UsageError("range_reversed", f"start={start!r} is after end={end!r}", hint="swap start and end")
    return first, last


def show(nanoseconds: int | None, as_: TimeFormat = "ns") -> str | None:
    """A time as it leaves; None stays None."""
    if nanoseconds is None:
        return None
    return time.iso(int(nanoseconds)) if as_ == "iso" else str(int(nanoseconds))
