"""`tidemill bench http`: how soon a service answers over real HTTP, the first time and again."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from tidemill.cli.app import JsonOption, talk

if TYPE_CHECKING:
    from tidemill.home import Home

VENUE = "bench"
LIVE = "sim-bench"
START_S = 60.0
COLD_MS, WARM_MS = 100.0, 10.0
"""What p99 is to stay below."""
LINES = {
    "newest 5,000 bars": "/api/v1/data/{name}/bars?interval=1m",
    "… as rows": "/api/v1/data/{name}/bars?interval=1m&format=rows",
    "… of five minutes": "/api/v1/data/{name}/bars?interval=5m",
    "bars of a day": "/api/v1/data/{name}/bars?interval=1m&start={day}&end={next_day}",
    "bars as Arrow": "/api/v1/data/{name}/bars?interval=1m&format=arrow",
    "candles": "/candles?symbol={name}&interval=1m",
    "historical": "/historical?symbol={name}&interval=1m",
    "stock rows": "/api/v1/stocks/data/{name}:bars?interval=1h",
    "tiles": "/api/v1/data/{name}/tiles?level=900000000000&index={tile}&count=2",
    "metadata": "/api/v1/data/{name}/metadata",
    "dataset": "/api/v1/datasets/{name}:bars",
}
"""Each is asked once of every instrument, which nobody has done before, and then many times of one."""


def http_(
    instruments: Annotated[int, typer.Option(help="Invented instruments.", min=4)] = 100,
    rows: Annotated[int, typer.Option(help="One-minute bars of each.", min=1_500)] = 20_000,
    as_json: JsonOption = False,
) -> None:
    """Ask a service of its own, over a home of its own: the first question of each instrument (cold), and
    then the same again (warm); with bars of a live market between whose questions trades come in."""
    with talk.status("measuring …"), tempfile.TemporaryDirectory(prefix="tm-") as folder:
        told = {"instruments": instruments, "rows": rows, **_measured(Path(folder), instruments, rows)}
    if as_json:
        print(json.dumps(told))
        return
    grid = Grid("", "cold p50", "p99", "warm p50", "p99", "CPU ms cold", "warm")
    for name, one in told["paths"].items():
        grid.add_row(name, *(f"{one[key]:,.2f}" for key in ("cold_p50", "cold_p99", "warm_p50", "warm_p99")),
                     *(f"{one[key]:,.2f}" for key in ("cold_cpu", "warm_cpu")))  # fmt: skip
    talk.print(grid)


def _measured(folder: Path, instruments: int, rows: int) -> dict[str, Any]:
    from tidemill.home import Home

    home = Home(folder / "home")
    home.create()
    names = [f"I{number:03d}-USD.{VENUE}" for number in range(instruments)]
    first = _fill(home, names, rows)
    day = 86_400_000_000_000
    known = {"day": first, "next_day": first + day, "tile": first // (900_000_000_000 * 1_000)}
    told: dict[str, Any] = {"paths": {}}
    with _live(home) as come, _served(home) as asking:
        for line, path in LINES.items():
            asking.get("/api/v1/instruments")
            cold = [asking.get(path.format(name=name, **known)) for name in names]
            warm = [asking.get(path.format(name=names[0], **known)) for _ in range(3 * len(names))]
            told["paths"][line] = _said(cold, warm)
        path = f"/api/v1/data/BTC-USD.{LIVE}/bars?interval=1s"
        asking.get(path)
        moved = []
        for _ in names:
            come()
            moved.append(asking.get(path))
        told["paths"]["bars of a market that moves"] = _said(moved, [asking.get(path) for _ in names])
    return told


def _said(cold: list[tuple[float, float]], warm: list[tuple[float, float]]) -> dict[str, float]:
    told = {}
    for name, found in (("cold", cold), ("warm", warm)):
        spent = sorted(ms for ms, _ in found)
        told[f"{name}_p50"] = round(spent[len(spent) // 2], 3)
        told[f"{name}_p99"] = round(spent[int(len(spent) * 0.99)], 3)
        told[f"{name}_cpu"] = round(sum(cpu for _, cpu in found) / len(found), 3)
    return told


def _fill(home: Home, names: list[str], rows: int) -> int:
    """One-minute bars of every instrument, and the longer ones; returns the first midnight among them, ns."""
    import numpy as np
    import pyarrow as pa

    from tidemill.model.interval import DAY, MINUTE, STORED
    from tidemill.stores import imported
    from tidemill.stores.lake import Lake
    from tidemill.stores.table import BARS, bar_rows

    lake = Lake(home.lake)
    start = time.time_ns() // DAY * DAY - rows * MINUTE
    parts: list[pa.Table] = []
    for name in names:
        dice = np.random.default_rng(len(parts))
        close = 642_315 + np.cumsum(dice.integers(-5, 6, rows))
        columns: dict[str, Any] = {
            "start": start // MINUTE * MINUTE + np.arange(rows) * MINUTE, "open": close, "high": close + 3,
            "low": close - 3, "close": close, "volume": dice.integers(1, 10**9, rows),
            "trades": np.ones(rows, np.int64), "price_scale": 1, "size_scale": 8,
        }  # fmt: skip
        every = [imported.imported_bars("1m", columns, time.time_ns())]
        for longer in STORED[STORED.index("1m") + 1 :]:
            every.append(imported.merged(every[-1], longer, STORED.index(longer)))
        for one in every:
            rows_ = bar_rows(one, VENUE, 0, lambda _, name=name: str(name), source=VENUE)  # type: ignore[misc]
            parts.append(rows_.cast(BARS.schema))
    lake.append(BARS, pa.concat_tables(parts), {"bench": 1})
    lake.close()
    return -(-start // DAY) * DAY


@contextmanager
def _live(home: Home) -> Iterator[Callable[[], None]]:
    """A venue with a journal; yields what writes one more trade."""
    import numpy as np

    from tidemill import _native, wire

    with _native.JournalWriter(str(home.path), LIVE, "kraken") as journal:
        number = journal.instrument(
            f"BTC-USD.{LIVE}", symbol="BTC/USD", base="BTC", quote="USD", tick="0.1", lot="0.00000001",
            price_scale=1, size_scale=8,
        )  # fmt: skip

        def write(count: int, start: int) -> None:
            records = np.zeros(count, wire.RECORD)
            records["kind"] = wire.KIND_TRADE
            records["flags"] = wire.FLAG_BUY | wire.FLAG_LAST
            records["instrument"] = number
            records["price_scale"], records["size_scale"] = 1, 8
            records["ts_event"] = records["ts_recv"] = start + np.arange(count) * 1_000_000_000
            records["price"], records["size"] = 642_315, 1_000_000
            journal.append(records)

        write(6_000, time.time_ns() - 6_000 * 1_000_000_000)
        yield lambda: write(1, time.time_ns())


class _Asking:
    """One kept connection to a service."""

    def __init__(self, port: int, token: str, pid: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
        self._pid = pid

    def get(self, path: str) -> tuple[float, float]:
        """Milliseconds until the last byte, and of the service's processors meanwhile."""
        cpu, began = self._cpu_s(), time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        spent = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered with {answer.status}: {body[:300]!r}")
        return spent * 1e3, (self._cpu_s() - cpu) * 1e3

    def _cpu_s(self) -> float:
        # clock_getcpuclockid(3): of a whole process, threads that have ended and all.
        return time.clock_gettime((~self._pid << 3) | 2)


@contextmanager
def _served(home: Home) -> Iterator[_Asking]:
    """A service over a home, which ends with the block."""
    import os

    limits = {f"TIDEMILL_LIMIT_{kind}": "1000000/minute" for kind in ("READ", "WRITE", "SESSION")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "serve", "--home", str(home.path), "--port", "0"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **limits},
    )  # fmt: skip
    try:
        port = _port(process)
        yield _Asking(port, home.read_token(), process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None  # noqa: S101 - asked for above
    for line in process.stderr:
        said = json.loads(line) if line.startswith(b"{") else {}
        if str(said.get("message", "")).startswith("serving"):
            return int(said["port"])
    raise RuntimeError(f"the service ended with {process.wait()}")
