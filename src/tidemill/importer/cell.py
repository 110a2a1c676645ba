"""What the cells of a column look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.importer import instant

MOST: Final = 0.9
"""So many of a column's cells say what it is; the others are rows to be put aside."""
NUMBER: Final = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")


def texts(column: pa.Array) -> list[str]:
    """Cells that are not empty, as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pc.utf8_trim_whitespace(column.cast(pa.string()).drop_null())
    return [one for one in text.to_pylist() if one]


def example(column: pa.Array) -> str:
    """The first cell that holds anything, cut to 100 characters."""
    some = next((one for one in column if one.is_valid), None)
    return str(some.as_py())[:100] if some is not None else ""


def type_of(column: pa.Array) -> str:
    """number, time or text; of a typed column its own type."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return "text" if pa.types.is_dictionary(column.type) else str(column.type)
    some = texts(column)[:500]
    if some and all(NUMBER.fullmatch(text) for text in some):
        return "number"
    return "time" if date_form(some) else "text"


def date_form(texts: Sequence[str], forms: Sequence[str] = tuple(instant.DATES)) -> str | None:
    """How these dates are written, where all of them are written so and are dates."""
    some = [text.strip() for text in texts[:500] if text.strip()]
    for form in forms if some else ():
        if form == "YYYYMMDD" and any(len(text) < 8 or not text[:8].isdigit() for text in some):
            continue
        shape = re.compile(instant.pattern(form))
        matches = [one for one in map(shape.match, some) if one]
        # A line that is damaged says nothing of the others; a 13th month says that it is none.
        if len(matches) >= MOST * len(some) and all(
            1 <= int(one["mo"]) <= 12 and 1 <= int(one["d"]) <= 31 and 1710 <= int(one["y"]) <= 2230
            for one in matches
        ):
            return form
    return None
