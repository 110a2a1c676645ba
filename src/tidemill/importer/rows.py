"""Raw columns as exact rows by a recipe. What cannot be a row is told with its line and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.importer import instant, number
from tidemill.importer.number import Decimals, Ints, Mask
from tidemill.importer.raw import Bad, Raw
from tidemill.importer.recipe import Recipe, instrument_of
from tidemill.model.interval import DAY, Interval

_SIDES = {"buy": 1, "sell": 2}
Words = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Rows:
    """Checked rows, shape (n,) each. A kind leaves what it does not have empty."""

    lines: Ints
    code: npt.NDArray[np.int32]
    """Place of each row's instrument in `names`."""
    names: tuple[str, ...]
    ts: Ints
    """ns UTC; of a bar its start."""
    numbers: dict[str, Decimals]
    """By role."""
    aggressor: npt.NDArray[np.int8] | None = None
    id: Ints | None = None
    """−1 where there is none, or it is text."""
    irregular: Mask | None = None
    words: dict[str, Words] = field(default_factory=dict)
    """Text by role: id, conditions, exchange."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, at: Any) -> Rows:
        """These rows: indices, a mask or a slice."""
        return replace(
            self,
            lines=self.lines[at], code=self.code[at], ts=self.ts[at],
            numbers={role: column.take(at) for role, column in self.numbers.items()},
            aggressor=None if self.aggressor is None else self.aggressor[at],
            id=None if self.id is None else self.id[at],
            irregular=None if self.irregular is None else self.irregular[at],
            words={role: column[at] for role, column in self.words.items()},
        )  # fmt: skip


def concat(parts: Sequence[Rows]) -> Rows:
    """Rows of one instrument, one after the other."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    joined: dict[str, Any] = {}
    for one in fields(Rows):
        values = [getattr(part, one.name) for part in parts]
        if one.name == "names" or values[0] is None:
            joined[one.name] = values[0]
        elif one.name == "numbers":
            joined[one.name] = {
                role: Decimals(
                    *(
                        np.concatenate([getattr(value[role], part) for value in values])
                        for part in ("mantissa", "scale", "why")
                    )
                )
                for role in first.numbers
            }  # fmt: skip
        elif one.name == "words":
            joined[one.name] = {role: np.concatenate([v[role] for v in values]) for role in first.words}
        else:
            joined[one.name] = np.concatenate(values)
    return Rows(**joined)


class _Check:
    """Why each row is bad; the first reason counts."""

    def __init__(self, rows: int) -> None:
        self.why = np.full(rows, "", object)

    def bad(self, mask: Mask, reason: str) -> None:
        self.why[mask & (self.why == "")] = reason

    def numbers(self, role: str, found: Decimals) -> None:
        for code, reason in enumerate(number.WHY):
            if code != number.FINE:
                self.bad(found.why == code, f"{role}: {reason}")

    @property
    def good(self) -> Mask:
        good: Mask = self.why == ""
        return good


def convert(recipe: Recipe, raw: Raw, day: int | None, now: int) -> tuple[Rows, list[Bad], int]:
    """Rows, those that are none, and how many belong to instruments that nobody asked for.

    `day` is the date of the file's name; `now` (ns UTC) is what nothing may be a day later than.
    """
    check = _Check(len(raw))
    code, names, asked = _instruments(recipe, raw, check)
    ts = _times(recipe, raw, check, day, now)
    numbers: dict[str, Decimals] = {}
    rest: dict[str, Any] = {}
    if recipe.kind == "bars":
        _bars(recipe, raw, check, numbers)
    elif recipe.kind == "trades":
        rest = _trades(recipe, raw, check, numbers)
    else:
        _quotes(recipe, raw, check, numbers)
    good = check.good & asked
    bad = raw.bad + [
        Bad(int(raw.lines[at]), str(check.why[at]), raw.text(int(at)))
        for at in np.flatnonzero(~check.good & asked)
    ]
    rows = Rows(raw.lines, code, names, ts, numbers, **rest)
    return rows.take(good), sorted(bad, key=lambda one: one.line), int((~asked).sum())


