"""What the columns of a file mean, as plain JSON: made by a guess or by hand, saved by name, used again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args

from tidemill.errors import UsageError
from tidemill.importer import instant
from tidemill.importer.lines import DELIMITERS, ENCODINGS, Dialect
from tidemill.model.collector import VENUE
from tidemill.model.interval import Interval

VERSION: Final = 1
Kind = Literal["bars", "trades", "quotes"]
NEEDED: Final = {
    "bars": ("time", "open", "high", "low", "close"),
    "trades": ("time", "price", "size"),
    "quotes": ("time",),
}
"""Roles that a file of each kind must have; quotes need `bid` or `ask` besides."""
ROLES: Final = {
    "bars": (*NEEDED["bars"], "clock", "volume", "trades", "symbol"),
    "trades": (
        *NEEDED["trades"], "clock", "aggressor", "id", "conditions", "exchange", "suspicious", "symbol",
    ),
    "quotes": ("time", "clock", "bid", "bid_size", "ask", "ask_size", "symbol"),
}  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
"""What a recipe may be called."""
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,47}")
_INSTRUMENT = re.compile(r"(?!.*\.\.)[A-Z0-9][A-Z0-9._-]{0,47}\.[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class Irregular:
    """Which trades do not count in bars."""

    suspicious: tuple[str, ...] = ()
    """Values of the column `suspicious`."""
    conditions: tuple[str, ...] = ()
    """Codes of the column `conditions`."""
    mask: str = ""
    """Where `conditions` is one hexadecimal number: bits of which any says so."""


@dataclass(frozen=True)
class Recipe:
    """One meaning of one layout of files."""

    kind: Kind
    columns: tuple[str, ...]
    """All columns in the file's order; "1", "2", … where it does not name them."""
    fields: Mapping[str, str]
    """Role to column."""
    shape: Literal["csv", "jsonl", "parquet", "arrow"] = "csv"
    dialect: Dialect = field(default_factory=Dialect)
    time: str = "epoch_ms"
    """One of `instant.FORMATS`; ignored where the column has a type of time."""
    zone: str = "UTC"
    """Of times that name none."""
    date: str = ""
    """Of times of day: "name" is the date in the file's name; or YYYY-MM-DD."""
    at: Literal["start", "end"] = "start"
    """Which end of a bar its time is."""
    interval: str = ""
    """Of bars; of quotes that are the state at the end of such an interval each."""
    price_power: int = 0
    """Prices are the numbers × 10^this: −4 where they count hundredths of a cent."""
    size_power: int = 0
    price_places: int | None = None
    """Round to so many decimals; None keeps every digit."""
    size_places: int | None = None
    aggressor: Mapping[str, str] = field(default_factory=dict)
    """Value, in lower case, to buy or sell; all others are none."""
    irregular: Irregular = field(default_factory=Irregular)
    instrument: str = ""
    """`AAPL.polygon`: the one of all rows; empty: from the column `symbol`, or from the file's name."""
    symbols: tuple[str, ...] = ()
    """Of the column `symbol`: only these."""
    pairs: bool = False
    """Symbols are of two currencies: BTCUSD is BTC-USD."""
    venue: str = "import"
    """What instruments end in that are named by a symbol; empty where the symbols say it themselves."""
    source: str = "import"
    """What rows say they came from."""
    delay_s: float = 0.0
    """How much later than its event a row could be had: `ts_known`."""
    layout: str = "custom"

    def with_(self, **changes: Any) -> Recipe:
        """The same with some things changed, checked again."""
        return _checked(replace(self, **changes))

    def as_dict(self) -> dict[str, Any]:
        """As JSON. `of` is the inverse."""
        shown: dict[str, Any] = {"version": VERSION}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Dialect | Irregular):
                value = {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
            shown[one.name] = _plain(value)
        return shown

    def digest(self) -> str:
        """Sixteen characters that differ wherever the meaning of rows does. Not of it: how strict one is."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def of(shown: Any) -> Recipe:
    """A recipe from JSON. Raises `UsageError` that names the field which does not fit."""
    if not isinstance(shown, dict):
        raise unfit("", "it is no object")
    left = dict(shown)
    if left.pop("version", None) != VERSION:
        raise unfit("version", f"it is {shown.get('version')!r}; this version reads {VERSION}")
    known = {one.name for one in fields(Recipe)}
    for name in left:
        if name not in known:
            raise unfit(name, "it is not known")
    for name, part in (("dialect", Dialect), ("irregular", Irregular)):
        if name in left:
            left[name] = _part(name, part, left[name])
    for name in ("columns", "symbols"):
        if name in left:
            left[name] = _texts(name, left[name])
    for name in ("fields", "aggressor"):
        value = left.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise unfit(name, "it is no object of texts")
    for name in ("kind", "columns", "fields"):
        if name not in left:
            raise unfit(name, "it is missing")
    try:
        return _checked(Recipe(**left))
    except (TypeError, AttributeError) as error:
        raise unfit("", str(error)[:200]) from error


def unfit(name: str, why: str) -> UsageError:
    """The error for a recipe that does not fit."""
    return UsageError(
        "recipe_invalid", f"the recipe{f'’s {name[:40]!r}' if name else ''}: {why}",
        hint="docs/import.md#recipes lists what each field takes",
    )  # fmt: skip


def _checked(recipe: Recipe) -> Recipe:
    texts = (
        "kind",
        "shape",
        "time",
        "zone",
        "date",
        "at",
        "interval",
        "instrument",
        "venue",
        "source",
        "layout",
    )
    for name in texts:
        value = getattr(recipe, name)
        if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
            raise unfit(name, f"{value!r:.60} is no text of at most 200 characters")
    for name, choices in (
        ("kind", get_args(Kind)), ("shape", ("csv", "jsonl", "parquet", "arrow")), ("at", ("start", "end")),
        ("time", instant.FORMATS),
    ):  # fmt: skip
        if getattr(recipe, name) not in choices:
            raise unfit(name, f"{getattr(recipe, name)!r:.60} is none of {', '.join(choices)}")
    for role, column in recipe.fields.items():
        if role not in ROLES[recipe.kind]:
            raise unfit(
                "fields", f"{recipe.kind} have no {role!r:.40}; have: {', '.join(ROLES[recipe.kind])}"
            )
        if column not in recipe.columns:
            raise unfit("fields", f"{role} is column {column!r:.40}, which the file does not have")
    missing = [role for role in NEEDED[recipe.kind] if role not in recipe.fields]
    if recipe.kind == "quotes" and not {"bid", "ask"} & set(recipe.fields):
        missing.append("bid")
    if missing:
        raise unfit("fields", f"{recipe.kind} need {', '.join(missing)}")
    if len(set(recipe.columns)) != len(recipe.columns) or not recipe.columns:
        raise unfit("columns", "each must be named once")
    instant.zone(recipe.zone)
    if recipe.date not in ("", "name") and instant.day_of(recipe.date) is None:
        raise unfit("date", f"{recipe.date!r:.40} is neither 'name' nor YYYY-MM-DD")
    if recipe.interval:
        Interval.parse(recipe.interval)
    elif recipe.kind == "bars":
        raise unfit("interval", "bars need one")
    for name in ("price_power", "size_power", "price_places", "size_places"):
        value = getattr(recipe, name)
        places = name.endswith("places")
        if value is None and places:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not (0 if places else -18) <= value <= 18:
            raise unfit(name, f"{value!r:.40} is no whole number up to 18")
    if recipe.instrument and not _INSTRUMENT.fullmatch(recipe.instrument):
        raise unfit("instrument", f"{recipe.instrument!r:.60} is not written like BTC-USD.kraken")
    if recipe.venue and not VENUE.fullmatch(recipe.venue):
        raise unfit("venue", f"{recipe.venue!r:.40} is no name of small letters, digits and hyphens")
    if not VENUE.fullmatch(recipe.source) or recipe.source == "live":
        raise unfit("source", f"{recipe.source!r:.40} is no name of small letters, digits and hyphens")
    if any(value not in ("buy", "sell") for value in recipe.aggressor.values()):
        raise unfit("aggressor", "it says buy or sell for each value")
    delay = recipe.delay_s
    if not isinstance(delay, int | float) or isinstance(delay, bool) or not 0 <= delay <= 10**8:
        raise unfit("delay_s", f"{delay!r:.40} is no number of seconds")
    if not isinstance(recipe.pairs, bool):
        raise unfit("pairs", "it is true or false")
    dialect = recipe.dialect
    if dialect.delimiter not in DELIMITERS or dialect.encoding not in ENCODINGS or dialect.point not in ".,":
        raise unfit("dialect", "delimiter, encoding or point is not one that is read")
    if len(dialect.quote) > 1 or dialect.type != ("jsonl" if recipe.shape == "jsonl" else "csv"):
        raise unfit("dialect", "quote is one character or none; type follows shape")
    if not isinstance(dialect.skip, int) or not 0 <= dialect.skip <= 1000:
        raise unfit("dialect", "skip is a number of lines up to 1000")
    if recipe.irregular.mask:
        try:
            int(recipe.irregular.mask, 16)
        except ValueError:
            raise unfit("irregular", "mask is no hexadecimal number") from None
    return recipe


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _part(name: str, part: type, value: Any) -> Any:
    if not isinstance(value, dict):
        raise unfit(name, "it is no object")
    kinds = {one.name: one for one in fields(part)}
    for key in value:
        if key not in kinds:
            raise unfit(f"{name}.{key}", "it is not known")
    given = {key: _texts(key, item) if isinstance(item, list) else item for key, item in value.items()}
    for key, item in given.items():
        if not isinstance(item, type(getattr(part(), key))):
            raise unfit(f"{name}.{key}", f"{item!r:.40} does not fit")
    return part(**given)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 1000 or not all(isinstance(one, str) for one in value):
        raise unfit(name, "it is no list of texts")
    return tuple(value)


# ── names of instruments ──────────────────────────────────────────────────────────────────────────

CURRENCIES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "DAI", "USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "NZD",
    "TRY", "BRL", "BTC", "XBT", "ETH", "BNB",
)  # fmt: skip


def instrument_of(recipe: Recipe, symbol: str) -> str | None:
    """The instrument that a symbol of the file means; None for what cannot be one."""
    if recipe.instrument:
        return recipe.instrument
    if not recipe.venue:
        return symbol if _INSTRUMENT.fullmatch(symbol) else None
    name = symbol_name(symbol, pairs=recipe.pairs)
    return f"{name}.{recipe.venue}" if name else None


def symbol_name(symbol: str, *, pairs: bool) -> str | None:
    """Our spelling of a file's symbol, without the venue; None for what cannot be one."""
    text = symbol.strip()
    if not _SYMBOL.fullmatch(text):
        return None
    name = (
        text.upper()
        .removeprefix("X:")
        .removeprefix("C:")
        .replace("/", "-")
        .replace(":", "-")
        .replace("_", "-")
    )
    if pairs and "-" not in name:
        # XBTUSD is XBT and USD, though XB and TUSD would do.
        ends = [one for one in CURRENCIES if name.endswith(one) and len(name) > len(one) + 1]
        quote = next((one for one in ends if len(name) > len(one) + 2), next(iter(ends), ""))
        name = f"{name[: -len(quote)]}-{quote}" if quote else name
    if pairs:
        name = "-".join("BTC" if part == "XBT" else part for part in name.split("-"))
    return name if _INSTRUMENT.fullmatch(f"{name}.x") else None
