"""Ten million trades, and ten million one-second bars, to longer bars: our kernels beside polars, pandas,
DuckDB and a one-pass Numba kernel, all on arrays in memory.

Goals for trades to one interval: 3.5 times polars, 35 times pandas; all standard intervals at once in at
most 1.2 times the time of one. For one-second bars: 2.5 times polars, 4 times the Numba kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from benches.contest import Contest, Metric, Party, Run, party, timed
from tidemill import _native
from tidemill.model.bar import BAR

DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9
START = 1_763_596_800 * 10**9
SCALES = (2, 8)
LONGER = ("5m", "15m", "30m", "1h", "4h", "1d")
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


def rows(columns: dict[str, Column]) -> npt.NDArray[np.void]:
    """The same as our rows."""
    bars = np.zeros(len(columns["ts"]), BAR)
    bars["start"], bars["end"] = columns["ts"], columns["ts"] + 10**9
    bars["ts_known"], bars["trades"] = bars["end"], 1
    bars["price_scale"], bars["size_scale"] = SCALES
    for name in ("open", "high", "low", "close"):
        bars[name] = columns[name]
    bars["volume_low"] = columns["volume"].view(np.uint64)
    return bars


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

    def one() -> bytes:
        return _native.resample(sold["ts"], sold["price"], sold["size"], *SCALES, "1m")

    def every() -> list[bytes]:
        made = [one()]
        for interval in LONGER:  # each from the one before, which divides it
            made.append(_native.merge_bars(made[-1], interval))
        return made

    alone = timed(one, 1, 1e3)
    yield Contest(
        f"{size} trades to 1m", (Metric("time", "ms", {"polars": 3.5, "pandas": 35}),),
        lambda: party(alone), {name: peer(sold) for name, peer in PEERS.items()}, rounds,
    )  # fmt: skip
    yield Contest(
        f"{size} trades to 1m, {', '.join(LONGER)}",
        (Metric("time", "ms", {"tidemill, 1m alone": 1 / 1.2}),),
        lambda: party(timed(every, 1, 1e3)), {"tidemill, 1m alone": lambda: party(alone)}, rounds,
    )  # fmt: skip


def of_bars(count: int, size: str, rounds: int) -> Iterator[Contest]:
    columns = seconds(count)
    held = rows(columns)
    yield Contest(
        f"{size} one-second bars to 1m", (Metric("time", "ms", {"polars": 2.5, "numba": 4}),),
        lambda: party(timed(lambda: _native.merge_bars(held, "1m"), 1, 1e3)),
        {name: peer(columns) for name, peer in PEERS.items()}, rounds,
    )  # fmt: skip


def contests(tiny: bool) -> Iterator[Contest]:
    count, size, rounds = (20_000, "20,000", 1) if tiny else (10_000_000, "10 M", 5)
    yield from of_trades(count, size, rounds)
    yield from of_bars(count, size, rounds)
