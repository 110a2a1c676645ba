"""What a file seems to be: its format, its columns, and a recipe with what was guessed and what is open.

A guess is only ever shown, or used where nothing is open; no row is kept by half a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.errors import TidemillError, UsageError
from tidemill.importer import cell, columnar, head, layout, number, when
from tidemill.importer import recipe as recipes
from tidemill.importer.draft import Draft
from tidemill.importer.layout import LAYOUTS, Layout
from tidemill.importer.lines import Dialect
from tidemill.importer.raw import Raw
from tidemill.importer.recipe import Recipe
from tidemill.importer.source import Source
from tidemill.model.interval import Interval

_STEM = re.compile(r"[A-Za-z][A-Za-z0-9]{0,11}(?:[-./][A-Za-z]{2,6})?|\d{1,6}\.[A-Z]{2}")
_NO_SYMBOL = frozenset(
    (
        "trades", "trade", "quotes", "quote", "bars", "bar", "ticks", "tick", "data",
        "ohlcv", "ohlc", "klines", "candles", "daily", "minute", "hour", "hourly", "second",
        "history", "export", "file", "prices", "csv", "upload", "test",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column as it lies in the file."""

    name: str
    type: str
    """number, time, text, or the file's own."""
    example: str


@dataclass(frozen=True)
class Guess:
    """What is known of a file before anybody has said anything."""

    shape: str
    dialect: Dialect
    columns: list[Column]
    recipe: Recipe | None
    """None while something that it needs is open."""
    draft: dict[str, Any]
    """The recipe as far as it is known, as JSON."""
    confidence: float
    """0 to 1."""
    notes: list[str] = field(default_factory=list)
    """What was taken for granted."""
    open: list[str] = field(default_factory=list)
    """What has to be said: fields of the recipe."""


def sniff(source: Source) -> Guess:
    """Looks at the beginning of a file. Raises as `source` and `columnar` do for what cannot be read."""
    if source.shape == "text":
        dialect, names, sample = head.read(source)
    else:
        schema = columnar.schema(source)
        dialect, names = Dialect(), tuple(schema.names)
        flat = [one.name for one in schema if not pa.types.is_nested(one.type)]
        sample = next(columnar.batches(source, flat, head.SAMPLE_LINES), None) or Raw(
            np.zeros(0, np.int64), {name: pa.array([], pa.string()) for name in flat}, str
        )
    shape: Any = ("jsonl" if dialect.type == "jsonl" else "csv") if source.shape == "text" else source.shape
    names = tuple(name for name in names if name in sample.columns)
    found = _meaning(source, dialect, names, sample)
    found.parts |= {"shape": shape, "dialect": dialect}
    made = None
    if not found.open:
        try:
            made = recipes.of(Recipe(columns=found.columns, **found.parts).as_dict())
        except TidemillError as error:
            found.open.append(error.message)
    draft = _shown(found)
    shown = [
        Column(name, cell.type_of(sample.columns[name]), cell.example(sample.columns[name])) for name in names
    ]
    return Guess(
        shape, dialect, shown, made, draft, round(found.confidence if made else found.confidence / 2, 2),
        found.notes, found.open,
    )  # fmt: skip


def _shown(found: Draft) -> dict[str, Any]:
    parts = {"kind": "bars", "fields": {}, **found.parts}
    return Recipe(columns=found.columns, **parts).as_dict()


# ── what it means ─────────────────────────────────────────────────────────────────────────────────


def _meaning(source: Source, dialect: Dialect, names: tuple[str, ...], sample: Raw) -> Draft:
    headless = source.shape == "text" and dialect.type == "csv" and not dialect.header
    where = f"{source.name}/{source.member}" if source.member else source.name
    for what, columns in layout.UNREADABLE.items():
        if set(columns) <= set(names):
            raise UsageError(
                "layout_unsupported", f"{source.label} has {what}; those are not imported",
                hint="bars, trades and quotes are: docs/import.md#layouts",
            )  # fmt: skip
    known = _known(where, names, headless)
    if known is None:
        draft = _generic(names, sample, headless)
    else:
        draft = _by_layout(*known, names, sample, headless, where)
    when.time(draft, where)
    when.interval(draft)
    _instrument(draft, where)
    _noise(draft)
    return draft


def _known(where: str, names: tuple[str, ...], headless: bool) -> tuple[Layout, re.Match[str] | None] | None:
    for one in LAYOUTS:
        named = layout.inside(one, where) if one.path else None
        if one.columns:
            if headless and named and len(one.columns) == len(names):
                return one, named
            continue
        if headless or not (named or not one.path or one.source == "binance-vision"):
            continue
        if (set(one.fields.values()) - {"id"}) | set(one.marks) <= set(names):
            return one, named
    return None


