"""What a file seems to be: its format, its columns, and a recipe with what was guessed and what is open.

A guess is only ever shown, or used where nothing is open; no row is kept by half a guess.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import TidemillError, UsageError
from tidemill.importer import bound, columnar, instant, layout, lines, number
from tidemill.importer import recipe as recipes
from tidemill.importer.layout import LAYOUTS, Layout
from tidemill.importer.lines import Dialect
from tidemill.importer.raw import Raw
from tidemill.importer.recipe import Recipe
from tidemill.importer.source import Source
from tidemill.model.interval import DAY, SECOND, STORED, Interval

SAMPLE_LINES = 2_000
_MOST = 0.9
"""So many of a column's cells say what it is; the others are rows to be put aside."""
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
_NAME_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01]))(?!\d)")
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


@dataclass
class _Draft:
    """The guess as it grows."""

    columns: tuple[str, ...]
    sample: Raw
    parts: dict[str, Any]
    confidence: float = 0.5
    notes: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def sniff(source: Source) -> Guess:
    """Looks at the beginning of a file. Raises as `source` and `columnar` do for what cannot be read."""
    if source.shape == "text":
        dialect, names, sample = _text(source)
    else:
        schema = columnar.schema(source)
        dialect, names = Dialect(), tuple(schema.names)
        flat = [one.name for one in schema if not pa.types.is_nested(one.type)]
        sample = next(columnar.batches(source, flat, SAMPLE_LINES), None) or Raw(
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
    shown = [Column(name, _type(sample.columns[name]), _example(sample.columns[name])) for name in names]
    return Guess(
        shape, dialect, shown, made, draft, round(found.confidence if made else found.confidence / 2, 2),
        found.notes, found.open,
    )  # fmt: skip


def _shown(found: _Draft) -> dict[str, Any]:
    parts = {"kind": "bars", "fields": {}, **found.parts}
    return Recipe(columns=found.columns, **parts).as_dict()


# ── the text of a file ────────────────────────────────────────────────────────────────────────────


def _text(source: Source) -> tuple[Dialect, tuple[str, ...], Raw]:
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
        names = _unique([cell.strip() for cell in first_row]) if header else _numbered(len(first_row))
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
    if any(_NUMBER.fullmatch(cell.strip()) or _date_form([cell]) for cell in cells):
        return False
    return any(character.isalpha() for cell in cells for character in cell)


def _comma_point(rows: Sequence[str], dialect: Dialect) -> bool:
    cells = [cell.strip() for row in rows[:200] for cell in (lines.split(row, dialect) or ())]
    commas = sum(1 for cell in cells if re.fullmatch(r"-?\d[\d.]*,\d+", cell))
    return commas > 0 and not any(re.fullmatch(r"-?\d+\.\d+", cell) for cell in cells)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for at, name in enumerate(names, 1):
        name = name[:200] or str(at)
        found.append(name if name not in found else f"{name} ({at})")
    return tuple(found)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(at) for at in range(1, count + 1))


# ── what it means ─────────────────────────────────────────────────────────────────────────────────


def _meaning(source: Source, dialect: Dialect, names: tuple[str, ...], sample: Raw) -> _Draft:
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
    _time(draft, where)
    _interval(draft)
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
) -> _Draft:
    groups = named.groupdict() if named else {}
    spelled = dict(zip(one.columns, names, strict=True)) if headless else {}
    roles = {role: spelled.get(column, column) for role, column in one.fields.items()}
    roles = {role: column for role, column in roles.items() if column in names}
    draft = _Draft(names, sample, {"kind": one.kind, "fields": roles, "layout": one.name}, 0.95)
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


def _databento(draft: _Draft) -> None:
    """Prices are whole numbers of 10^-9 unless they were asked for as decimals; `rtype` is the interval."""
    price = draft.parts["fields"].get("price") or draft.parts["fields"].get("close") or "bid_px_00"
    if _whole(draft.sample.columns[price]):
        draft.parts["price_power"] = -9
    kinds = {"32": "1s", "33": "1m", "34": "1h", "35": "1d"}
    if draft.parts["kind"] == "bars" and "rtype" in draft.sample.columns and len(draft.sample):
        draft.parts["interval"] = kinds.get(_example(draft.sample.columns["rtype"]), "")


def _whole(column: pa.Array) -> bool:
    found = number.of(column)
    return bool(len(found)) and not (found.scale[found.why == number.FINE] > 0).any()


