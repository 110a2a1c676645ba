"""Every known layout: a few lines as their source writes them, and the rows that they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.importer.place import read, write
from tidemill.errors import UsageError
from tidemill.model import time as times


def at(text: str) -> str:
    return str(times.parse(text))


VECTORS: list[tuple[str, str, str, str, str, list[dict[str, Any]]]] = [
    # description, file, text, layout, instrument, rows (some of their fields)
    (
        "LEAN equity ticks: hundredths of a cent, milliseconds of a day in New York",
        "equity/usa/tick/spy/20131007_trade.zip",
        "14400464,1674100,100,P,20002000,0\n71999536.5,1673000,100,K,1000000,0\n71999600,1,1,K,0,1\n",
        "lean-equity-tick-trade", "SPY.lean",
        [
            {"ts": at("2013-10-07T08:00:00.464Z"), "price": "167.4100", "size": "100", "irregular": False},
            {"ts": at("2013-10-07T23:59:59.5365Z"), "price": "167.3000", "irregular": True},
            {"price": "0.0001", "irregular": True},
        ],
    ),
    (
        "LEAN equity quotes: a side that is not there is zero",
        "equity/usa/tick/bac/20131007_quote.zip",
        "14400151,0,0,140200,500,Q,1,0\n14400554,138400,700,0,0,P,1,0\n",
        "lean-equity-tick-quote", "BAC.lean",
        [
            {"bid": None, "ask": "14.0200", "ask_size": "500"},
            {"bid": "13.8400", "bid_size": "700", "ask": None},
        ],
    ),
    (
        "LEAN equity seconds",
        "equity/usa/second/spy/20131007_trade.zip",
        "14400000,1674100,1674100,1674100,1674100,2049\n14402000,1672600,1672600,1672600,1672600,148\n",
        "lean-equity-trade-bars", "SPY.lean",
        [{"ts": at("2013-10-07T08:00:00Z"), "open": "167.4100", "volume": "2049", "trades": "0"}, {}],
    ),
    (
        "LEAN equity days begin at midnight UTC of their date",
        "equity/usa/daily/spy.zip",
        "19980102 00:00,973100,975300,965300,973600,2150000\n"
        "20210331 00:00,3953500,3980000,3953300,3963300,1\n",
        "lean-equity-trade-bars-long", "SPY.lean",
        [{"ts": at("1998-01-02"), "close": "97.3600"}, {"ts": at("2021-03-31"), "high": "398.0000"}],
    ),
    (
        "LEAN equity hours are New York's, winter and summer",
        "equity/usa/hour/spy.zip",
        "19980102 09:00,973100,975300,970300,970300,384500\n"
        "19980702 10:00,970200,971300,965300,970500,585900\n",
        "lean-equity-trade-bars-long", "SPY.lean",
        [{"ts": at("1998-01-02T14:00:00Z")}, {"ts": at("1998-07-02T14:00:00Z")}],
    ),
    (
        "LEAN crypto minutes are plain decimals in UTC",
        "crypto/coinbase/minute/btcusd/20180404_trade.zip",
        "0,7424.91,7424.91,7422,7422,7.14319709\n60000,7420,7422,7405,7405,13.35069752\n",
        "lean-crypto-trade-bars", "BTC-USD.lean-coinbase",
        [{"ts": at("2018-04-04"), "open": "7424.91", "low": "7422.00", "volume": "7.14319709"}, {}],
    ),
    (
        "LEAN bars of quotes: the last bid and ask, at the end of the interval",
        "forex/fxcm/minute/eurusd/20140501_quote.zip",
        "0,1.38727,1.38729,1.38723,1.38724,0,1.38729,1.38730,1.38727,1.38727,0\n",
        "lean-forex-quote-bars", "EUR-USD.lean-fxcm",
        [{"ts": at("2014-05-01T05:01:00Z"), "bid": "1.38724", "ask": "1.38727"}],
    ),
    (
        "LEAN forex ticks have no sizes",
        "forex/fxcm/tick/eurusd/20140501_quote.zip",
        "1787,1.38727,1.38729\n",
        "lean-forex-tick-quote", "EUR-USD.lean-fxcm",
        [{"ts": at("2014-05-01T05:00:01.787Z"), "bid": "1.38727", "ask": "1.38729", "bid_size": "0"}],
    ),
    (
        "Binance klines without a header, milliseconds",
        "BTCUSDT-1m-2024-01-01.zip",
        "1704067200000,42283.58,42298.62,42261.02,42298.61,35.92,1704067259999,1519032.2,1327,23.18,980394.6,0\n",
        "binance-klines", "BTC-USDT.binance",
        [{"ts": at("2024-01-01"), "close": "42298.61", "volume": "35.92", "trades": "1327"}],
    ),
    (
        "Binance klines since 2025, microseconds",
        "BTCUSDT-1m-2025-01-01.csv",
        "1735689600000000,93576.00,93610.93,93537.50,93610.93,8.21,1735689659999999,768978.6,2631,3.9,369757.3,0\n",
        "binance-klines", "BTC-USDT.binance", [{"ts": at("2025-01-01"), "trades": "2631"}],
    ),
    (
        "Binance futures klines with a header",
        "ETHUSDT-1h-2024-01.csv",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore\n1704067200000,2281.87,2295.5,2280.1,2290.0,5.5,1704070799999,1,7,1,1,0\n",
        "binance-klines", "ETH-USDT.binance", [{"ts": at("2024-01-01"), "trades": "7"}],
    ),
    (
        "Binance trades: the maker was the buyer, so the seller crossed",
        "BTCUSDT-trades-2024-01-01.csv",
        "3356000001,42283.58,0.00100,42.28,1704067200001,True,True\n"
        "3356000002,42283.59,0.5,2,1704067200002,False,True\n",
        "binance-trades", "BTC-USDT.binance",
        [
            {"id": "3356000001", "aggressor": "sell", "size": "0.00100"},
            {"id": "3356000002", "aggressor": "buy"},
        ],
    ),
    (
        "Binance aggregate trades",
        "BTCUSDT-aggTrades-2024-01.csv",
        "2819000001,42283.58,0.00100,3356000001,3356000001,1704067200001,true,true\n",
        "binance-agg-trades", "BTC-USDT.binance",
        [{"id": "2819000001", "aggressor": "sell", "price": "42283.58"}],
    ),
    (
        "Kraken OHLCVT: XBT is BTC, the interval is minutes of the name",
        "XBTUSD_1.csv",
        "1381095240,122.0,122.0,122.0,122.0,0.1,1\n1381179060,123.61,123.61,123.61,123.61,0.1,1\n",
        "kraken-ohlcvt", "BTC-USD.kraken", [{"ts": at("2013-10-06T21:34:00Z"), "trades": "1"}, {}],
    ),
    (
        "Kraken trades: seconds with decimals",
        "XBTUSD.csv", "1381095255.0425,122.00000,0.10000000\n1381179030,123.61000,0.1\n",
        "kraken-trades", "BTC-USD.kraken",
        [{"ts": at("2013-10-06T21:34:15.0425Z"), "price": "122.00000", "size": "0.10000000"}, {}],
    ),
    (
        "Polygon minute aggregates of one ticker",
        "us_stocks_sip/minute_aggs_v1/2024-01-02.csv.gz",
        "ticker,volume,open,close,high,low,window_start,transactions\n"
        "AAPL,4930,187.15,187.1,187.2,187.09,1704186000000000000,84\n",
        "polygon-bars", "AAPL.polygon",
        [{"ts": at("2024-01-02T09:00:00Z"), "close": "187.10", "high": "187.20", "trades": "84"}],
    ),
    (
        "Polygon trades: odd lots by code 37 do not count in bars",
        "trades_v1/2024-01-02.csv",
        "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,"
        'tape,trf_id,trf_timestamp\nAAPL,"12,37",0,11,52983525037630,1704186000000000001,187.15,1,'
        "1704186000000100000,10,3,0,0\nAAPL,12,0,11,7,1704186000000000002,187.15,2,1704186000000200000,100,3,0,0\n",
        "polygon-trades", "AAPL.polygon",
        [
            {"irregular": True, "id": "52983525037630", "ts": "1704186000000000001"},
            {"irregular": False, "size": "100"},
        ],
    ),
    (
        "Polygon quotes",
        "quotes_v1/2024-01-02.csv",
        "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,indicators,"
        "participant_timestamp,sequence_number,sip_timestamp,tape,trf_timestamp\n"
        "AAPL,11,187.2,3,12,187.1,2,1,,1704186000000000001,1,1704186000000100000,3,0\n",
        "polygon-quotes", "AAPL.polygon", [{"bid": "187.1", "bid_size": "2", "ask": "187.2"}],
    ),
    (
        "Databento bars: fixed point of nine decimals, the interval is rtype",
        "ohlcv.csv",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
        "1609160400000000000,33,1,5482,3715500000000,3716000000000,3715250000000,3715750000000,120,ESH1\n",
        "databento-bars", "ESH1.databento",
        [{"ts": at("2020-12-28T13:00:00Z"), "open": "3715.500000000", "volume": "120"}],
    ),
    (
        "Databento trades with pretty prices and times: side is the aggressor's",
        "trades.csv",
        "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,"
        "symbol\n2020-12-28T13:00:00.008Z,2020-12-28T13:00:00.006136513Z,0,1,5482,T,A,0,3720.25,1,129,1,1170,ESH1\n"
        "2020-12-28T13:00:00.008Z,2020-12-28T13:00:00.006246513Z,0,1,5482,T,B,0,3720.5,2,129,1,1171,ESH1\n",
        "databento-trades", "ESH1.databento",
        [
            {"ts": at("2020-12-28T13:00:00.006136513Z"), "aggressor": "sell", "price": "3720.25"},
            {"aggressor": "buy", "price": "3720.5"},
        ],
    ),
    (
        "Tardis trades: microseconds, ids of text",
        "bitmex_trades_XBTUSD.csv",
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        "bitmex,XBTUSD,1583020803145000,1583020803307160,ccc3c1fa-212c-e8b0,sell,8531.5,2152\n",
        "tardis-trades", "BTC-USD.tardis",
        [{"ts": "1583020803145000000", "id": "ccc3c1fa-212c-e8b0", "aggressor": "sell", "size": "2152"}],
    ),
    (
        "generic bars: quotes, semicolons, decimal commas, dates of Europe",
        "DAX-EUR.csv",
        'Date;Open;High;Low;Close;Volume\n"13.05.2024";1.234,50;1.240,00;1.230,25;1.235,00;10\n'
        '"14.05.2024";1.235,00;1.240,00;1.230,25;1.236,00;11\n',
        "generic", "DAX-EUR.import",
        [{"ts": at("2024-05-13"), "open": "1234.50", "low": "1230.25", "volume": "10"}, {}],
    ),
    (
        "generic bars: date and time in two columns, newest first",
        "EURUSD_M1.csv",
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
        "2024.05.13\t00:02:00\t1.1\t1.3\t1.0\t1.2\t5\n2024.05.13\t00:01:00\t1.1\t1.3\t1.0\t1.2\t4\n"
        "2024.05.13\t00:00:00\t1.1\t1.3\t1.0\t1.2\t3\n",
        "generic", "EURUSD.import",
        [{"ts": at("2024-05-13"), "volume": "3"}, {"volume": "4"}, {"volume": "5"}],
    ),
    (
        "generic bars without a header, after a comment",
        "aapl.csv",
        "# from somewhere\n2024-05-13 09:30,1,3,1,2,100\n2024-05-13 09:31,2,3,2,3,50\n",
        "generic", "AAPL.import", [{"ts": at("2024-05-13T09:30:00Z"), "close": "2"}, {"close": "3"}],
    ),
    (
        "generic JSON lines keep their digits",
        "btc-usd_trades.jsonl",
        '{"time":"2024-05-13T00:00:00.000000001Z","price":64231.10,"size":"0.00000841","side":"buy","id":9007199254740993}\n'
        '{"time":"2024-05-13T00:00:01Z","price":1e-10,"size":1000000000000,"side":"sell","id":2}\n',
        "generic", "BTC-USD.import",
        [
            {"price": "64231.10", "size": "0.00000841", "id": "9007199254740993", "aggressor": "buy"},
            {"price": "0.0000000001", "size": "1000000000000", "aggressor": "sell"},
        ],
    ),
    (
        "generic quotes with one side missing",
        "quotes_eurusd.csv", "timestamp,bid,ask\n2013-01-01 22:00:00.295000+00:00,86.655,\n",
        "generic", "EURUSD.import", [{"bid": "86.655", "ask": None, "ts": at("2013-01-01T22:00:00.295Z")}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "layout", "instrument", "rows"),
    [one[1:] for one in VECTORS],
    ids=[one[0] for one in VECTORS],
)
def test_a_layout_is_known_and_read(
    tmp_path: Path, name: str, text: str, layout: str, instrument: str, rows: list[dict[str, Any]]
) -> None:
    found, bad, recipe = read(write(tmp_path, name, text))
    assert bad == {}
    assert recipe.layout == layout
    assert {line["instrument"] for line in found} == {instrument}
    assert len(found) == len(rows)
    for line, expected in zip(found, rows, strict=True):
        assert {key: line[key] for key in expected} == expected


def test_encodings(tmp_path: Path) -> None:
    text = "Zeit;time;open;high;low;close\né;2024-05-13 09:30;1;2;1;2\né;2024-05-13 09:31;1;2;1;2\n"
    for encoding, found in (("utf-16", "utf-16"), ("latin-1", "latin-1"), ("utf-8-sig", "utf-8")):
        rows, bad, recipe = read(write(tmp_path, "aapl.csv", text.encode(encoding)))
        assert (len(rows), bad, recipe.dialect.encoding) == (2, {}, found)


def test_a_date_that_may_be_two_is_asked_for(tmp_path: Path) -> None:
    text = "date,open,high,low,close\n05/06/2024,1,2,1,2\n06/06/2024,1,2,1,2\n"
    from tidemill.importer import sniff
    from tidemill.importer.source import open_source

    path = write(tmp_path, "aapl.csv", text)
    guess = sniff.sniff(open_source(path))
    assert guess.recipe is None
    assert guess.open == ["time"]
    rows, _, _ = read(path, {"time": "MM/DD/YYYY", "interval": "1d"})
    assert rows[0]["ts"] == at("2024-05-06")
    clear = write(tmp_path, "msft.csv", text.replace("06/06", "13/06"))
    assert read(clear, {"interval": "1d"})[2].time == "DD/MM/YYYY"


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        ("x.csv", "a,b,c\nx,y,z\n", ""),
        (
            "levels.csv",
            "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n",
            "layout_unsupported",
        ),
        ("x.json", "[1,2,3]", "import_unreadable"),
        ("x.csv", "\n\n", "import_unreadable"),
        ("x.txt", "hello\n", ""),
    ],
)
def test_what_is_no_such_file_is_not_guessed(tmp_path: Path, name: str, text: str, refused: str) -> None:
    from tidemill.importer import sniff
    from tidemill.importer.source import open_source

    path = write(tmp_path, name, text)
    if not refused:
        guess = sniff.sniff(open_source(path))
        assert guess.recipe is None
        assert guess.open
        return
    with pytest.raises(UsageError) as error:
        sniff.sniff(open_source(path))
    assert error.value.code == refused


def test_bars_of_an_interval_that_is_not_stored_say_so(tmp_path: Path) -> None:
    from tidemill.importer import sniff
    from tidemill.importer.source import open_source

    text = "time,open,high,low,close\n" + "".join(
        f"2024-05-13 09:{minute:02},1,2,1,2\n" for minute in range(0, 60, 5)
    )
    guess = sniff.sniff(open_source(write(tmp_path, "aapl.csv", text)))
    assert guess.open == ["interval"]
    assert any("5m" in note for note in guess.notes)