# ── instrument and time ───────────────────────────────────────────────────────────────────────────


def _instruments(
    recipe: Recipe, raw: Raw, check: _Check
) -> tuple[npt.NDArray[np.int32], tuple[str, ...], Mask]:
    rows = len(raw)
    everyone = np.ones(rows, bool)
    column = recipe.fields.get("symbol")
    if column is None:
        return np.zeros(rows, np.int32), (recipe.instrument,), everyone
    code, symbols = _coded(raw.columns[column])
    asked = np.array([not recipe.symbols or one in recipe.symbols for one in symbols] or [True])[code]
    names = [instrument_of(recipe, symbol) for symbol in symbols]
    check.bad(
        np.array([name is None for name in names] or [True])[code] & asked, "symbol: no name of an instrument"
    )
    known = tuple(name or "" for name in names)
    return code.astype(np.int32), known or ("",), asked


def _times(recipe: Recipe, raw: Raw, check: _Check, day: int | None, now: int) -> Ints:
    columns = [raw.columns[recipe.fields[role]] for role in ("time", "clock") if role in recipe.fields]
    ts, bad = instant.read(columns, recipe.time, recipe.zone, day)
    check.bad(bad, "time: none that can be read, or not between the years 1710 and 2230")
    ts = np.where(bad, 0, ts)
    if recipe.kind == "bars":
        length = Interval.parse(recipe.interval).length_ns
        if length == DAY:
            ts = instant.local_days(ts - (recipe.at == "end"), recipe.zone)
        elif recipe.at == "end":
            ts = ts - length
        check.bad(ts % length != 0, f"time: no start of an interval of {recipe.interval}")
    elif recipe.kind == "quotes" and recipe.interval and recipe.at == "start":
        ts = ts + Interval.parse(recipe.interval).length_ns
    check.bad(ts > now + DAY, "time: in the future")
    return ts


# ── kinds ─────────────────────────────────────────────────────────────────────────────────────────


def _numbers(recipe: Recipe, raw: Raw, role: str, price: bool) -> Decimals:
    places, power = (
        (recipe.price_places, recipe.price_power) if price else (recipe.size_places, recipe.size_power)
    )
    found = number.of(raw.columns[recipe.fields[role]], point=recipe.dialect.point, places=places)
    return number.times_power(found, power)


def _bars(recipe: Recipe, raw: Raw, check: _Check, numbers: dict[str, Decimals]) -> None:
    prices = ("open", "high", "low", "close")
    found = {role: _numbers(recipe, raw, role, price=True) for role in prices}
    for role in prices:
        check.numbers(role, found[role])
    columns, scale, misfit = number.aligned(*found.values())
    check.bad(misfit, "open, high, low, close: more than 18 digits")
    o, high, low, close = columns
    check.bad(high < low, "high below low")
    check.bad((o > high) | (o < low), "open not between low and high")
    check.bad((close > high) | (close < low), "close not between low and high")
    fine = np.zeros(len(raw), np.uint8)
    numbers |= {role: Decimals(column, scale, fine) for role, column in zip(prices, columns, strict=True)}
    _volume(recipe, raw, check, numbers, "volume")
    if "trades" in recipe.fields:
        count = number.of(raw.columns[recipe.fields["trades"]])
        check.bad((count.scale > 0) | (count.mantissa < 0), "trades: no count")
        numbers["trades"] = count
    else:
        numbers["trades"] = number.constant(len(raw))


def _volume(recipe: Recipe, raw: Raw, check: _Check, numbers: dict[str, Decimals], role: str) -> None:
    if role not in recipe.fields:
        numbers[role] = number.constant(len(raw))
        return
    numbers[role] = _numbers(recipe, raw, role, price=False)
    check.numbers(role, numbers[role])
    check.bad(numbers[role].mantissa < 0, f"{role}: below zero")