def _by_layout(
    one: Layout, named: re.Match[str] | None, names: tuple[str, ...], sample: Raw, headless: bool, where: str
) -> Draft:
    groups = named.groupdict() if named else {}
    spelled = dict(zip(one.columns, names, strict=True)) if headless else {}
    roles = {role: spelled.get(column, column) for role, column in one.fields.items()}
    roles = {role: column for role, column in roles.items() if column in names}
    draft = Draft(names, sample, {"kind": one.kind, "fields": roles, "layout": one.name}, 0.95)
    market = groups.get("market") or ""
    venue = one.venue + (market if one.venue.endswith("-") else "")
    draft.parts |= {
        "venue": venue, "source": one.source, "pairs": one.pairs, "aggressor": dict(one.aggressor),
        "irregular": one.irregular, "price_power": one.power, "zone": one.zone, "at": one.at,
        "time": one.time,
    }  # fmt: skip
    interval = str(groups.get("interval") or one.interval)
    interval = layout.LENGTHS.get(interval, interval)
    if interval:
        try:
            draft.parts["interval"] = Interval.parse(interval).text
        except UsageError:
            draft.parts["interval"] = f"{interval}m" if interval.isdigit() else ""
    if one.time.endswith("_of_day"):
        draft.parts["date"] = "name"
    symbol = groups.get("folder") or groups.get("symbol")
    if symbol and "symbol" not in roles:
        name = recipes.symbol_name(str(symbol), pairs=one.pairs)
        draft.parts["instrument"] = f"{name}.{venue}" if name else ""
    if one.note:
        draft.notes.append(one.note)
    if one.source == "databento":
        _databento(draft)
    return draft


def _databento(draft: Draft) -> None:
    """Prices are whole numbers of 10^-9 unless they were asked for as decimals; `rtype` is the interval."""
    price = draft.parts["fields"].get("price") or draft.parts["fields"].get("close") or "bid_px_00"
    if _whole(draft.sample.columns[price]):
        draft.parts["price_power"] = -9
    kinds = {"32": "1s", "33": "1m", "34": "1h", "35": "1d"}
    if draft.parts["kind"] == "bars" and "rtype" in draft.sample.columns and len(draft.sample):
        draft.parts["interval"] = kinds.get(cell.example(draft.sample.columns["rtype"]), "")


def _whole(column: pa.Array) -> bool:
    found = number.of(column)
    return bool(len(found)) and not (found.scale[found.why == number.FINE] > 0).any()


def _generic(names: tuple[str, ...], sample: Raw, headless: bool) -> Draft:
    """By what columns are called, or, without names, by what they hold."""
    draft = Draft(names, sample, {"layout": "generic"}, 0.7)
    if headless:
        _by_place(draft)
        return draft
    folded = {re.sub(r"^<(.*)>$", r"\1", name.strip().lower()): name for name in reversed(names)}

    def find(role: str) -> str | None:
        return next((folded[word] for word in layout.ROLE_NAMES[role] if word in folded), None)

    for kind in ("bars", "trades", "quotes"):
        roles = {
            role: column
            for role in recipes.ROLES[kind]
            if role in layout.ROLE_NAMES and (column := find(role))
        }
        needed = recipes.NEEDED[kind]
        if kind == "quotes" and not {"bid", "ask"} & set(roles):
            continue
        if all(role in roles for role in needed):
            draft.parts |= {"kind": kind, "fields": _apart(roles, folded)}
            break
    else:
        draft.parts |= {"kind": "bars", "fields": {}}
        draft.open.append("fields")
        draft.confidence = 0.1
        draft.notes.append(f"no bars, trades or quotes are seen in the columns {', '.join(names)[:300]}")
        return draft
    side = draft.parts["fields"].get("aggressor", "")
    if side:
        draft.parts["aggressor"] = dict(
            layout.MAKER if "maker" in side.lower() or side == "m" else layout.SIDES
        )
    left = [name for name in names if name not in draft.parts["fields"].values()]
    if left:
        draft.notes.append(f"not used: {', '.join(left)[:300]}")
    return draft


def _apart(roles: dict[str, str], folded: dict[str, str]) -> dict[str, str]:
    """The roles, once date and time are told apart; no column has two."""
    if "date" in folded and "time" in folded:
        roles = {**roles, "time": folded["date"], "clock": folded["time"]}
    elif roles.get("clock") == roles.get("time"):
        roles = {role: column for role, column in roles.items() if role != "clock"}
    seen: dict[str, str] = {}
    return {
        role: seen.setdefault(column, role) and column for role, column in roles.items() if column not in seen
    }


