"""Times as they come and go: ISO 8601 or epoch numbers in, nanoseconds as text or ISO 8601 out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from fastapi import Query

from tidemill.errors import UsageError
from tidemill.model import time

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
        return time.parse(_BLANK_ZONE.sub("+", text.strip()) if text.count(":") > 1 else text)
    except UsageError as error:
        raise UsageError(error.code, f"{name}={error.message}", hint=error.hint) from None


def span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """Both ends of a range. Raises `UsageError` when it ends before it begins."""
    return time.in_order(parse(start, "start"), parse(end, "end"))


def show(nanoseconds: int | None, as_: TimeFormat = "ns") -> str | None:
    """A time as it leaves; None stays None."""
    if nanoseconds is None:
        return None
    return time.iso(int(nanoseconds)) if as_ == "iso" else str(int(nanoseconds))
