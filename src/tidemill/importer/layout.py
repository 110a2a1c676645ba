"""Layouts of files that are known by their columns or their names, as data.

LEAN: https://github.com/QuantConnect/Lean/tree/master/Data (readme of each folder). Binance:
https://github.com/binance/binance-public-data. Kraken: support.kraken.com, "Downloadable historical OHLCVT
data". Polygon: https://polygon.io/docs/flat-files. Databento: https://databento.com/docs/schemas-and-data-formats.
Tardis: https://docs.tardis.dev/downloadable-csv-files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemill.importer.recipe import Irregular, Kind


@dataclass(frozen=True)
class Layout:
    """One kind of file of somebody."""

    name: str
    kind: Kind
    fields: Mapping[str, str]
    """Role to column."""
    columns: tuple[str, ...] = ()
    """Of a file without a header: all of them. The name must then fit, too."""
    marks: tuple[str, ...] = ()
    """Columns that such a file has, besides those of `fields`."""
    path: str = ""
    """Regular expression of the file's name with its folders; groups symbol, date, interval, market."""
    venue: str = "import"
    source: str = "import"
    time: str = ""
    """Empty: by the size of the numbers, or as they are written."""
    zone: str = "UTC"
    at: str = "start"
    interval: str = ""
    power: int = 0
    pairs: bool = False
    aggressor: Mapping[str, str] = field(default_factory=dict)
    irregular: Irregular = field(default_factory=Irregular)
    note: str = ""


_MAKER = {"true": "sell", "false": "buy", "1": "sell", "0": "buy"}
"""Of columns that say whether the buyer was the maker: then the seller crossed the spread."""
_SIDE = {
    "buy": "buy",
    "sell": "sell",
    "b": "buy",
    "s": "sell",
    "bid": "buy",
    "ask": "sell",
    "1": "buy",
    "-1": "sell",
}
_OHLCV = ("time", "open", "high", "low", "close", "volume")
_BOTH = (
    "time", "bid_open", "bid_high", "bid_low", "bid_close", "bid_size",
    "ask_open", "ask_high", "ask_low", "ask_close", "ask_size",
)  # fmt: skip
_LAST = {
    "time": "time",
    "bid": "bid_close",
    "bid_size": "bid_size",
    "ask": "ask_close",
    "ask_size": "ask_size",
}
_LAST_NOTE = "bars of quotes: only the bid and ask at the end of each interval are kept, as quotes"


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


# In LEAN's tick files 1000000 marks the official close, which repeats what was traded before.
_LEAN_IRREGULAR = Irregular(suspicious=("1",), mask="1000000")
_LEAN_DAY = r"(?P<date>\d{8})_(?:(?P<symbol>[a-z0-9.]+)_)?"
_EQUITY = r"(?:^|/)equity/(?P<market>\w+)/"
_FOREX = r"(?:^|/)(?:forex|cfd)/(?P<market>\w+)/"
_CRYPTO = r"(?:^|/)crypto/(?P<market>\w+)/"
_FUTURE = r"(?:^|/)cryptofuture/(?P<market>\w+)/"
_WITHIN = r"(?:(?P<interval>second|minute)/)(?P<folder>[^/]+)/"
_OVER = r"(?P<interval>hour|daily)/(?P<folder>[^/_.]+)"


