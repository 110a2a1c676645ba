"""Ten million trades, and ten million one-second bars, to longer bars: our kernels beside polars, pandas,
DuckDB and a one-pass Numba kernel, all on arrays in memory.

Goals for trades to one interval: 3.5 times polars, 35 times pandas; all standard intervals at once in at
most 1.2 times the time of the shortest. For one-second bars: 2.5 times polars, 4 times the Numba kernel. What
was traded by day, of fifty million trades: 8 times DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from benches.contest import Contest, Metric, Party, Run, party, timed
from tidemill import _native
from tidemill.model.interval import STANDARD

DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9
START = 1_763_596_800 * 10**9
SCALES = (2, 8)
Column = npt.NDArray[np.int64]


def trades(count: int) -> dict[str, Column]:
    """Ten days of trades of one instrument: times ascending, prices a random walk."""
    dice = np.random.default_rng(7)
    return {
        "ts": np.sort(dice.integers(0, 10 * DAY_NS, count)) + START,
        "price": 6_400_000 + np.cumsum(dice.integers(-3, 4, count)),
        "size": dice.integers(1, 10**8, count),
    }


def seconds(count: int) -> dict[str, Column]:
    """One-second bars without a hole."""
    dice = np.random.default_rng(8)
    close = 6_400_000 + np.cumsum(dice.integers(-3, 4, count))
    open_ = np.concatenate([close[:1], close[:-1]])
    return {
        "ts": START + np.arange(count) * 10**9,
        "open": open_,
        "high": np.maximum(open_, close) + 2,
        "low": np.minimum(open_, close) - 2,
        "close": close,
        "volume": dice.integers(1, 10**8, count),
    }


def ours(columns: dict[str, Column]) -> dict[str, Column]:
    """The same by the names that our kernel takes."""
    if "price" in columns:
        price = columns["price"]
        return dict.fromkeys(("open", "high", "low", "close"), price) | {
            "start": columns["ts"], "volume": columns["size"],
        }  # fmt: skip
    return {"start" if name == "ts" else name: values for name, values in columns.items()}


def polars(columns: dict[str, Column]) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import polars as pl

        frame = pl.DataFrame(columns).with_columns(pl.col("ts").cast(pl.Datetime("ns")))
        of = {"open": "price", "high": "price", "low": "price", "close": "price", "volume": "size"}
        if "price" not in columns:
            of = {name: name for name in of}
        wanted = [
            pl.col(of["open"]).first().alias("o"), pl.col(of["high"]).max().alias("h"),
            pl.col(of["low"]).min().alias("l"), pl.col(of["close"]).last().alias("c"),
            pl.col(of["volume"]).sum().alias("v"),
        ]  # fmt: skip
        yield timed(lambda: frame.group_by_dynamic("ts", every="1m").agg(wanted), 1, 1e3)

    return open_


def pandas(columns: dict[str, Column]) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import pandas as pd

        table = pd.DataFrame(
            {name: values for name, values in columns.items() if name != "ts"},
            index=pd.to_datetime(columns["ts"]),
        )
        how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}

        def work() -> None:
            grouped = table.resample("1min")
            if "price" in columns:
                grouped["price"].ohlc()
                grouped["size"].sum()
            else:
                grouped.agg(how)

        yield timed(work, 1, 1e3)

    return open_


def duckdb(columns: dict[str, Column]) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import duckdb
        import pyarrow as pa

        base = duckdb.connect()
        base.register("source", pa.table(columns))
        base.execute("CREATE TABLE data AS SELECT * FROM source")
        price = "price, price, price, price, size" if "price" in columns else "open, high, low, close, volume"
        opens, highs, lows, closes, sizes = price.split(", ")
        query = f"""SELECT ts // {MINUTE_NS} AS t, arg_min({opens}, ts), max({highs}), min({lows}),
            arg_max({closes}, ts), sum({sizes}) FROM data GROUP BY t ORDER BY t"""  # noqa: S608 - our own names
        try:
            yield timed(lambda: base.execute(query).fetchnumpy(), 1, 1e3)
        finally:
            base.close()

    return open_


def numba(columns: dict[str, Column]) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        from numba import njit

        @njit  # type: ignore[misc]
        def bars(ts: Column, o: Column, h: Column, lo: Column, c: Column, v: Column, length: int) -> Any:
            out = np.empty(((ts[-1] - ts[0]) // length + 2, 6), np.int64)
            n, end = -1, np.int64(-1)
            for i in range(len(ts)):
                if ts[i] >= end:
                    n += 1
                    start = ts[i] // length * length
                    end = start + length
                    out[n, 0], out[n, 1], out[n, 2], out[n, 3] = start, o[i], h[i], lo[i]
                    out[n, 5] = 0
                out[n, 2] = max(out[n, 2], h[i])
                out[n, 3] = min(out[n, 3], lo[i])
                out[n, 4] = c[i]
                out[n, 5] += v[i]
            return out[: n + 1]

        if "price" in columns:
            price = columns["price"]
            arrays = (columns["ts"], price, price, price, price, columns["size"])
        else:
            arrays = tuple(columns[name] for name in ("ts", "open", "high", "low", "close", "volume"))
        yield timed(lambda: bars(*arrays, MINUTE_NS), 1, 1e3)

    return open_


PEERS = {"polars": polars, "pandas": pandas, "duckdb": duckdb, "numba": numba}


def of_trades(count: int, size: str, rounds: int) -> Iterator[Contest]:
    sold = trades(count)
    held = ours(sold)

    def one(interval: str) -> Run:
        return timed(lambda: _native.resample_columns(held, interval), 1, 1e3)

    yield Contest(
        f"{size} trades to 1m", (Metric("time", "ms", {"polars": 3.5, "pandas": 35}),),
        lambda: party(one("1m")), {name: peer(sold) for name, peer in PEERS.items()}, rounds,
    )  # fmt: skip
    for first in ("1s", "1m"):
        wanted = STANDARD[STANDARD.index(first) :]
        every = timed(lambda wanted=wanted: _native.resample_every(held, wanted), 1, 1e3)  # type: ignore[misc]
        alone = f"tidemill, {first} alone"
        yield Contest(
            f"{size} trades to {len(wanted)} intervals from {first} to 1mo",
            (Metric("time", "ms", {alone: 1 / 1.2}),),
            lambda every=every: party(every), {alone: lambda first=first: party(one(first))}, rounds,  # type: ignore[misc]
        )  # fmt: skip


def of_bars(count: int, size: str, rounds: int) -> Iterator[Contest]:
    columns = seconds(count)
    held = ours(columns)
    yield Contest(
        f"{size} one-second bars to 1m", (Metric("time", "ms", {"polars": 2.5, "numba": 4}),),
        lambda: party(timed(lambda: _native.resample_columns(held, "1m"), 1, 1e3)),
        {name: peer(columns) for name, peer in PEERS.items()}, rounds,
    )  # fmt: skip


def by_day(count: int, size: str, rounds: int) -> Iterator[Contest]:
    sold = trades(count)

    @contextmanager
    def in_duckdb() -> Iterator[Run]:
        import duckdb
        import pyarrow as pa

        base = duckdb.connect()
        base.register("source", pa.table(sold))
        base.execute("CREATE TABLE data AS SELECT * FROM source")
        query = f"""SELECT ts // {DAY_NS} AS day, sum(price::DOUBLE * size) / sum(size) FROM data
            GROUP BY day ORDER BY day"""  # noqa: S608 - our own names
        try:
            yield timed(lambda: base.execute(query).fetchnumpy(), 1, 1e3)
        finally:
            base.close()

    @contextmanager
    def in_polars() -> Iterator[Run]:
        import polars as pl

        frame = pl.DataFrame(sold).lazy()
        price, volume = pl.col("price").cast(pl.Float64), pl.col("size")
        wanted = frame.group_by((pl.col("ts") // DAY_NS).alias("day")).agg(
            (price * volume).sum() / volume.sum()
        )
        yield timed(lambda: wanted.collect(), 1, 1e3)

    def vwap() -> object:
        sums = _native.day_sums(sold["ts"], sold["price"], sold["size"])
        low, high = (np.frombuffer(sums[f"value_{half}"], np.int64) for half in ("low", "high"))
        value = high * 2.0**64 + low.view(np.uint64)
        return value / np.frombuffer(sums["size_low"], np.int64)

    yield Contest(
        f"VWAP by day of {size} trades", (Metric("time", "ms", {"duckdb": 8}),),
        lambda: party(timed(vwap, 1, 1e3)), {"duckdb": in_duckdb, "polars": in_polars}, rounds,
    )  # fmt: skip


def contests(tiny: bool) -> Iterator[Contest]:
    count, size, rounds = (20_000, "20,000", 1) if tiny else (10_000_000, "10 M", 5)
    yield from of_trades(count, size, rounds)
    yield from of_bars(count, size, rounds)
    yield from by_day(count * (1 if tiny else 5), size if tiny else "50 M", rounds)
