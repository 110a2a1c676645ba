"""Numbers, times and texts as a report shows them. Whatever comes in leaves escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

NONE = "—"
_THIN = "\u202f"
_MINUS = "\u2212"


def escaped(value: object) -> str:
    """Any text as HTML shows it."""
    return html.escape(str(value), quote=True).replace("\x00", "\ufffd")


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """`1,234.50`; the real minus; a dash for none."""
    if value is None:
        return NONE
    if round(value, digits) == 0:
        value = 0.0
    return f"{value:{'+' if sign and value else ''},.{digits}f}".replace("-", _MINUS)


def percent(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A fraction in hundredths: `+12.40 %`."""
    return NONE if value is None else number(value * 100, digits, sign=sign) + _THIN + "%"


def count(value: float | None) -> str:
    """A whole number."""
    return NONE if value is None else number(value, 0)


def day(ns: int | None) -> str:
    """`20 Nov 2026`, UTC."""
    if ns is None:
        return NONE
    at = datetime.fromtimestamp(ns // 10**9, UTC)
    return f"{at.day} {at:%b %Y}"


def minute(ns: int | None) -> str:
    """`20 Nov 2026 14:03`, UTC."""
    if ns is None:
        return NONE
    return f"{day(ns)} {datetime.fromtimestamp(ns // 10**9, UTC):%H:%M}"


def length(seconds: float | None) -> str:
    """`4 min`, `3.2 h`, `12.5 d`."""
    if seconds is None:
        return NONE
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{number(seconds / size, 1)}{_THIN}{unit}"
    return f"{number(seconds, 0)}{_THIN}s"


def look(value: float | None) -> str:
    """The class of a number that has a direction."""
    return "" if not value else "up" if value > 0 else "down"


Cell = str | tuple[str, str]
"""Escaped text, alone or with the classes of its cell."""


def table(heads: Sequence[Cell], rows: Iterable[Sequence[Cell]], classes: str = "") -> str:
    """A table of cells; no heads, no head."""
    head = "".join(_cell("th", one) for one in heads)
    body = "".join("<tr>" + "".join(_cell("td", one) for one in row) + "</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if heads else ""
    return f'<div class="wide"><table class="{classes}">{top}<tbody>{body}</tbody></table></div>'


def _cell(name: str, cell: Cell) -> str:
    text, classes = (cell, "") if isinstance(cell, str) else cell
    return f'<{name} class="{classes}">{text}</{name}>' if classes else f"<{name}>{text}</{name}>"


def panel(
    title: str, body: str, *, sub: str = "", end: str = "", classes: str = "", flush: bool = False
) -> str:
    """A titled part of the page; `title`, `sub` and `end` are HTML."""
    aside = f'<span class="sub">{sub}</span>' if sub else ""
    right = f'<span class="end">{end}</span>' if end else ""
    inner = body if flush else f'<div class="body">{body}</div>'
    return (
        f'<section class="panel {classes}"><div class="head"><h2>{title}</h2>{aside}{right}</div>'
        f"{inner}</section>"
    )