def _lean() -> list[Layout]:
    found = []
    for market, prefix, venue, zone, power in (
        ("equity", _EQUITY, "lean", "America/New_York", -4),
        ("forex", _FOREX, "lean-", "Etc/GMT+5", 0),
        ("crypto", _CRYPTO, "lean-", "UTC", 0),
        ("cryptofuture", _FUTURE, "lean-future-", "UTC", 0),
    ):
        shared: dict[str, object] = {
            "venue": venue, "source": "lean", "zone": zone, "power": power, "pairs": market != "equity",
        }  # fmt: skip

        def made(
            name: str, kind: Kind, columns: tuple[str, ...], path: str, roles: dict[str, str], **rest: object
        ) -> Layout:
            return Layout(
                f"lean-{market}-{name}", kind, roles, columns, path=path, **{**shared, **rest},  # type: ignore[arg-type]  # noqa: B023
            )  # fmt: skip

        trade = ("time", "price", "size", "exchange", "conditions", "suspicious")
        quote = ("time", "bid", "bid_size", "ask", "ask_size", "exchange", "conditions", "suspicious")
        tick = rf"{prefix}tick/(?P<folder>[^/]+)/(?P<date>\d{{8}})_"
        if market == "equity":
            roles = _same(*trade)
            found.append(
                made(
                    "tick-trade",
                    "trades",
                    trade,
                    f"{tick}trade",
                    roles,
                    time="ms_of_day",
                    irregular=_LEAN_IRREGULAR,
                )
            )
            roles = _same("time", "bid", "bid_size", "ask", "ask_size")
            found.append(made("tick-quote", "quotes", quote, f"{tick}quote", roles, time="ms_of_day"))
        else:
            roles = _same("time", "price", "size")
            found.append(made("tick-trade", "trades", trade[:3], f"{tick}trade", roles, time="ms_of_day"))
            for columns in (("time", "bid", "ask"), ("time", "bid", "bid_size", "ask", "ask_size")):
                found.append(
                    made("tick-quote", "quotes", columns, f"{tick}quote", _same(*columns), time="ms_of_day")
                )
        within = rf"{prefix}{_WITHIN}(?P<date>\d{{8}})_"
        found.append(made("trade-bars", "bars", _OHLCV, f"{within}trade", _same(*_OHLCV), time="ms_of_day"))
        found.append(
            made("quote-bars", "quotes", _BOTH, f"{within}quote", _LAST, time="ms_of_day", note=_LAST_NOTE)
        )
        found.append(
            made("trade-bars-long", "bars", _OHLCV, f"{prefix}{_OVER}", _same(*_OHLCV), time="YYYYMMDD")
        )
        found.append(
            made(
                "quote-bars-long",
                "quotes",
                _BOTH,
                f"{prefix}{_OVER}",
                _LAST,
                time="YYYYMMDD",
                note=_LAST_NOTE,
            )
        )
    return found


_KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_KLINE_ROLES = {**_same("open", "high", "low", "close", "volume"), "time": "open_time", "trades": "count"}
_BINANCE = r"(?:^|/)(?P<symbol>[A-Z0-9]{4,20}(?:_[A-Z0-9]+)?)-"
_AGGREGATES = (
    "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker",
    "is_best_match",
)  # fmt: skip
_AGGREGATE_ROLES = {
    "time": "transact_time", "price": "price", "size": "quantity", "id": "agg_trade_id",
    "aggressor": "is_buyer_maker",
}  # fmt: skip
_BTRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
_BTRADE_ROLES = {"time": "time", "price": "price", "size": "qty", "id": "id", "aggressor": "is_buyer_maker"}


def _binance() -> list[Layout]:
    found = []
    for name, kind, roles, columns, path in (
        ("klines", "bars", _KLINE_ROLES, (_KLINES,), rf"{_BINANCE}(?P<interval>\d+(?:s|m|h|d|w|mo))-\d{{4}}"),
        (
            "agg-trades",
            "trades",
            _AGGREGATE_ROLES,
            (_AGGREGATES, _AGGREGATES[:7]),
            rf"{_BINANCE}aggTrades-\d{{4}}",
        ),
        ("trades", "trades", _BTRADE_ROLES, (_BTRADES, _BTRADES[:6]), rf"{_BINANCE}trades-\d{{4}}"),
    ):
        for names in (*columns, ()):
            found.append(
                Layout(
                    f"binance-{name}",
                    kind,  # type: ignore[arg-type]
                    roles,
                    names,
                    path=path,
                    venue="binance",
                    source="binance-vision",
                    pairs=True,
                    aggressor=_MAKER,
                )
            )
    return found


_KRAKEN = r"(?:^|/)(?P<symbol>[A-Z0-9]{5,14})"
_DATABENTO = ("rtype", "publisher_id", "instrument_id")

