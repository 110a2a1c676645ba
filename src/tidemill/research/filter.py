"""What a list of runs is narrowed by, as people write it: `strategy:sma* sharpe>1 max_drawdown>-10% btc`.

name:text     strategy, instrument, interval, engine, state, origin; `*` stands for anything
param:a=b     a parameter with that value
name>number   any number that a list can be sorted by, and `rows`; > >= < <= =, and % for hundredths
created>day   when it was made, UTC: 2026-01-31
word          in id, strategy, instruments, interval or parameters; every word has to be found
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt
from typing import Any, Final

from tidemill.errors import UsageError, nearest

TERMS_MAX: Final = 20
TEXTS: Final = ("strategy", "instrument", "interval", "engine", "state", "origin", "param")
OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {">": gt, ">=": ge, "<": lt, "<=": le, "=": eq}
_TERM: Final = re.compile(r"([a-z_]+)(:|>=|<=|>|<|=)(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Like:
    """A name whose text has to look like this; `*` stands for anything."""

    name: str
    text: str


@dataclass(frozen=True)
class Compared:
    """A number that has to lie on one side of another."""

    name: str
    operator: str
    value: float


Term = Like | Compared
"""One condition; all of a filter have to hold."""


def read(text: str, numbers: tuple[str, ...]) -> tuple[list[Term], list[str]]:
    """The conditions of a filter, and the words to be found, lower case. `numbers` are the names that can be
    compared. Raises `UsageError` `filter_invalid` for a name, an operator or a value that there is not."""
    parts = text.split()
    if len(parts) > TERMS_MAX:
        raise _unfit(f"a filter of {len(parts)} terms", f"write {TERMS_MAX} at most")
    terms: list[Term] = []
    words: list[str] = []
    for part in parts:
        found = _TERM.fullmatch(part)
        if found is None:
            words.append(part.lower())
        else:
            terms.append(_term(part, found[1].lower(), found[2], found[3], numbers))
    return terms, words


def _term(part: str, name: str, operator: str, value: str, numbers: tuple[str, ...]) -> Term:
    known = (*TEXTS, *numbers, "created")
    if name not in known:
        near = nearest(name, frozenset(known), 1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}"
        raise _unfit(f"{name!r} in the filter {part[:60]!r} is not known", hint)
    if name in TEXTS:
        if operator not in (":", "=") or not value:
            raise _unfit(f"the filter {part[:60]!r} has no text", f"write {name}:text")
        return Like(name, value)
    if operator not in OPERATORS:
        raise _unfit(f"{name} is a number, and {part[:60]!r} compares it with nothing", f"write {name}>1")
    return Compared(name, operator, _day(part, value) if name == "created" else _number(part, value))


def _number(part: str, value: str) -> float:
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = float("nan")
    if number != number or abs(number) == float("inf"):
        raise _unfit(f"{value[:40]!r} in the filter {part[:60]!r} is no number", "write 1, 0.5 or 50%")
    return number


def _day(part: str, value: str) -> float:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise _unfit(f"{value[:40]!r} in the filter {part[:60]!r} is no day", "write 2026-01-31") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e9


def _unfit(message: str, hint: str) -> UsageError:
    return UsageError("filter_invalid", message, hint=hint)
