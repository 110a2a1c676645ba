"""Columns of the datasets: type, unit and meaning of each, as `DESCRIBE` and `docs/query.md` have them."""

from __future__ import annotations

from dataclasses import dataclass

PRICE = "DECIMAL(32,12)"
VOLUME = "DECIMAL(38,12)"


@dataclass(frozen=True)
class Field:
    """One column of a view (`query.view`)."""

    name: str
    type: str
    """As DuckDB names it."""
    unit: str | None
    nullable: bool
    meaning: str


def _text(name: str, meaning: str) -> Field:
    return Field(name, "VARCHAR", None, False, meaning)


def _time(name: str, meaning: str) -> Field:
    return Field(name, "TIMESTAMP_NS", "UTC, ns", False, meaning)


def _count(name: str, meaning: str, *, wide: bool = True, unit: str | None = None) -> Field:
    return Field(name, "BIGINT" if wide else "INTEGER", unit, False, meaning)


_NAMES = (_text("venue", "where it trades"), _text("instrument", "what is traded: BTC-USD.kraken"))
_ARRIVED = _time("ts_recv", "when this platform had it")
_KNOWN = _time("ts_known", "the earliest time a strategy may use it")
_ORIGIN = (
    _text("source", "live, or who brought it"),
    _count("epoch", "of the venue's journal; 0 did not come from one", wide=False),
    _count("sequence", "number in the journal, dense within its epoch"),
)
_DATE = Field("date", "DATE", "UTC", False, "day of ts_event; files lie by it")


def _tick(price: str, size: str, *of: Field) -> tuple[Field, ...]:
    return (
        *_NAMES,
        _time("ts_event", "the venue's clock"),
        _ARRIVED,
        Field("price", PRICE, "quote currency", False, price),
        Field("size", PRICE, "base currency, or shares", False, size),
        *of,
        Field("id", "BIGINT", None, True, "the venue's own; null where it has none"),
        _KNOWN,
        *_ORIGIN,
        _DATE,
    )


def _price(name: str, meaning: str) -> Field:
    return Field(name, PRICE, "quote currency", False, meaning)


_SIDE = _text("side", "bid, ask or none")

FIELDS: dict[str, tuple[Field, ...]] = {
    "trades": _tick(
        "at which it was executed",
        "that changed hands",
        _text("aggressor", "who crossed the spread: buy, sell, none"),
    ),
    "quotes": _tick("best of its side", "offered at it", _SIDE),
    "levels": _tick(
        "of the level",
        "at the level now; 0 removes it",
        _SIDE,
        _text("change", "set, or clear: the book was emptied"),
    ),
    "bars": (
        *_NAMES,
        _text("interval", "1s, 1m, 1h or 1d"),
        _time("ts", "start"),
        _time("ts_end", "end, not included"),
        _price("open", "first trade"),
        _price("high", "highest trade"),
        _price("low", "lowest trade"),
        _price("close", "last trade"),
        Field("volume", VOLUME, "base currency, or shares", False, "sum of the trades' sizes"),
        _count("trades", "how many", unit="trades"),
        _count("revision", "how often a late trade changed it", wide=False),
        _ARRIVED,
        _KNOWN,
        *_ORIGIN,
        Field("month", "VARCHAR", "UTC", False, "month of ts; files lie by it"),
    ),
}
