"""A hundred million trades of one instrument, looked at from afar and from near: the tiles of a screen of
2,000 pixels, at spans from a second to everything, made anew each time.

Goal: any view within 100 ms. DuckDB makes the same columns of the same view from the stored trades; it is
asked for views of up to a day, because a wider one takes it seconds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benches.contest import Contest, Metric, Party, Run
from tidemill import _native, wire
from tidemill.model.bar import BAR, Bars
from tidemill.model.interval import DAY, SECOND, STORED
from tidemill.stores import imported, tile
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView
from tidemill.stores.table import BARS, TRADES, bar_rows, rows_of

VENUE = "bench"
INSTRUMENT = f"BTC-USD.{VENUE}"
START = 20_000 * DAY
A_DAY = 1_000_000
"""Trades."""
PIXELS = 2_000
VIEWS = 40


def fill(home: Path, days: int) -> None:
    """Days of trades, some 12 a second, with the bars they make."""
    lake = Lake(home / "lake")
    price = 6_400_000
    for day in range(days):
        dice = np.random.default_rng(day)
        records = np.zeros(A_DAY, wire.RECORD)
        records["kind"], records["flags"] = wire.KIND_TRADE, wire.FLAG_BUY | wire.FLAG_HAS_ID
        records["instrument"], records["price_scale"], records["size_scale"] = 1, 2, 8
        records["ts_event"] = START + day * DAY + np.sort(dice.integers(0, DAY, A_DAY))
        records["ts_recv"] = records["ts_event"]
        records["price"] = price + np.cumsum(dice.integers(-30, 31, A_DAY))
        records["size"] = dice.integers(1, 10**8, A_DAY)
        records["id"] = day * A_DAY + np.arange(A_DAY)
        price = int(records["price"][-1])
        sequences = np.arange(A_DAY) + day * A_DAY + 1
        rows = rows_of(TRADES, records, sequences, 0, VENUE, lambda _: INSTRUMENT, source=VENUE)
        lake.append(TRADES, rows, {f"bench/trades/{day}": 1})
        lake.append(BARS, _bars(records, sequences), {f"bench/bars/{day}": 1})
    lake.close()


def _bars(records: wire.Records, sequences: np.ndarray) -> pa.Table:
    made = np.frombuffer(_native.bars_of_trades(records, sequences.astype(np.uint64), STORED[0]), BAR).copy()
    made["interval"] = 0
    every: list[Bars] = [made]
    for index, longer in enumerate(STORED[1:], 1):
        every.append(imported.merged(every[-1], longer, index))
    parts = [bar_rows(one, VENUE, 0, lambda _: INSTRUMENT, source=VENUE).cast(BARS.schema) for one in every]
    return pa.concat_tables(parts)


def views(days: int, longest_ns: int, seed: int) -> list[tuple[int, int]]:
    """Spans of every length, as many short as long ones, anywhere."""
    dice = np.random.default_rng(seed)
    found = []
    for _ in range(VIEWS):
        span = int(np.exp(dice.uniform(np.log(SECOND), np.log(longest_ns))))
        low = START + int(dice.uniform(0, max(1, days * DAY - span)))
        found.append((low, low + span))
    return found


def level_for(span_ns: int) -> int:
    """As the browser chooses: the widest that still has a bucket for every pixel."""
    return max(level for level in tile.LEVELS if level <= max(span_ns // PIXELS, 0))


def ours(home: Path, days: int, longest_ns: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        live = LiveView(home, follow=False)
        seeds = iter(range(10**6))

        def run() -> Mapping[str, float]:
            took = []
            for start, end in views(days, longest_ns, next(seeds)):
                began = time.perf_counter()
                level = level_for(end - start)
                width = tile.RAW_NS if level == tile.RAW else level * tile.BUCKETS
                indexes = range(start // width, -(-end // width))
                b"".join(one.encode() for one in tile.tiles(live, INSTRUMENT, level, indexes))
                took.append((time.perf_counter() - began) * 1e3)
            return _said(took)

        try:
            yield run
        finally:
            live.close()

    return open_


def duckdb(home: Path, days: int, longest_ns: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import duckdb

        base = duckdb.connect()
        files = str(home / "lake" / "trades" / "**" / "*.parquet")
        seeds = iter(range(10**6))

        def run() -> Mapping[str, float]:
            took = []
            for start, end in views(days, longest_ns, next(seeds)):
                began = time.perf_counter()
                width = max(1, (end - start) // PIXELS)
                base.execute(
                    f"""SELECT (ts_event - {start}) // {width} AS pixel, arg_min(price, ts_event), max(price),
                        min(price), arg_max(price, ts_event), sum(size) FROM read_parquet('{files}')
                        WHERE date BETWEEN make_date({start // DAY}) AND make_date({(end - 1) // DAY})
                        AND ts_event >= {start} AND ts_event < {end} GROUP BY pixel ORDER BY pixel"""  # noqa: S608 - our own names
                ).to_arrow_table()
                took.append((time.perf_counter() - began) * 1e3)
            return _said(took)

        try:
            yield run
        finally:
            base.close()

    return open_


def _said(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {"p50": ordered[len(ordered) // 2], "worst": ordered[-1]}


def contests(tiny: bool) -> Iterator[Contest]:
    days = 2 if tiny else 100
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        home = Path(folder)
        fill(home, days)
        for name, longest in (("any span", days * DAY), ("up to a day", DAY)):
            peers: dict[str, Any] = (
                {"duckdb over the trades": duckdb(home, days, longest)} if longest == DAY else {}
            )
            yield Contest(
                f"{days * A_DAY // 10**6} M trades on {PIXELS} pixels, {name}",
                (Metric("p50", "ms", limit=100.0), Metric("worst", "ms", limit=100.0)),
                ours(home, days, longest),
                peers,
            )