def _by_place(draft: Draft) -> None:
    """Without names: a time, then four prices of which the second is never below the third, then a volume."""
    columns = [draft.sample.columns[name] for name in draft.columns]
    two = (
        len(columns) > 1
        and cell.date_form(cell.texts(columns[0])) is not None
        and _clock_like(cell.texts(columns[1]))
    )
    first = 2 if two else 1
    numbers = [number.of(column) for column in columns[first:]]
    floats = [_floats(one) for one in numbers]
    names = draft.columns
    draft.confidence = 0.5
    roles = {"time": names[0], **({"clock": names[1]} if two else {})}
    if len(floats) >= 4:
        o, h, low, c = floats[:4]
        if len(o) and bool(np.all((h >= np.fmax(o, c)) & (low <= np.fmin(o, c)))):
            roles |= dict(zip(("open", "high", "low", "close", "volume"), names[first:], strict=False))
            draft.parts |= {"kind": "bars", "fields": roles}
            draft.notes.append("columns have no names: taken as time, open, high, low, close, volume")
            return
    draft.parts |= {"kind": "bars", "fields": {}}
    draft.open.append("fields")
    draft.confidence = 0.1
    draft.notes.append("columns have no names, and are no bars in the usual order")


def _floats(numbers: number.Decimals) -> Any:
    return np.where(numbers.why == number.FINE, numbers.mantissa / 10.0**numbers.scale, np.nan)


def _clock_like(texts: Sequence[str]) -> bool:
    return bool(texts) and all(
        re.fullmatch(r"\d{1,2}:?\d{2}(:?\d{2}(\.\d+)?)?", text.strip()) for text in texts[:200]
    )


def _instrument(draft: Draft, where: str) -> None:
    roles = draft.parts["fields"]
    if draft.parts.get("instrument") or not roles:
        return
    venue = draft.parts.get("venue", "import")
    if "symbol" in roles:
        texts = {text for text in cell.texts(draft.sample.columns[roles["symbol"]]) if text}
        probe = Recipe("trades", ("t",), {}, venue=venue, pairs=draft.parts.get("pairs", False))
        if not draft.parts.get("pairs") and draft.parts["layout"] == "generic":
            draft.parts["pairs"] = all("/" in text or "-" in text for text in texts)
        if any(recipes.instrument_of(probe, text) for text in sorted(texts)[:100]):
            return
        draft.open.append("instrument")
        draft.notes.append(f"symbols cannot be names of instruments: {', '.join(sorted(texts)[:3])[:100]}")
        return
    stem = re.sub(
        r"(\.(csv|txt|tsv|gz|zip|zst|jsonl|ndjson|json|parquet|arrow|feather))+$",
        "",
        where.rpartition("/")[2],
        flags=re.I,
    )
    words = re.split(r"[_\s-]+", stem)
    for at, part in enumerate(words):
        if not _STEM.fullmatch(part) or part.lower() in _NO_SYMBOL or re.fullmatch(r"\d+[smhdw]", part):
            continue
        following = words[at + 1].upper() if at + 1 < len(words) else ""
        pairs = bool(draft.parts.get("pairs")) or part.upper().endswith(("USDT", "USDC"))
        name = recipes.symbol_name(
            f"{part}-{following}" if following in recipes.CURRENCIES else part, pairs=pairs
        )
        if name:
            draft.parts["instrument"] = f"{name}.{venue}"
            draft.notes.append(f"the instrument is taken from the file's name: {name}.{venue}")
            draft.confidence -= 0.1
            return
    draft.open.append("instrument")
    draft.notes.append("no column and no file name says which instrument it is")


def _noise(draft: Draft) -> None:
    """Binary floats that were computed, not printed: 0.00031099999999999997 was 0.000311."""
    for what, role in (
        ("price", "price"),
        ("price", "close"),
        ("price", "bid"),
        ("size", "size"),
        ("size", "volume"),
        ("size", "bid_size"),
    ):
        column = draft.parts.get("fields", {}).get(role)
        if column is None or not pa.types.is_floating(draft.sample.columns[column].type):
            continue
        texts = [
            text for text in cell.texts(draft.sample.columns[column]) if "e" not in text and "n" not in text
        ]
        places = Counter(len(text.partition(".")[2]) for text in texts)
        plain = max((count for count in places if count <= 9), default=0)
        long = [text for text in texts if len(text.partition(".")[2]) > 12]
        if long and all(
            abs(float(text) - round(float(text), plain)) <= 4 * np.spacing(float(text)) for text in long
        ):
            draft.parts[f"{what}_places"] = plain
            draft.notes.append(
                f"{column} are floats of which {len(long)} of {len(texts)} carry noise ({long[0]}):"
                f" rounded to {plain} decimals"
            )
