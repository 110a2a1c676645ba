"""Dated facts from files: LEAN's factor and map files, and CSV with the columns of a fact.

LEAN: https://github.com/QuantConnect/Lean/blob/master/Data/equity/readme.md. A row of a factor file holds up
to and including its date, a row of a map file names the symbol up to and including its date.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

from tidemill.errors import UsageError
from tidemill.importer import bound, recipe
from tidemill.importer.source import open_source
from tidemill.model import time as times
from tidemill.model.fact import Fact, fact

BYTES_MAX = 16 << 20
_COLUMNS = (
    "instrument",
    "kind",
    "date",
    "ratio",
    "amount",
    "factor",
    "currency",
    "symbol",
    "zone",
    "ts_known",
    "void",
)
_NEVER = date(2050, 1, 1)
_LEAN_ZONE = "America/New_York"


def read(path: Path, *, instrument: str | None = None, source: str | None = None) -> list[Fact]:
    """The facts of a file. `instrument` is needed where neither a column nor the file's name says it;
    `source` is who says so ("lean", "csv"). Raises `UsageError` naming the line that does not fit."""
    opened = open_source(path)
    if opened.shape != "text" or opened.size > BYTES_MAX:
        raise bound.unreadable(opened.label, "facts are CSV of at most 16 MiB")
    text = b"".join(opened.chunks()).decode("utf-8", "replace").removeprefix("\ufeff")
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows:
        raise bound.unreadable(opened.label, "it is empty")
    folded = [cell.strip().lower() for cell in rows[0]]
    if {"kind", "date"} <= set(folded):
        return _plain(opened.label, folded, rows[1:], instrument, source or "csv")
    known = instrument or _named(path)
    if len(rows[0]) == 4 and all(_day(row[0]) for row in rows):
        return _factors(opened.label, rows, known, source or "lean")
    if len(rows[0]) in (2, 3) and all(_day(row[0]) for row in rows):
        return _symbols(opened.label, rows, known, source or "lean")
    raise UsageError(
        "facts_unclear", f"{opened.label} is neither a factor file, a map file nor CSV with kind and date",
        hint=f"the columns are {', '.join(_COLUMNS)}",
    )  # fmt: skip


def _plain(
    label: str, names: list[str], rows: list[list[str]], instrument: str | None, source: str
) -> list[Fact]:
    found = []
    for line, row in enumerate(rows, 2):
        given = {
            name: cell.strip()
            for name, cell in zip(names, row, strict=False)
            if name in _COLUMNS and cell.strip()
        }
        try:
            void = given.pop("void", "").lower() in ("1", "true", "yes")
            moment = given.pop("ts_known", None)
            made = fact(
                source=source, void=void, ts_known=times.parse(moment) if moment else None,
                **{"instrument": instrument, **given},
            )  # fmt: skip
            if not made.instrument:
                raise UsageError("fact_invalid", "it names no instrument", hint="say it with --instrument")
        except UsageError as error:
            raise UsageError(
                "fact_invalid", f"{label} line {line}: {error.message}", hint=error.hint
            ) from error
        found.append(made)
    return found


def _named(path: Path) -> str:
    name = recipe.symbol_name(path.stem.upper(), pairs=False)
    if name is None:
        raise UsageError("fact_invalid", f"{path.name} names no instrument", hint="say it with --instrument")
    return f"{name}.lean"


def _day(text: str) -> date | None:
    if not re.fullmatch(r"\d{8}", text.strip()):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def _after(text: str) -> str:
    """The day after a row's date: the first that it does not hold for."""
    day = _day(text)
    assert day is not None  # noqa: S101 - looked at before
    return (day + timedelta(days=1)).isoformat()


def _factors(label: str, rows: list[list[str]], instrument: str, source: str) -> list[Fact]:
    found = []
    for line, (row, following) in enumerate(itertools.pairwise(rows), 1):
        try:
            (price, split), (price_after, split_after) = (
                (Fraction(one[1].strip()), Fraction(one[2].strip())) for one in (row, following)
            )
            if min(price, split, price_after, split_after) <= 0:
                raise ValueError("a factor is not above 0")
        except (ValueError, ZeroDivisionError, IndexError) as error:
            raise UsageError(
                "fact_invalid", f"{label} line {line}: {error}", hint="date,price,split,reference"
            ) from error
        given = {
            "instrument": instrument, "date": _after(row[0]), "source": source, "zone": _LEAN_ZONE
        }  # fmt: skip
        if split != split_after:
            found.append(fact(kind="split", ratio=_ratio(split_after / split), **given))
        if price != price_after:
            found.append(fact(kind="dividend", factor=f"{row[1].strip()}/{following[1].strip()}", **given))
    return found


def _ratio(ratio: Fraction) -> str:
    """The split that was meant: factors are written with six or seven digits, splits are of small numbers."""
    near = ratio.limit_denominator(100)
    if abs(near - ratio) > ratio / 100_000:
        near = ratio.limit_denominator(10**9)
    return f"{near.numerator}/{near.denominator}"


def _symbols(label: str, rows: list[list[str]], instrument: str, source: str) -> list[Fact]:
    found = []
    for row, following in itertools.pairwise(rows):
        symbol = following[1].strip().upper()
        if symbol != row[1].strip().upper():
            found.append(
                fact(
                    instrument=instrument, kind="symbol", date=_after(row[0]), symbol=symbol, source=source,
                    zone=_LEAN_ZONE,
                )
            )  # fmt: skip
    last = _day(rows[-1][0])
    if last is not None and last < _NEVER:
        found.append(
            fact(
                instrument=instrument,
                kind="delisting",
                date=_after(rows[-1][0]),
                source=source,
                zone=_LEAN_ZONE,
            )
        )
    return found
