"""A file as pieces that are kept one by one: sorted, without doubles, cut where no bar is cut.

The same file and recipe give the same pieces whenever they are asked for; a job that goes on after a crash
counts on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tidemill.errors import UsageError
from tidemill.importer import bound, columnar, instant, lines, when
from tidemill.importer import rows as checked
from tidemill.importer.number import Mask
from tidemill.importer.quarantine import Quarantine
from tidemill.importer.raw import Bad, Raw
from tidemill.importer.recipe import Recipe
from tidemill.importer.rows import Rows
from tidemill.importer.source import Source
from tidemill.model.interval import DAY, HOUR, MINUTE, SECOND

PIECE_ROWS = 1 << 18
HELD_ROWS_MAX = 1 << 22
"""Rows of one instrument that are held at most, where none of them ends a minute."""


@dataclass(frozen=True)
class Piece:
    """Rows of one instrument, ascending by time."""

    instrument: str
    number: int
    """From 0, by instrument."""
    rows: Rows
    done: int
    """Bytes or rows of the file that have been read by now."""


@dataclass
class Count:
    """What has come of a file so far."""

    rows: int = 0
    skipped: int = 0
    """Rows of symbols that the recipe does not name."""
    instruments: dict[str, list[int]] = field(default_factory=dict)
    """Rows, first and last time (ns) of each."""

    def take(self, instrument: str, rows: Rows) -> None:
        self.rows += len(rows)
        first, last = int(rows.ts[0]), int(rows.ts[-1])
        have = self.instruments.setdefault(instrument, [0, first, last])
        have[0] += len(rows)
        have[1], have[2] = min(have[1], first), max(have[2], last)


def raws(source: Source, recipe: Recipe) -> Iterator[Raw]:
    """The file's batches, with the columns that the recipe names."""
    wanted = list(dict.fromkeys(recipe.fields.values()))
    if source.shape == "text":
        return lines.batches(source, recipe.dialect, recipe.columns, wanted)
    return columnar.batches(source, wanted)


def day_of(source: Source, recipe: Recipe) -> int | None:
    """The date that times of day count from, ns as if UTC."""
    if recipe.date == "name":
        where = f"{source.name}/{source.member}" if source.member else source.name
        found = when.date_in(where)
        if found is None:
            raise UsageError(
                "recipe_invalid", f"no date is in the name {source.label}",
                hint="give it with --date YYYY-MM-DD",
            )  # fmt: skip
        return found
    return instant.day_of(recipe.date) if recipe.date else None


def pieces(
    source: Source,
    recipe: Recipe,
    quarantine: Quarantine,
    count: Count,
    now: int,
    piece_rows: int = PIECE_ROWS,
) -> Iterator[Piece]:
    """Everything that can be kept of a file; what cannot goes to `quarantine`, and `count` says how much was
    what. `now`, ns UTC, is when the import was asked for."""
    day, done = day_of(source, recipe), 0
    held: dict[str, _Held] = {}
    for raw in raws(source, recipe):
        done += raw.bytes if source.shape == "text" else len(raw)
        found, bad, skipped = checked.convert(recipe, raw, day, now)
        quarantine.add(bad)
        count.skipped += skipped
        for instrument, mine in _by_instrument(found):
            if instrument not in held:
                if len(held) >= bound.INSTRUMENTS_MAX:
                    raise bound.refused(
                        source.label,
                        f"it has more than {bound.INSTRUMENTS_MAX} instruments: name some with --symbol",
                    )
                held[instrument] = _Held(recipe, quarantine)
            one = held[instrument]
            for ready in one.take(mine, piece_rows):
                count.take(instrument, ready)
                yield Piece(instrument, one.number, ready, done)
                one.number += 1
    for instrument, one in held.items():
        for ready in one.rest():
            count.take(instrument, ready)
            yield Piece(instrument, one.number, ready, done)
            one.number += 1


def _by_instrument(found: Rows) -> Iterator[tuple[str, Rows]]:
    if len(found.names) == 1:
        if len(found):
            yield found.names[0], found
        return
    for name in dict.fromkeys(found.names[code] for code in np.unique(found.code)):
        codes = [at for at, one in enumerate(found.names) if one == name]
        yield name, found.take(np.isin(found.code, codes))