def _trades(recipe: Recipe, raw: Raw, check: _Check, numbers: dict[str, Decimals]) -> dict[str, Any]:
    numbers["price"] = _numbers(recipe, raw, "price", price=True)
    check.numbers("price", numbers["price"])
    _volume(recipe, raw, check, numbers, "size")
    rows, words = len(raw), {}
    side = _by_value(
        recipe, raw, "aggressor", lambda text: _SIDES.get(recipe.aggressor.get(text.lower(), ""), 0)
    )
    ids = np.full(rows, -1, np.int64)
    if "id" in recipe.fields:
        column = raw.columns[recipe.fields["id"]]
        found = number.of(column)
        whole = (found.why == number.FINE) & (found.scale == 0) & (found.mantissa >= 0)
        ids = np.where(whole, found.mantissa, -1)
        if not whole.all():
            words["id"] = np.where(whole, "", _texts(column))
    for role in ("conditions", "exchange"):
        if role in recipe.fields:
            words[role] = _texts(raw.columns[recipe.fields[role]])
    if "id" in recipe.fields and "id" not in words:
        words["id"] = np.full(rows, "", object)
    return {
        "aggressor": side.astype(np.int8), "id": ids, "irregular": _irregular(recipe, raw), "words": words,
    }  # fmt: skip


def _irregular(recipe: Recipe, raw: Raw) -> Mask:
    rule = recipe.irregular
    mask = int(rule.mask, 16) if rule.mask else 0

    def says(text: str) -> bool:
        if mask and re.fullmatch(r"[0-9A-Fa-f]{1,16}", text) and int(text, 16) & mask:
            return True
        return bool(rule.conditions) and any(code in rule.conditions for code in re.split(r"[,;\s]+", text))

    found = _by_value(recipe, raw, "suspicious", lambda text: text in rule.suspicious)
    return np.asarray(found | _by_value(recipe, raw, "conditions", says), bool)


def _quotes(recipe: Recipe, raw: Raw, check: _Check, numbers: dict[str, Decimals]) -> None:
    empty = np.ones(len(raw), bool)
    for side in ("bid", "ask"):
        if side not in recipe.fields:
            continue
        price = _numbers(recipe, raw, side, price=True)
        # Files of single sides leave the other one empty, or write a zero.
        absent = (price.why == number.MISSING) | ((price.why == number.FINE) & (price.mantissa == 0))
        empty &= absent
        why = np.where(absent, number.FINE, price.why).astype(np.uint8)
        check.numbers(side, replace(price, why=why))
        numbers[side] = replace(price, why=np.where(absent, number.MISSING, why).astype(np.uint8))
        role = f"{side}_size"
        size = (
            _numbers(recipe, raw, role, price=False) if role in recipe.fields else number.constant(len(raw))
        )
        size = replace(size, why=np.where(absent, number.FINE, size.why).astype(np.uint8))
        check.numbers(role, size)
        check.bad((size.mantissa < 0) & ~absent, f"{role}: below zero")
        numbers[role] = size
    check.bad(empty, "neither bid nor ask")


# ── text ──────────────────────────────────────────────────────────────────────────────────────────


def _coded(column: pa.Array) -> tuple[Ints, list[str]]:
    """Codes and distinct texts of a column; nothing is the empty text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    coded = pc.utf8_trim_whitespace(column.cast(pa.string()).fill_null("")).dictionary_encode()
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), coded.dictionary.to_pylist()


def _texts(column: pa.Array) -> Words:
    code, texts = _coded(column)
    return np.array(texts or [""], object)[code]


def _by_value(recipe: Recipe, raw: Raw, role: str, of: Callable[[str], Any]) -> npt.NDArray[Any]:
    """What each row's text means; zeros where the file has no such column."""
    if role not in recipe.fields:
        return np.zeros(len(raw), np.int64)
    code, texts = _coded(raw.columns[recipe.fields[role]])
    return np.array([int(of(text)) for text in texts] or [0], np.int64)[code]
