"""Recorded files of LEAN and others, imported; bars made of ticks beside the bars that came with them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.importer.place import read
from tidemill.errors import UsageError
from tidemill.importer import fact, keep, piece, sniff
from tidemill.importer.quarantine import Quarantine
from tidemill.importer.recipe import Recipe
from tidemill.importer.source import open_source
from tidemill.model.bar import volumes
from tidemill.stores.api import Query
from tidemill.stores.memory import Memory
from tidemill.stores.table import BARS, QUOTES, TRADES, bars_of

DATA = Path(os.environ.get("TIDEMILL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "recorded"
LEAN = DATA / "lean"
EQUITY = LEAN / "equity" / "usa"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"no recordings at {DATA}; set TIDEMILL_DATA")


def taken(store: Memory, path: Path, **changes: Any) -> tuple[piece.Count, Quarantine, Recipe]:
    """Imports a file as it is guessed."""
    source = open_source(path)
    recipe = sniff.sniff(source).recipe
    assert recipe is not None
    recipe = recipe.with_(**changes)
    count, quarantine = piece.Count(), Quarantine(None)
    for one in piece.pieces(source, recipe, quarantine, count, time.time_ns()):
        assert keep.keep(store, one, recipe, chunk=source.sha256()[:16], ts_recv=1)
    return count, quarantine, recipe


# Rows, as unzip and wc counted them.
FILES = [
    ("equity/usa/minute/aapl/20140605_trade.zip", "AAPL.lean", "bars", 686),
    ("equity/usa/minute/aapl/20140606_quote.zip", "AAPL.lean", "quotes", 835),
    ("equity/usa/daily/qqq.zip", "QQQ.lean", "bars", 3_964),
    ("crypto/binance/hour/btcusdt_trade.zip", "BTC-USDT.lean-binance", "bars", 120),
    ("crypto/coinbase/minute/btcusd/20180404_trade.zip", "BTC-USD.lean-coinbase", "bars", 1_007),
    ("crypto/coinbase/second/btcusd/20161007_trade.zip", "BTC-USD.lean-coinbase", "bars", 4_063),
    ("cryptofuture/binance/minute/btcusd/20221213_trade.zip", "BTC-USD.lean-future-binance", "bars", 1_439),
    ("forex/fxcm/second/eurusd/20140501_quote.zip", "EUR-USD.lean-fxcm", "quotes", 17_421),
]


@pytest.mark.parametrize(("name", "instrument", "kind", "rows"), FILES, ids=[one[0] for one in FILES])
def test_a_recorded_file_is_imported_whole(name: str, instrument: str, kind: str, rows: int) -> None:
    store = Memory()
    count, quarantine, recipe = taken(store, LEAN / name)
    assert recipe.kind == kind
    assert (count.rows, quarantine.as_dict()) == (rows, {})
    assert list(count.instruments) == [instrument]
    if kind == "bars":
        found = store.read(BARS, Query(interval=recipe.interval, revisions=True))
        assert len(found) == rows
        assert set(found["source"].to_pylist()) == {"lean"}
        assert set(found["epoch"].to_pylist()) == {0}
    else:
        assert len(store.read(QUOTES)) >= rows


def _series(store: Memory, interval: str) -> dict[int, tuple[int, ...]]:
    bars = bars_of(store.read(BARS, Query(interval=interval)))
    assert len(set(bars["price_scale"].tolist())) == 1
    columns = [bars[name].tolist() for name in ("open", "high", "low", "close")]
    return dict(zip(bars["start"].tolist(), zip(*columns, volumes(bars), strict=True), strict=True))


def test_bars_of_ticks_beside_the_vendors_own() -> None:
    """SPY, 7 October 2013: 250,601 ticks, with which LEAN brings bars of seconds and minutes.

    Ticks are stored unfiltered; the vendor's bars leave out prices that it found suspicious, without marking
    those ticks (the column is 0 throughout). So volumes agree nearly everywhere, prices where nothing was
    left out.
    """
    ticks, seconds, minutes = Memory(), Memory(), Memory()
    count, quarantine, _ = taken(ticks, EQUITY / "tick/spy/20131007_trade.zip")
    assert (count.rows, quarantine.as_dict()) == (250_601, {})
    assert len(ticks.read(TRADES)) == 250_601
    taken(seconds, EQUITY / "second/spy/20131007_trade.zip")
    taken(minutes, EQUITY / "minute/spy/20131007_trade.zip")

    for interval, store, whole in (("1m", minutes, 828), ("1s", seconds, 16_675)):
        ours, theirs = _series(ticks, interval), _series(store, interval)
        both = sorted(set(ours) & set(theirs))
        assert len(both) == whole == len(theirs), "every bar of theirs has ours beside it"
        same = sum(ours[start] == theirs[start] for start in both)
        prices = sum(ours[start][:4] == theirs[start][:4] for start in both)
        volume = sum(ours[start][4] == theirs[start][4] for start in both)
        print(
            f"{interval}: ours {len(ours)}, theirs {len(theirs)}, same {same},"
            f" prices {prices}, volume {volume}"
        )
        inside = sum(theirs[s][1] <= ours[s][1] and theirs[s][2] >= ours[s][2] for s in both)
        assert inside >= len(both) - 1, "what they leave out never widens a bar, with one exception"
        if interval == "1m":
            assert len(ours) == 828
            assert volume >= 825
            assert same >= 690
        else:
            assert volume >= 0.92 * whole
            assert same >= 0.80 * whole


def test_minutes_are_merged_from_seconds_as_the_vendor_has_them() -> None:
    seconds, minutes = Memory(), Memory()
    taken(seconds, EQUITY / "second/spy/20131007_trade.zip")
    taken(minutes, EQUITY / "minute/spy/20131007_trade.zip")
    ours, theirs = _series(seconds, "1m"), _series(minutes, "1m")
    both = sorted(set(ours) & set(theirs))
    same = sum(ours[start] == theirs[start] for start in both)
    print(f"minutes of seconds: {len(ours)}, theirs {len(theirs)}, same {same}")
    assert len(both) == len(theirs)
    assert same >= 0.75 * len(both)


@pytest.mark.parametrize(
    ("name", "rows", "kind"),
    [
        ("btcusdt-trades.parquet", 2_001, "trades"),
        ("btcusdt-quotes.parquet", 451, "quotes"),
        ("usdjpy-ticks.csv", 1_000, "quotes"),
        ("bitmex_trades_XBTUSD.csv", 10, "trades"),
        ("binance-futures_book_snapshot_25_BTCUSDT.csv", 10, "quotes"),
    ],
)
def test_samples_of_others(name: str, rows: int, kind: str) -> None:
    found, bad, recipe = read(DATA / "history" / "nautilus" / name)
    assert (len(found), bad, recipe.kind) == (rows, {}, kind)


def test_numbers_that_no_decimal_of_18_digits_holds_are_put_aside() -> None:
    """Sizes of this file were summed as floats: one is 2.8E-14."""
    store = Memory()
    count, quarantine, _ = taken(store, LEAN / "crypto/coinbase/daily/btcusd_quote.zip")
    assert count.rows + quarantine.rows == 1_332
    assert quarantine.rows == 3
    assert all("more than 18 digits" in reason for reason in quarantine.as_dict())


def test_book_deltas_are_refused() -> None:
    for name in ("btcusdt-depth-snap.csv", "deribit_incremental_book_L2_BTC-PERPETUAL.csv"):
        with pytest.raises(UsageError) as refused:
            sniff.sniff(open_source(DATA / "history" / "nautilus" / name))
        assert refused.value.code == "layout_unsupported"


def test_factor_and_map_files() -> None:
    found = fact.read(EQUITY / "factor_files" / "aapl.csv")
    splits = [(one.date, one.ratio) for one in found if one.kind == "split"]
    assert splits == [
        ("2000-06-21", "2/1"),
        ("2005-02-26", "2/1"),
        ("2014-06-07", "7/1"),
        ("2020-08-29", "4/1"),
    ]
    symbols = fact.read(EQUITY / "map_files" / "qqq.csv")
    assert [(one.kind, one.date, one.symbol) for one in symbols] == [
        ("symbol", "2004-12-01", "QQQQ"), ("symbol", "2011-03-23", "QQQ"),
    ]  # fmt: skip
    assert fact.read(EQUITY / "map_files" / "spy.csv") == []


@pytest.mark.parametrize("name", ["aapl", "spy", "qqq"])
def test_adjusted_prices_are_those_of_the_factor_file(name: str) -> None:
    """Our factor of every day is price factor × split factor of the file, which has seven digits."""
    from tidemill.model import adjust
    from tidemill.model import time as times

    path = EQUITY / "factor_files" / f"{name}.csv"
    steps = adjust.steps(fact.read(path), "all")
    rows = [line.split(",") for line in path.read_text().split()]
    starts = np.array([times.parse(f"{row[0][:4]}-{row[0][4:6]}-{row[0][6:]}") for row in rows], np.int64)
    price, volume = adjust.arrays(starts, steps)
    expected = np.array([float(row[1]) * float(row[2]) for row in rows])
    np.testing.assert_allclose(price, expected, rtol=5e-6)
    np.testing.assert_allclose(1 / volume, [float(row[2]) for row in rows], rtol=5e-6)
