"""`tidemill bench resample` and `tidemill bench bars`: our bars beside those of polars and DuckDB."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from tidemill.cli.app import JsonOption, talk
from tidemill.model.interval import STANDARD

INSTRUMENT = "BTC-USD.sim-bench"
WANTED = 5_000
ROUNDS = 5
Work = Callable[[], object]


def resample(
    rows: Annotated[int, typer.Option(help="Invented trades, and one-second bars.", min=10_000)] = 10_000_000,
    as_json: JsonOption = False,
) -> None:
    """Make bars of trades and of one-second bars, and sums by day, in memory: ours and others', in turn."""
    with talk.status("measuring …"):
        told = {"rows": rows, **_resampled(rows)}
    _say(told, as_json)


def bars(
    count: Annotated[
        int, typer.Option("--rows", help="One-minute bars that are stored.", min=10_000)
    ] = 500_000,
    as_json: JsonOption = False,
) -> None:
    """Read the newest 5,000 of many one-minute bars: from a lake, and from its files by others, in turn."""
    with talk.status("measuring …"), tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
        told = {"rows": count, **_newest(count, Path(folder))}
    _say(told, as_json)


def _measured(parties: dict[str, Work]) -> dict[str, Any]:
    """Medians, ms, of rounds in which all take turns; and how many times as long as ours others take."""
    spent: dict[str, list[float]] = {name: [] for name in parties}
    for at in range(ROUNDS + 1):
        for name, work in parties.items():
            began = time.perf_counter()
            work()
            if at:  # the first warms up
                spent[name].append((time.perf_counter() - began) * 1e3)
    ours = spent["tidemill"]
    return {
        "median_ms": {name: round(statistics.median(one), 3) for name, one in spent.items()},
        "ratio": {
            name: round(statistics.median(t / o for t, o in zip(theirs, ours, strict=True)), 2)
            for name, theirs in spent.items()
            if name != "tidemill"
        },
    }


def _resampled(rows: int) -> dict[str, Any]:
    import duckdb
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from tidemill import _native
    from tidemill.model.interval import DAY, SECOND

    dice = np.random.default_rng(7)
    price = 6_400_000 + np.cumsum(dice.integers(-3, 4, rows))
    size = dice.integers(1, 10**8, rows)
    start = 1_763_596_800 * SECOND
    ts = np.sort(dice.integers(0, 10 * DAY, rows)) + start
    trades: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close"), price)
    trades |= {"start": ts, "volume": size}
    seconds = trades | {
        "start": start + np.arange(rows) * SECOND, "high": price + 2, "low": price - 2, "close": price + 1,
    }  # fmt: skip
    told = {}
    for name, columns in (("trades_to_1m", trades), ("seconds_to_1m", seconds)):
        frame = pl.DataFrame(columns).with_columns(pl.col("start").cast(pl.Datetime("ns")))
        wanted = [
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
            pl.col("volume").sum(),
        ]  # fmt: skip
        told[name] = _measured(
            {
                "tidemill": lambda columns=columns: _native.resample_columns(columns, "1m"),  # type: ignore[misc]
                "polars": lambda frame=frame, wanted=wanted: frame.group_by_dynamic(  # type: ignore[misc]
                    "start", every="1m"
                ).agg(wanted),
            }
        )
    told["trades_to_all"] = _measured(
        {
            "tidemill": lambda: _native.resample_every(trades, list(STANDARD)),
            "tidemill, 1s alone": lambda: _native.resample_columns(trades, "1s"),
        }
    )
    with duckdb.connect() as base:
        base.register("source", pa.table({"ts": ts, "price": price, "size": size}))
        base.execute("CREATE TABLE data AS SELECT * FROM source")
        query = (
            "SELECT ts // 86400000000000 AS day, sum(price::DOUBLE * size) / sum(size) FROM data GROUP BY day"
        )
        told["vwap_by_day"] = _measured(
            {
                "tidemill": lambda: _native.day_sums(ts, price, size),
                "duckdb": lambda: base.execute(query).fetchnumpy(),
            }
        )
    return told


def _newest(count: int, folder: Path) -> dict[str, Any]:
    import duckdb
    import numpy as np

    from tidemill import _native
    from tidemill.home import Home
    from tidemill.model.instrument import venue_of
    from tidemill.model.interval import MINUTE, SECOND
    from tidemill.stores.lake import Lake
    from tidemill.stores.live import LiveView

    home = Home(folder / "home")
    home.create()
    dice = np.random.default_rng(5)
    close = 642_315 + np.cumsum(dice.integers(-5, 6, count))
    start = 1_763_596_800 * SECOND
    columns: dict[str, Any] = {
        "start": start + np.arange(count) * MINUTE, "open": close, "high": close + 3, "low": close - 3,
        "close": close, "volume": dice.integers(1, 10**9, count), "trades": np.ones(count, np.int64),
        "price_scale": 1, "size_scale": 8,
    }  # fmt: skip
    lake = Lake(home.lake)
    lake.import_bars(INSTRUMENT, "1m", columns, source="bench", chunk="all", ts_recv=start)
    with _native.JournalWriter(str(home.path), venue_of(INSTRUMENT), "kraken") as journal:
        journal.instrument(
            INSTRUMENT, symbol="BTC/USD", base="BTC", quote="USD", tick="0.1", lot="0.00000001",
            price_scale=1, size_scale=8,
        )  # fmt: skip
    files = str(home.lake / "bars" / "interval=1m" / "**" / "*.parquet")
    query = """SELECT ts_event, open, high, low, close, volume FROM read_parquet($files)
        WHERE instrument = $name ORDER BY ts_event DESC LIMIT 5000"""
    view = LiveView(home.path, store=lake)
    try:
        with duckdb.connect() as base:
            asked = {"files": files, "name": INSTRUMENT}
            return {
                "newest_5000_bars": _measured(
                    {
                        "tidemill": lambda: view.bars(INSTRUMENT, "1m", limit=WANTED).floats(),
                        "duckdb": lambda: base.sql(query, params=asked).to_arrow_table(),
                    }
                )
            }
    finally:
        view.close()


def _say(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    grid = Grid("", "who", "ms", "ours is faster by")
    for what, found in told.items():
        if not isinstance(found, dict):
            continue
        for name, spent in found["median_ms"].items():
            ratio = found["ratio"].get(name)
            grid.add_row(what.replace("_", " "), name, f"{spent:,.2f}", "" if ratio is None else f"{ratio} ×")
    talk.print(f"{told['rows']:,} rows")
    talk.print(grid)