class _Held:
    """Rows of one instrument that may still have others among them."""

    def __init__(self, recipe: Recipe, quarantine: Quarantine) -> None:
        self.number = 0
        self._recipe = recipe
        self._quarantine = quarantine
        self._parts: list[Rows] = []
        self._rows = 0
        self._falling: bool | None = None
        self._edge: int | None = None
        self._last: Rows | None = None

    def take(self, found: Rows, piece_rows: int) -> Iterator[Rows]:
        if self._falling is None:
            # Newest first, as some files are: then whole intervals end at the lower side.
            self._falling = len(found) > 1 and bool(found.ts[0] > found.ts[-1])
        if self._edge is not None:
            late = found.ts >= self._edge if self._falling else found.ts < self._edge
            if late.any():
                self._tell(found, late, "time: not in order, rows around it are kept already")
                found = found.take(~late)
        if len(found):
            self._parts.append(found)
            self._rows += len(found)
        if self._rows >= piece_rows:
            yield from self._cut(piece_rows)

    def rest(self) -> Iterator[Rows]:
        """What is left at the end of the file."""
        if self._parts:
            yield from self._ready(self._sorted())
            self._parts = []

    def _sorted(self) -> Rows:
        whole = checked.concat(self._parts)
        return whole.take(np.argsort(whole.ts, kind="stable"))

    def _cut(self, piece_rows: int) -> Iterator[Rows]:
        whole = self._sorted()
        for unit in (DAY, HOUR, MINUTE, *((SECOND, 1) if self._rows >= HELD_ROWS_MAX else ())):
            if self._falling:
                edge = -(-int(whole.ts[0] + 1) // unit) * unit
                at = int(np.searchsorted(whole.ts, edge))
                ready, rest = whole.take(slice(at, None)), whole.take(slice(0, at))
            else:
                edge = int(whole.ts[-1]) // unit * unit
                at = int(np.searchsorted(whole.ts, edge))
                ready, rest = whole.take(slice(0, at)), whole.take(slice(at, None))
            # A day is worth waiting for, but not for ever.
            if len(ready) * 2 >= len(whole) or (len(ready) and unit <= MINUTE):
                self._edge, self._parts, self._rows = edge, [rest], len(rest)
                yield from self._ready(ready)
                return
        self._parts = [whole]

    def _ready(self, found: Rows) -> Iterator[Rows]:
        again = _again(self._recipe, found, self._last)
        if again.any():
            word = "bar" if self._recipe.kind == "bars" else "trade"
            self._tell(found, again, f"the {word} is there already")
            found = found.take(~again)
        self._last = found
        if len(found):
            yield found

    def _tell(self, found: Rows, mask: Mask, reason: str) -> None:
        at = np.flatnonzero(mask)
        self._quarantine.add(Bad(int(found.lines[one]), reason, _text(found, int(one))) for one in at)


def _text(found: Rows, at: int) -> str:
    """A row that was understood, as text: its line itself has gone by."""
    from tidemill import wire

    cells = {role: wire.text(int(c.mantissa[at]), int(c.scale[at])) for role, c in found.numbers.items()}
    return f"{found.ts[at]} " + " ".join(f"{role}={cell}" for role, cell in cells.items())


def _again(recipe: Recipe, found: Rows, last: Rows | None) -> Mask:
    """Rows that say what a row before them has said: bars of one start, trades of one id, time and price."""
    again = np.zeros(len(found), bool)
    if recipe.kind == "bars":
        again[1:] = found.ts[1:] == found.ts[:-1]
        return again
    if recipe.kind != "trades" or "id" not in recipe.fields:
        return again
    seen = set(_keys(last)) if last is not None else set()
    for at, key in enumerate(_keys(found)):
        if key[0] < 0 and not key[1]:
            continue
        again[at] = key in seen
        seen.add(key)
    return again


def _keys(found: Rows) -> Sequence[tuple[int, str, int, int]]:
    price = found.numbers["price"]
    texts = found.words.get("id", np.full(len(found), "", object))
    return list(
        zip(
            (found.id if found.id is not None else np.full(len(found), -1)).tolist(),
            texts.tolist(), found.ts.tolist(), price.mantissa.tolist(), strict=True,
        )
    )  # fmt: skip
