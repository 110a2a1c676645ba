"""The times of a file: how they are written, the day that they count from, and the interval of bars."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa

from tidemill.errors import TidemillError
from tidemill.importer import cell, instant
from tidemill.importer.draft import Draft
from tidemill.model.interval import DAY, SECOND, STORED

_NAME_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01]))(?!\d)")


def time(draft: Draft, where: str) -> None:
    """Finds how times are written, and where the day stands that times of day count from."""
    column = draft.parts["fields"].get("time")
    if column is None:
        return
    cells = draft.sample.columns[column]
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        draft.parts["time"] = "epoch_ns"
        if pa.types.is_timestamp(kind) and kind.tz is None:
            draft.notes.append("times name no zone: taken as UTC")
        return
    form = draft.parts.get("time")
    if form and (form.endswith("_of_day") or form in instant.DATES):
        _day(draft, where)
        return
    texts = cell.texts(cells)
    form = form or None
    numeric = [text for text in texts if re.fullmatch(r"-?\d+(\.\d*)?", text)]
    mostly = bool(texts) and len(numeric) >= cell.MOST * len(texts)
    if mostly and "clock" not in draft.parts["fields"]:
        seen = {instant.of_magnitude(int(float(text))) for text in numeric}
        seen.discard(None)
        if len(seen) == 1:
            # The file's own numbers say it: Binance went over from milliseconds to microseconds.
            draft.parts["time"] = seen.pop()
            return
    found = cell.date_form(texts)
    if found is None and mostly:
        draft.parts["time"], draft.parts["date"] = "ms_of_day", "name"
        draft.notes.append("times are numbers of a day: taken as milliseconds since midnight")
        draft.confidence -= 0.2
        _day(draft, where)
        return
    if found is None:
        draft.parts["time"] = form or "YYYY-MM-DD"
        if form is None:
            draft.open.append("time")
            draft.notes.append(f"times are written in no known way: {', '.join(texts[:3])[:120]}")
        return
    draft.parts["time"] = found
    if found == "DD/MM/YYYY" and cell.date_form(texts, ("MM/DD/YYYY",)):
        draft.open.append("time")
        draft.notes.append("dates may be DD/MM/YYYY or MM/DD/YYYY: say which")
    if not any(re.search(r"(Z|UTC|GMT|[+-]\d{2}:?\d{2})$", text) for text in texts[:50]) and (
        "zone" not in draft.parts
    ):
        draft.notes.append("times name no zone: taken as UTC")


def _day(draft: Draft, where: str) -> None:
    if draft.parts.get("date") == "name" and date_in(where) is None:
        draft.open.append("date")
        draft.notes.append("times count from midnight, and no date is in the file's name")


def interval(draft: Draft) -> None:
    """Finds the interval of bars: as the layout, a column or the distance of the rows says."""
    if draft.parts.get("kind") != "bars" or not draft.parts["fields"]:
        return
    said = draft.parts.get("interval")
    if not said and "interval" in draft.sample.columns and len(draft.sample):
        said = cell.example(draft.sample.columns["interval"])
    if not said:
        said = _spacing(draft)
    if not said:
        draft.open.append("interval")
        draft.notes.append("the interval of the bars is not clear from their times")
        return
    draft.parts["interval"] = said
    if said not in STORED:
        draft.open.append("interval")
        draft.notes.append(
            f"bars of {said} are not stored: import {', '.join(STORED)}, and {said} is merged from it"
        )


def _spacing(draft: Draft) -> str | None:
    """The interval that most rows lie apart."""
    roles = draft.parts["fields"]
    columns = [draft.sample.columns[roles[role]] for role in ("time", "clock") if role in roles]
    try:
        at, bad = instant.read(columns, draft.parts["time"], draft.parts.get("zone", "UTC"), 0)
    except TidemillError:
        return None
    at = np.unique(at[~bad])
    if len(at) < 2:
        return None
    steps = Counter(np.diff(at).tolist())
    step = steps.most_common(1)[0][0]
    # Days of an exchange are 24 hours apart, or 23 and 25 where clocks change.
    if step in (23 * 3600 * SECOND, 25 * 3600 * SECOND):
        step = DAY
    for unit, letter in ((DAY, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s")):
        if step % unit == 0:
            return f"{step // unit}{letter}"
    return None


def date_in(where: str) -> int | None:
    """Midnight, ns as if UTC, of the last date in a file's name; None where it has none."""
    found = _NAME_DATE.findall(where)
    return instant.day_of(found[-1]) if found else None
