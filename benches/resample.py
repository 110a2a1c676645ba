"""Ticks to one-minute bars: our kernel beside polars and pandas on the same arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from benches.run import Contest

TICKS = 2_000_000


def ticks() -> dict[str, Any]:
    """A day of trades of one instrument: times ascending, prices a random walk on a tick of 0.01."""
    dice = np.random.default_rng(7)
    ts = np.sort(dice.integers(0, 86_400 * 10**9, TICKS)) + 1_763_596_800 * 10**9
    price = 6_400_000 + np.cumsum(dice.integers(-3, 4, TICKS))
    size = dice.integers(1, 10**8, TICKS)
    return {"ts": ts, "price": price, "size": size}


def contests() -> list[Contest]:
    import pandas as pd
    import polars as pl

    from tidemill import _native

    data = ticks()
    ts, price, size = data["ts"], data["price"], data["size"]
    frame = pl.DataFrame({"ts": ts, "price": price, "size": size}).with_columns(
        pl.col("ts").cast(pl.Datetime("ns"))
    )
    table = pd.DataFrame({"price": price, "size": size}, index=pd.to_datetime(ts))

    def ours() -> None:
        _native.resample(ts, price, size, 2, 8, "1m")

    def polars() -> None:
        frame.group_by_dynamic("ts", every="1m").agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("size").sum().alias("volume"),
            pl.len().alias("trades"),
        )

    def pandas() -> None:
        resampled = table.resample("1min")
        resampled["price"].ohlc()
        resampled["size"].sum()

    return [
        Contest(
            "2 M trades to 1 m bars",
            "trade",
            TICKS,
            ours,
            {"polars": polars, "pandas": pandas},
            {"polars": 3.5, "pandas": 35},
        )
    ]
