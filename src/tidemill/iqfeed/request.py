"""Requests to the lookup port. Each carries an id of ours, which every line of its reply begins with.

Times are Eastern, `YYYYMMDD HHMMSS` (`eastern.asked`); dates `YYYYMMDD`; filters `HHMMSS`; rows come oldest
first unless it says otherwise, bars are labelled with their begin.
"""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.errors import UsageError

OLDEST_FIRST, NEWEST_FIRST = "1", "0"
LINES_A_SEND = "500"
LABEL_AT_BEGIN = "1"


@dataclass(frozen=True)
class Request:
    """One line, with a place for the id."""

    before: tuple[str, ...]
    after: tuple[str, ...] = ()

    def line(self, id_: str) -> str:
        """The line, without its end. Raises `UsageError` where a field would break out of it."""
        fields = (*self.before, id_, *self.after)
        for field in fields:
            if not field.isprintable() or "," in field:
                raise UsageError(
                    "symbol_invalid",
                    f"{field[:40]!r} cannot be asked of IQFeed",
                    hint="leave out commas and what cannot be printed",
                )
        return ",".join(fields)


def _count(rows: int | None) -> str:
    return "" if rows is None else str(rows)


def last_ticks(symbol: str, rows: int | None = None) -> Request:
    """HTX: the newest ticks."""
    return Request(("HTX", symbol, _count(rows), OLDEST_FIRST), (LINES_A_SEND,))


def ticks_of_days(symbol: str, days: int, rows: int | None = None, begin: str = "", end: str = "") -> Request:
    """HTD: ticks of the last days, today included, between two times of the day."""
    return Request(("HTD", symbol, str(days), _count(rows), begin, end, OLDEST_FIRST), (LINES_A_SEND,))


def ticks_between(symbol: str, begin: str, end: str, rows: int | None = None) -> Request:
    """HTT: ticks of a span."""
    return Request(("HTT", symbol, begin, end, _count(rows), "", "", OLDEST_FIRST), (LINES_A_SEND,))


def _labelled(unit: str) -> tuple[str, str, str]:
    """What stands behind the id: clients disagree on the label's default, so it is always said."""
    return (LINES_A_SEND, unit, LABEL_AT_BEGIN)


def last_bars(symbol: str, interval: int, rows: int | None = None, unit: str = "s") -> Request:
    """HIX: the newest bars. `unit`: s seconds, v volume, t ticks."""
    return Request(("HIX", symbol, str(interval), _count(rows), OLDEST_FIRST), _labelled(unit))


def bars_of_days(
    symbol: str, interval: int, days: int, rows: int | None = None, begin: str = "", end: str = "",
    unit: str = "s",
) -> Request:  # fmt: skip
    """HID: bars of the last days, today included, between two times of the day."""
    before = ("HID", symbol, str(interval), str(days), _count(rows), begin, end, OLDEST_FIRST)
    return Request(before, _labelled(unit))


def bars_between(
    symbol: str, interval: int, begin: str, end: str, rows: int | None = None, unit: str = "s"
) -> Request:
    """HIT: bars of a span."""
    before = ("HIT", symbol, str(interval), begin, end, _count(rows), "", "", OLDEST_FIRST)
    return Request(before, _labelled(unit))


def last_days(symbol: str, rows: int | None = None) -> Request:
    """HDX: the newest daily bars."""
    return Request(("HDX", symbol, _count(rows), OLDEST_FIRST), (LINES_A_SEND,))


def days_between(symbol: str, begin: str, end: str, rows: int | None = None) -> Request:
    """HDT: daily bars of a span of dates, both included."""
    return Request(("HDT", symbol, begin, end, _count(rows), OLDEST_FIRST), (LINES_A_SEND,))


def last_weeks(symbol: str, rows: int | None = None) -> Request:
    """HWX: the newest weekly bars."""
    return Request(("HWX", symbol, _count(rows), OLDEST_FIRST), (LINES_A_SEND,))


def last_months(symbol: str, rows: int | None = None) -> Request:
    """HMX: the newest monthly bars."""
    return Request(("HMX", symbol, _count(rows), OLDEST_FIRST), (LINES_A_SEND,))


def symbols(text: str, *, in_description: bool) -> Request:
    """SBF: symbols whose spelling, or whose description, holds `text`."""
    return Request(("SBF", "d" if in_description else "s", text, "", ""))


def markets() -> Request:
    """SLM: the markets there are. The cheapest question that its servers, not IQConnect alone, answer."""
    return Request(("SLM",))


def security_types() -> Request:
    """SST: what a symbol can be, by number."""
    return Request(("SST",))