def _generic(names: tuple[str, ...], sample: Raw, headless: bool) -> _Draft:
    """By what columns are called, or, without names, by what they hold."""
    draft = _Draft(names, sample, {"layout": "generic"}, 0.7)
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


def _by_place(draft: _Draft) -> None:
    """Without names: a time, then four prices of which the second is never below the third, then a volume."""
    columns = [draft.sample.columns[name] for name in draft.columns]
    two = len(columns) > 1 and _date_form(_texts(columns[0])) is not None and _clock_like(_texts(columns[1]))
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


# ── times ─────────────────────────────────────────────────────────────────────────────────────────


def _time(draft: _Draft, where: str) -> None:
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
    texts = _texts(cells)
    form = form or None
    numeric = [text for text in texts if re.fullmatch(r"-?\d+(\.\d*)?", text)]
    mostly = bool(texts) and len(numeric) >= _MOST * len(texts)
    if mostly and "clock" not in draft.parts["fields"]:
        seen = {instant.of_magnitude(int(float(text))) for text in numeric}
        seen.discard(None)
        if len(seen) == 1:
            # The file's own numbers say it: Binance went over from milliseconds to microseconds.
            draft.parts["time"] = seen.pop()
            return
    found = _date_form(texts)
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
    if found == "DD/MM/YYYY" and _date_form(texts, ("MM/DD/YYYY",)):
        draft.open.append("time")
        draft.notes.append("dates may be DD/MM/YYYY or MM/DD/YYYY: say which")
    if not any(re.search(r"(Z|UTC|GMT|[+-]\d{2}:?\d{2})$", text) for text in texts[:50]) and (
        "zone" not in draft.parts
    ):
        draft.notes.append("times name no zone: taken as UTC")


def _day(draft: _Draft, where: str) -> None:
    if draft.parts.get("date") == "name" and date_in(where) is None:
        draft.open.append("date")
        draft.notes.append("times count from midnight, and no date is in the file's name")


def date_in(where: str) -> int | None:
    """Midnight, ns as if UTC, of the last date in a file's name; None where it has none."""
    found = _NAME_DATE.findall(where)
    return instant.day_of(found[-1]) if found else None


def _date_form(texts: Sequence[str], forms: Sequence[str] = tuple(instant.DATES)) -> str | None:
    """How these dates are written, where all of them are written so and are dates."""
    some = [text.strip() for text in texts[:500] if text.strip()]
    for form in forms if some else ():
        if form == "YYYYMMDD" and any(len(text) < 8 or not text[:8].isdigit() for text in some):
            continue
        shape = re.compile(instant.pattern(form))
        matches = [one for one in map(shape.match, some) if one]
        # A line that is damaged says nothing of the others; a 13th month says that it is none.
        if len(matches) >= _MOST * len(some) and all(
            1 <= int(one["mo"]) <= 12 and 1 <= int(one["d"]) <= 31 and 1710 <= int(one["y"]) <= 2230
            for one in matches
        ):
            return form
    return None


def _interval(draft: _Draft) -> None:
    if draft.parts.get("kind") != "bars" or not draft.parts["fields"]:
        return
    said = draft.parts.get("interval")
    if not said and "interval" in draft.sample.columns and len(draft.sample):
        said = _example(draft.sample.columns["interval"])
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


def _spacing(draft: _Draft) -> str | None:
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


def _instrument(draft: _Draft, where: str) -> None:
    roles = draft.parts["fields"]
    if draft.parts.get("instrument") or not roles:
        return
    venue = draft.parts.get("venue", "import")
    if "symbol" in roles:
        texts = {text for text in _texts(draft.sample.columns[roles["symbol"]]) if text}
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


def _noise(draft: _Draft) -> None:
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
        texts = [text for text in _texts(draft.sample.columns[column]) if "e" not in text and "n" not in text]
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


# ── cells ─────────────────────────────────────────────────────────────────────────────────────────


def _texts(column: pa.Array) -> list[str]:
    """Cells that are not empty, as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pc.utf8_trim_whitespace(column.cast(pa.string()).drop_null())
    return [one for one in text.to_pylist() if one]


def _example(column: pa.Array) -> str:
    some = next((one for one in column if one.is_valid), None)
    return str(some.as_py())[:100] if some is not None else ""


def _type(column: pa.Array) -> str:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return "text" if pa.types.is_dictionary(column.type) else str(column.type)
    texts = _texts(column)[:500]
    if texts and all(_NUMBER.fullmatch(text) for text in texts):
        return "number"
    return "time" if _date_form(texts) else "text"
