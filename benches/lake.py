"""The newest 5,000 of half a million one-minute bars: from our store in Python, beside DuckDB and polars
over the very same Parquet files, and ArcticDB with the same bars; and over HTTP from our service, beside a
FastAPI `response_model` of the same shape whose data lie ready in memory.

Goals: 20 times DuckDB, 5 times ArcticDB; as JSON 50 times the `response_model`, as Arrow 100 times.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benches import program
from benches.contest import Contest, Metric, Party, Run, timed
from tidemill import _native, wire
from tidemill.home import Home
from tidemill.stores.lake import Lake

VENUE = "sim-kraken"
INSTRUMENT = f"BTC-USD.{VENUE}"
MINUTE_NS = 60 * 10**9
START = 1_763_596_800 * 10**9
WANTED = 5_000
REQUESTS = 40


def fill(home: Home, count: int) -> None:
    """A year of imported bars, and a journal that goes on with a few trades."""
    dice = np.random.default_rng(5)
    close = 642_315 + np.cumsum(dice.integers(-5, 6, count))
    columns: dict[str, Any] = {
        "start": START + np.arange(count) * MINUTE_NS,
        "open": close, "high": close + 3, "low": close - 3, "close": close,
        "volume": dice.integers(1, 10**9, count), "trades": np.ones(count, np.int64),
        "price_scale": 1, "size_scale": 8,
    }  # fmt: skip
    Lake(home.lake).import_bars(INSTRUMENT, "1m", columns, source="bench", chunk="all", ts_recv=START)
    with _native.JournalWriter(str(home.path), VENUE, "kraken") as writer:
        number = writer.instrument(
            INSTRUMENT, symbol="BTC/USD", base="BTC", quote="USD", tick="0.1", lot="0.00000001",
            price_scale=1, size_scale=8,
        )  # fmt: skip
        records = np.zeros(100, wire.RECORD)
        records["kind"], records["flags"] = wire.KIND_TRADE, wire.FLAG_BUY | wire.FLAG_HAS_ID | wire.FLAG_LAST
        records["instrument"], records["id"] = number, np.arange(1, 101)
        records["ts_event"] = START + count * MINUTE_NS + np.arange(100) * 10**9
        records["ts_recv"], records["price"], records["size"] = records["ts_event"], 642_315, 10**6
        records["price_scale"], records["size_scale"] = 1, 8
        writer.append(records)


# ── in Python ─────────────────────────────────────────────────────────────────────────────────────


def files(home: Home) -> str:
    return str(home.lake / "bars" / "interval=1m" / "**" / "*.parquet")


def view(home: Home) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        from tidemill.stores.live import LiveView

        live = LiveView(home.path)

        def newest() -> None:
            found = live.bars(INSTRUMENT, "1m", limit=WANTED)
            if len(found.bars) < WANTED - 1:
                raise RuntimeError(f"{len(found.bars)} bars came")
            found.floats()

        try:
            yield timed(newest, 1, 1e3)
        finally:
            live.close()

    return open_


def duckdb(home: Home) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import duckdb

        base = duckdb.connect()
        query = f"""SELECT ts_event, open, high, low, close, volume FROM read_parquet('{files(home)}')
            WHERE instrument = '{INSTRUMENT}' ORDER BY ts_event DESC LIMIT {WANTED}"""  # noqa: S608 - our own names
        try:
            yield timed(lambda: base.sql(query).to_arrow_table(), 1, 1e3)
        finally:
            base.close()

    return open_


def polars(home: Home) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        import polars as pl

        def newest() -> None:
            rows = pl.scan_parquet(files(home)).filter(pl.col("instrument") == INSTRUMENT)
            rows.select("ts_event", "open", "high", "low", "close", "volume").sort("ts_event").tail(
                WANTED
            ).collect()

        yield timed(newest, 1, 1e3)

    return open_


def arcticdb(home: Home) -> Party:
    """The same bars in ArcticDB on this disk, read as its own users do: the newest rows of a symbol."""

    @contextmanager
    def open_() -> Iterator[Run]:
        import arcticdb as adb
        import pandas as pd
        import polars as pl

        held = pl.scan_parquet(files(home)).filter(pl.col("instrument") == INSTRUMENT).sort("ts_event")
        columns = held.select("ts_event", "open", "high", "low", "close").collect()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            library = adb.Arctic(f"lmdb://{folder}").get_library("bars", create_if_missing=True)
            index = pd.to_datetime(columns["ts_event"].to_numpy())
            values = {name: columns[name].to_numpy() for name in columns.columns if name != "ts_event"}
            values["volume"] = np.arange(len(columns), dtype=np.float64)
            library.write("bars", pd.DataFrame(values, index=index))
            yield timed(lambda: library.tail("bars", WANTED), 1, 1e3)

    return open_


# ── over HTTP ─────────────────────────────────────────────────────────────────────────────────────


def requests(port: int, path: str, headers: Mapping[str, str], count: int, bytes_min: int) -> Run:
    """One kept connection, one request after the other."""

    def run() -> Mapping[str, float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        times = []
        try:
            for _ in range(count):
                started = time.perf_counter()
                connection.request("GET", path, headers=dict(headers))
                answer = connection.getresponse()
                body = answer.read()
                times.append(time.perf_counter() - started)
                if answer.status != 200 or len(body) < bytes_min:
                    raise RuntimeError(f"GET {path}: {answer.status}, {len(body)} bytes: {body[:200]!r}")
        finally:
            connection.close()
        return {
            "rate": count / sum(times),
            "p50": statistics.median(times) * 1e3,
            "p99": sorted(times)[len(times) * 99 // 100] * 1e3,
        }

    return run


@contextmanager
def serving(home: Home) -> Iterator[int]:
    """Port of our service over this home."""
    limits = {f"TIDEMILL_LIMIT_{kind}": "10000000/minute" for kind in ("READ", "WRITE", "SESSION")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "serve", "--home", str(home.path), "--port", "0"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**program.environment(), **limits},
    )  # fmt: skip
    try:
        assert process.stderr
        for line in process.stderr:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if str(said.get("message", "")).startswith("serving"):
                    break
        else:
            raise RuntimeError(f"the service ended with {process.wait()}")
        # Somebody has to read what else it says, or it stops when the pipe is full.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield int(said["port"])
    finally:
        process.terminate()
        process.wait()


def service(home: Home, format_: str, count: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        with serving(home) as port:
            path = f"/api/v1/data/{INSTRUMENT}/bars?interval=1m&limit={WANTED}&format={format_}"
            headers = {"Authorization": f"Bearer {home.read_token()}"}
            yield requests(port, path, headers, count, WANTED * 20)

    return open_


def fastapi(path: str, count: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        with program.started([*program.python("peer.http"), str(WANTED)]) as server:
            yield requests(json.loads(server.line())["port"], path, {}, count, WANTED * 20)

    return open_


def contests(tiny: bool) -> Iterator[Contest]:
    count, calls, rounds = (10_000, 3, 1) if tiny else (500_000, REQUESTS, 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Home(Path(folder) / "home")
        home.create()
        fill(home, count)
        yield Contest(
            f"newest {WANTED:,} of {count:,} bars in Python",
            (Metric("time", "ms", {"duckdb": 20, "arcticdb": 5}),),
            view(home),
            {"duckdb": duckdb(home), "polars": polars(home), "arcticdb": arcticdb(home)},
            rounds,
        )  # fmt: skip
        peers = {
            "response_model": fastapi("/rows", calls),
            "response_model of columns": fastapi("/columns", calls),
            "FastAPI default": fastapi("/default", calls),
        }
        for format_, times in (("columns", 50), ("arrow", 100)):
            yield Contest(
                f"newest {WANTED:,} bars over HTTP as {format_}",
                (
                    Metric("rate", "requests/s", {"response_model": times}, more=True),
                    Metric("p50", "ms"),
                    Metric("p99", "ms"),
                ),
                service(home, format_, calls), peers, rounds,
            )  # fmt: skip
