"""What happened to an instrument on a date: split, dividend, symbol, delisting; since when known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidemill.errors import UsageError
from tidemill.model import time as times
from tidemill.model.interval import SECOND

Kind = Literal["split", "dividend", "symbol", "delisting"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?")


@dataclass(frozen=True)
class Fact:
    """One fact of one source. A later one of the same source, kind and date replaces it from then on."""

    instrument: str
    kind: Kind
    date: str
    """YYYY-MM-DD, the first trading date that it changes: of a split and a dividend the ex-date."""
    ts_known: int
    """ns UTC, the earliest time a strategy may know of it."""
    source: str
    ratio: str | None = None
    """Of a split: new shares for one old, "4" or "1/8" or "3/2"."""
    amount: str | None = None
    """Of a dividend: per share, decimal text."""
    factor: str | None = None
    """Of a dividend: what prices before it are multiplied with, where a source says only that."""
    currency: str | None = None
    symbol: str | None = None
    """Of a change: the symbol from this date on."""
    zone: str = "UTC"
    """Whose midnight begins the date, for prices within days: America/New_York."""
    void: bool = False
    """It takes back what this source said of this kind and date."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def starts(self) -> int:
        """Midnight UTC of its date, ns: where a day's bar of that date starts."""
        return times.parse(self.date)

    @property
    def begins(self) -> int:
        """Midnight of its date in its zone, ns UTC: what trades before it are counted by."""
        midnight = datetime.fromisoformat(self.date).replace(tzinfo=ZoneInfo(self.zone))
        return int(midnight.timestamp()) * SECOND


def fact(**given: Any) -> Fact:
    """A checked fact. Raises `UsageError` for what makes no sense. Without `ts_known` it is known from the
    midnight UTC of its date on: when it takes effect everybody knows."""
    date = str(given.get("date", ""))
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise _unfit("date", f"{date!r:.40} is not YYYY-MM-DD")
    given = {
        **given,
        "ts_known": given.get("ts_known") if given.get("ts_known") is not None else times.parse(date),
    }
    made = Fact(**given)
    if made.kind not in KINDS:
        raise _unfit("kind", f"{made.kind!r:.40} is none of {', '.join(KINDS)}")
    try:
        made.begins  # noqa: B018 - the date is one, and so is the zone
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise _unfit("zone", f"{made.zone!r:.40} is no time zone, or {date} no date") from None
    if made.void:
        return made
    if made.kind == "split":
        _positive("ratio", made.ratio)
    elif made.kind == "dividend" and made.factor is not None:
        if _positive("factor", made.factor) > 1:
            raise _unfit("factor", f"{made.factor} is above 1")
    elif made.kind == "dividend":
        _positive("amount", made.amount)
    elif made.kind == "symbol" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", made.symbol or ""):
        raise _unfit("symbol", f"{made.symbol!r:.40} is no symbol")
    return made


def known(facts: Iterable[Fact], at: int | None = None) -> list[Fact]:
    """Those that count at a time (ns UTC; None: all that are ever known), by date: of each source, kind and
    date the newest, where it was not taken back."""
    newest: dict[tuple[str, str, str, str], Fact] = {}
    for one in sorted(facts, key=lambda one: one.ts_known):
        if at is None or one.ts_known <= at:
            newest[one.instrument, one.kind, one.date, one.source] = one
    return sorted(
        (one for one in newest.values() if not one.void), key=lambda one: (one.date, one.kind, one.source)
    )


def fraction(text: str) -> Fraction:
    """ "3/2", "4" or "0.25", exactly."""
    over, _, under = text.partition("/")
    return Fraction(over) / Fraction(under or 1)


def _positive(name: str, text: str | None) -> Fraction:
    parts = (text or "").split("/")
    if not 1 <= len(parts) <= 2 or not all(_NUMBER.fullmatch(part) and Fraction(part) > 0 for part in parts):
        raise _unfit(name, f"{text!r:.60} is no number above 0")
    return fraction(text or "")


def _unfit(name: str, why: str) -> UsageError:
    return UsageError(
        "fact_invalid", f"the fact's {name}: {why}", hint="docs/import.md#facts lists what each kind has"
    )
