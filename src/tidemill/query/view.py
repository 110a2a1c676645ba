"""Datasets as views: names and types for people, prices exact, times readable; `raw` has them as stored.

A row's price is an integer and its decimal places, which change from row to row; a column has one type. It is
DECIMAL(38, 12), or, where a row has more places than that, DECIMAL(38, 18) in the whole query.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.stores.table import TABLES

PLACES, PLACES_WIDE = 12, 18
TOO_MANY_PLACES = "tidemill: more decimal places than the column has"

_TIMES = "make_timestamp_ns(ts_event) AS ts_event, make_timestamp_ns(ts_recv) AS ts_recv, "
_KNOWN = "make_timestamp_ns(ts_known) AS ts_known, source, epoch, sequence"


def _decimal(mantissa: str, scale: str, places: int, width: int = 19) -> str:
    """The exact number: a product of decimals, which DuckDB computes in 128 bits and checks."""
    cases = " ".join(
        f"WHEN {at} THEN {10.0**-at:.{places}f}::DECIMAL({places + 1}, {places})" for at in range(places + 1)
    )
    return f"{mantissa}::DECIMAL({width}, 0) * CASE {scale} {cases} ELSE error('{TOO_MANY_PLACES}') END"


def _priced(places: int) -> str:
    price, size = _decimal("price", "price_scale", places), _decimal("size", "size_scale", places)
    return f"{price} AS price, {size} AS size, "


def _ticks(source: str, of: str, places: int) -> str:
    return f"SELECT venue, instrument, {_TIMES}{_priced(places)}{of}, id, {_KNOWN}, date FROM {source}"  # noqa: S608


def _bars(source: str, places: int) -> str:
    prices = ", ".join(
        f"{_decimal(name, 'price_scale', places)} AS {name}" for name in ("open", "high", "low", "close")
    )
    volume = _decimal("volume", "size_scale", places, 38)
    # A live bar before an imported one, then the newest revision, as everywhere.
    return (
        f"SELECT venue, instrument, interval, make_timestamp_ns(ts_event) AS ts, "  # noqa: S608
        f"make_timestamp_ns(ts_end) AS ts_end, {prices}, {volume} AS volume, trades, revision, "
        f"make_timestamp_ns(ts_recv) AS ts_recv, {_KNOWN}, month FROM {source} "
        "QUALIFY row_number() OVER (PARTITION BY instrument, interval, month, ts_event "
        "ORDER BY (epoch > 0) DESC, revision DESC, sequence DESC) = 1"
    )


def _instruments(source: str, _places: int) -> str:
    return (
        "SELECT instrument, venue, symbol, base, quote, tick, lot, price_scale, size_scale, "  # noqa: S608
        f"status, revision, {_KNOWN} FROM {source} QUALIFY row_number() OVER (PARTITION BY instrument "
        "ORDER BY revision DESC, sequence DESC) = 1"
    )


def definition(name: str, source: str, places: int = PLACES) -> str:
    """The SELECT of a dataset's view over `source`, which has the stored columns."""
    match name:
        case "trades":
            return _ticks(source, "aggressor", places)
        case "quotes":
            return _ticks(source, "side", places)
        case "levels":
            return _ticks(source, "side, CASE kind WHEN 4 THEN 'clear' ELSE 'set' END AS change", places)
        case "bars":
            return _bars(source, places)
        case "instruments":
            return _instruments(source, places)
        case "status":
            return (
                f"SELECT venue, instrument, {_TIMES}channel, code, connection, value, {_KNOWN}, date "  # noqa: S608
                f"FROM {source}"
            )
    raise ValueError(name)


VIEWS = ("trades", "quotes", "levels", "bars", "gaps", "instruments", "status")
"""Datasets by name. `gaps` are holes with their two ends: a table that `session` makes."""

KNOWN: frozenset[tuple[str, str]] = frozenset(
    {("main", name) for name in VIEWS} | {("raw", name) for name in TABLES}
)
"""Everything that a statement may read, as (schema, name)."""

SOURCES: Mapping[tuple[str, str], str] = {pair: pair[1] for pair in KNOWN}
"""The stored table that each is made of."""
