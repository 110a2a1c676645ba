"""The beginning of a file of text: its encoding, how its lines are cut, and its first rows."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tidemill.importer import bound, cell, lines
from tidemill.importer.lines import Dialect
from tidemill.importer.raw import Raw
from tidemill.importer.source import Source

SAMPLE_LINES: Final = 2_000


def read(source: Source) -> tuple[Dialect, tuple[str, ...], Raw]:
    """How the file's lines are cut, the names of its columns ("1", "2", … where it has none), and its first
    rows. Raises `ResourceError` for too long lines or too many columns, and as `bound.unreadable` does."""
    head = source.head()
    encoding = _encoding(head, whole=len(head) < 1 << 20)
    body = head.decode(encoding, "replace").removeprefix("\ufeff")
    every = body.split("\n")
    if max(map(len, every)) > bound.LINE_BYTES_MAX:
        raise bound.refused(source.label, f"a line has more than {bound.LINE_BYTES_MAX:,} bytes")
    if len(every) > 1 and len(head) >= 1 << 20:
        every.pop()  # cut in the middle
    every = [line.removesuffix("\r") for line in every][: SAMPLE_LINES + 100]
    skip = 0
    while skip < min(len(every) - 1, 100) and (not every[skip].strip() or every[skip].startswith("#")):
        skip += 1
    rows = [line for line in every[skip:] if line.strip()][:SAMPLE_LINES]
    if not rows:
        raise bound.unreadable(source.label, "it has no lines")
    if rows[0].lstrip().startswith("{"):
        dialect = Dialect("jsonl", header=False, encoding=encoding, skip=skip)
        first = lines.parsed(rows[0])
        if isinstance(first, str):
            raise bound.unreadable(source.label, f"its first line is {first}")
        names = _unique([str(name) for name in first])
    elif rows[0].lstrip().startswith("["):
        raise bound.unreadable(source.label, "it is one JSON array: write a line for each row")
    else:
        delimiter = _delimiter(rows)
        dialect = Dialect(delimiter=delimiter, encoding=encoding, skip=skip)
        first_row = lines.split(rows[0], dialect) or [rows[0]]
        header = _is_header(first_row)
        names = _unique([text.strip() for text in first_row]) if header else _numbered(len(first_row))
        dialect = replace(dialect, header=header)
        if delimiter in ";\t| " and _comma_point(rows[int(header) :], dialect):
            dialect = replace(dialect, point=",")
    if len(names) > bound.COLUMNS_MAX:
        raise bound.refused(source.label, f"it has {len(names):,} columns; {bound.COLUMNS_MAX:,} may be")
    data = rows[1:] if dialect.header else rows
    sample = lines.cut([row.encode() for row in data], skip + 1 + int(dialect.header), dialect, names, names)
    return dialect, names, sample


def _encoding(head: bytes, *, whole: bool) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        # A file with a few damaged lines is still UTF-8; one of another kind has them everywhere.
        rows = head.split(b"\n")[:2000]
        broken = sum(1 for row in rows if row != row.decode("utf-8", "ignore").encode())
        return "latin-1" if broken > len(rows) // 10 or broken == len(rows) else "utf-8"
    return "utf-8"


def _delimiter(rows: Sequence[str]) -> str:
    """The one that cuts most lines into the same number of cells, more than one."""
    best, chosen = (0.0, 0), ","
    for delimiter in lines.DELIMITERS:
        counts = Counter(len(lines.split(row, Dialect(delimiter=delimiter)) or ()) for row in rows[:200])
        cells, times = max(counts.items(), key=lambda one: (one[1], one[0]))
        score = (times / min(len(rows), 200), cells)
        # A space also lies between date and time: it is one only where nothing else is.
        if (
            cells > 1
            and (delimiter != " " or best[1] == 0)
            and score > (best[0] if best[0] < 0.9 else 0.9, best[1])
        ):
            best, chosen = score, delimiter
    return chosen


def _is_header(cells: Sequence[str]) -> bool:
    """Names, not values: no cell is a number or a time, and at least one has letters."""
    if any(cell.NUMBER.fullmatch(text.strip()) or cell.date_form([text]) for text in cells):
        return False
    return any(character.isalpha() for text in cells for character in text)


def _comma_point(rows: Sequence[str], dialect: Dialect) -> bool:
    cells = [text.strip() for row in rows[:200] for text in (lines.split(row, dialect) or ())]
    commas = sum(1 for text in cells if re.fullmatch(r"-?\d[\d.]*,\d+", text))
    return commas > 0 and not any(re.fullmatch(r"-?\d+\.\d+", text) for text in cells)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for at, name in enumerate(names, 1):
        name = name[:200] or str(at)
        found.append(name if name not in found else f"{name} ({at})")
    return tuple(found)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(at) for at in range(1, count + 1))