LAYOUTS: tuple[Layout, ...] = (
    *_lean(),
    *_binance(),
    Layout(
        "kraken-ohlcvt",
        "bars",
        _same(*_OHLCV, "trades"),
        (*_OHLCV, "trades"),
        venue="kraken",
        path=rf"{_KRAKEN}_(?P<interval>\d{{1,5}})\.csv$",
        source="kraken-csv",
        time="epoch_s",
        pairs=True,
    ),
    Layout(
        "kraken-trades",
        "trades",
        _same("time", "price", "size"),
        ("time", "price", "size"),
        venue="kraken",
        path=rf"{_KRAKEN}\.csv$",
        source="kraken-csv",
        time="epoch_s",
        pairs=True,
    ),
    Layout(
        "polygon-bars",
        "bars",
        {
            **_same("open", "high", "low", "close", "volume"),
            "symbol": "ticker",
            "time": "window_start",
            "trades": "transactions",
        },
        venue="polygon",
        source="polygon-flat",
        time="epoch_ns",
        path=r"(?P<interval>day|minute|second)_aggs",
    ),
    Layout(
        "polygon-bars",
        "bars",
        {
            **_same("open", "high", "low", "close", "volume"),
            "symbol": "ticker",
            "time": "window_start",
            "trades": "transactions",
        },
        venue="polygon",
        source="polygon-flat",
        time="epoch_ns",
    ),
    Layout(
        "polygon-trades",
        "trades",
        {
            **_same("price", "size", "conditions", "exchange", "id"),
            "symbol": "ticker",
            "time": "participant_timestamp",
        },
        marks=("sip_timestamp",),
        venue="polygon",
        source="polygon-flat",
        time="epoch_ns",
        # As Polygon's /v3/reference/conditions says of what updates neither high and low nor open and close.
        irregular=Irregular(
            conditions=("2", "7", "10", "13", "15", "16", "20", "21", "22", "29", "37", "52", "53")
        ),
    ),
    Layout(
        "polygon-quotes",
        "quotes",
        {
            "symbol": "ticker",
            "time": "participant_timestamp",
            "bid": "bid_price",
            "ask": "ask_price",
            **_same("bid_size", "ask_size"),
        },
        marks=("sip_timestamp",),
        venue="polygon",
        source="polygon-flat",
        time="epoch_ns",
    ),
    Layout(
        "databento-bars",
        "bars",
        {**_same("open", "high", "low", "close", "volume", "symbol"), "time": "ts_event"},
        marks=_DATABENTO,
        venue="databento",
        source="databento",
    ),
    Layout(
        "databento-quotes",
        "quotes",
        {
            "time": "ts_event",
            "bid": "bid_px_00",
            "bid_size": "bid_sz_00",
            "ask": "ask_px_00",
            "ask_size": "ask_sz_00",
            "symbol": "symbol",
        },
        marks=_DATABENTO,
        venue="databento",
        source="databento",
    ),
    Layout(
        "databento-trades",
        "trades",
        {"time": "ts_event", "aggressor": "side", **_same("price", "size", "symbol")},
        marks=(*_DATABENTO, "action"),
        venue="databento",
        source="databento",
        aggressor={"b": "buy", "a": "sell"},
    ),
    Layout(
        "tardis-trades",
        "trades",
        {"time": "timestamp", "size": "amount", "aggressor": "side", **_same("symbol", "price", "id")},
        marks=("exchange", "local_timestamp"),
        venue="tardis",
        source="tardis",
        time="epoch_us",
        aggressor=_SIDE,
        pairs=True,
    ),
    Layout(
        "tardis-quotes",
        "quotes",
        {
            "time": "timestamp",
            "bid": "bid_price",
            "bid_size": "bid_amount",
            "ask": "ask_price",
            "ask_size": "ask_amount",
            "symbol": "symbol",
        },
        marks=("exchange", "local_timestamp"),
        venue="tardis",
        source="tardis",
        time="epoch_us",
        pairs=True,
    ),
    Layout(
        "tardis-book-top",
        "quotes",
        {
            "time": "timestamp",
            "bid": "bids[0].price",
            "bid_size": "bids[0].amount",
            "ask": "asks[0].price",
            "ask_size": "asks[0].amount",
            "symbol": "symbol",
        },
        marks=("exchange", "local_timestamp"),
        venue="tardis",
        source="tardis",
        time="epoch_us",
        pairs=True,
        note="a snapshot of many levels: only the best bid and ask are kept, as quotes",
    ),
    Layout(
        "tidemill-trades",
        "trades",
        {"time": "ts_event", **_same("price", "size", "aggressor", "id"), "symbol": "instrument"},
        marks=("venue", "epoch", "sequence"),
        venue="",
        source="tidemill",
        time="epoch_ns",
        aggressor=_SIDE,
    ),
    Layout(
        "tidemill-bars",
        "bars",
        {"time": "ts", **_same("open", "high", "low", "close", "volume", "trades"), "symbol": "instrument"},
        marks=("venue", "interval", "ts_end"),
        venue="",
        source="tidemill",
        time="epoch_ns",
    ),
)
"""The first that fits is meant."""

UNREADABLE: Mapping[str, tuple[str, ...]] = {
    "book deltas": ("first_update_id", "last_update_id", "side"),
    "book deltas (Tardis)": ("is_snapshot", "side", "price", "amount"),
}
"""Layouts that are known and cannot be imported, by columns that they have."""

ROLE_NAMES: Mapping[str, tuple[str, ...]] = {
    "time": (
        "time",
        "timestamp",
        "ts",
        "datetime",
        "date",
        "open_time",
        "opentime",
        "ts_event",
        "unix",
        "epoch",
        "date_time",
        "gmt time",
        "local time",
        "t",
        "unix_timestamp",
        "window_start",
        "trade_time",
        "start",
    ),
    "clock": ("time", "clock", "hour"),
    "open": ("open", "o", "first"),
    "high": ("high", "h", "max"),
    "low": ("low", "l", "min"),
    "close": ("close", "c", "last", "adj close*", "close*"),
    "volume": (
        "volume",
        "vol",
        "v",
        "vol.",
        "base_volume",
        "volume_base",
        "tick_volume",
        "tickvol",
        "quantity",
    ),
    "trades": (
        "trades",
        "count",
        "transactions",
        "n",
        "num_trades",
        "number_of_trades",
        "tradecount",
        "trade_count",
    ),
    "price": ("price", "p", "px", "last_price", "trade_price"),
    "size": ("size", "quantity", "qty", "amount", "volume", "s", "sz", "vol", "q"),
    "aggressor": (
        "aggressor",
        "side",
        "taker_side",
        "buyer_maker",
        "is_buyer_maker",
        "isbuyermaker",
        "direction",
        "m",
    ),
    "id": ("id", "trade_id", "tradeid", "tid"),
    "conditions": ("conditions", "condition", "sale_condition"),
    "exchange": ("exchange", "ex", "venue", "market"),
    "bid": ("bid", "bid_price", "bidprice", "best_bid", "bid_px"),
    "bid_size": ("bid_size", "bidsize", "bid_qty", "bid_amount", "bid_volume", "bidvolume", "best_bid_qty"),
    "ask": ("ask", "ask_price", "askprice", "best_ask", "ask_px", "offer"),
    "ask_size": ("ask_size", "asksize", "ask_qty", "ask_amount", "ask_volume", "askvolume", "best_ask_qty"),
    "symbol": ("symbol", "ticker", "instrument", "sym", "pair", "product_id", "name"),
}
"""What columns are called, in lower case, the likeliest first."""

SIDES = _SIDE
MAKER = _MAKER
LENGTHS: Mapping[str, str] = {
    "second": "1s", "minute": "1m", "hour": "1h", "daily": "1d", "day": "1d",
    "1": "1m", "60": "1h", "1440": "1d",
}  # fmt: skip
"""Intervals as names of files write them; Kraken's are minutes."""


def inside(layout: Layout, name: str) -> re.Match[str] | None:
    """What a file's name says, where it fits the layout."""
    return re.search(layout.path, name, re.IGNORECASE if layout.source == "lean" else 0)
