"""`tidemill bench`: what a store does on this machine, beside a lake, in one run."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from tidemill.address import scheme, shown
from tidemill.cli.app import JsonOption, talk
from tidemill.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.stores.api import Store
    from tidemill.stores.lake import Lake

app = typer.Typer(no_args_is_help=True)

VENUE = "sim-bench"
INSTRUMENTS = 40
DAYS = 7
BARS = 10_000
BATCH = 250_000
READS = 60


@app.callback()
def _group() -> None:
    """Measure a part on this machine."""


@app.command()
def store(
    url: Annotated[
        str,
        typer.Option(
            "--store",
            envvar="TIDEMILL_STORE_URL",
            help="postgresql://…, or `lake` for one in a temporary folder.",
        ),
    ] = "lake",
    rows: Annotated[
        int, typer.Option(help="Invented trades, spread over seven days.", min=10_000)
    ] = 1_000_000,
    as_json: JsonOption = False,
) -> None:
    """Write and read invented trades: in the given store, and in a lake beside it.

    Everything is made for the run and removed after it: in a database a schema of its own.
    """
    if scheme(url) not in ("lake", "postgresql"):
        raise UsageError(
            "store_unmeasured",
            f"{shown(url)!r} is neither `lake` nor a postgresql:// address",
            hint="a store of another kind has no place that a measurement could have for itself",
        )
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
        told = _measured(url, rows, Path(folder))
    if as_json:
        print(json.dumps(told))
    else:
        _show(told)


def _measured(url: str, rows: int, folder: Path) -> dict[str, Any]:
    from tidemill.stores.lake import Lake

    lake = Lake(folder / "lake")
    with _said("filling a lake"):
        told: dict[str, Any] = {"rows": rows, "lake": _filled(lake, rows)}
    told["lake"] |= _packed(lake, rows)
    told["lake"]["week_vwap_s"] = _timed(lambda: _vwap_of_lake(lake), 3)
    told["lake"] |= _read(lake)
    if scheme(url) == "postgresql":
        with own_schema(url) as own:
            with _said("filling the database"):
                told["store"] = {"address": shown(url), "hypertables": own.hypertables}
                told["store"] |= _filled(own.store, rows)
            told["store"]["bytes_per_row"] = round(own.bytes_of_trades() / rows, 1)
            told["store"]["week_vwap_s"] = _timed(own.vwap, 3)
            told["store"] |= _read(own.store)
        told["store_to_lake"] = {
            name: round(told["store"][name] / told["lake"][name], 2)
            for name in ("append_rows_s", "week_vwap_s", "bytes_per_row")
        }
    return told


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    with talk.status(f"{what} …"):
        yield


# ── what is measured ──────────────────────────────────────────────────────────────────────────────


def names() -> list[str]:
    """The invented instruments."""
    return [f"C{number:02d}-USD.{VENUE}" for number in range(INSTRUMENTS)]


def trades(first: int, count: int, whole: int) -> pa.Table:
    """Trades number `first` and following of `whole` that are spread over seven days, as a venue might
    print them: prices walk, sizes are round, few are large."""
    import numpy as np

    from tidemill import wire
    from tidemill.model.interval import DAY
    from tidemill.stores.table import TRADES, rows_of

    dice = np.random.default_rng(first)
    records = np.zeros(count, wire.RECORD)
    at = first - 1 + np.arange(count)
    records["kind"] = wire.KIND_TRADE
    records["flags"] = dice.integers(1, 3, count) | wire.FLAG_HAS_ID | wire.FLAG_LAST
    records["instrument"] = 1 + np.minimum(dice.geometric(0.1, count), INSTRUMENTS) - 1
    records["ts_event"] = _start() + at * (DAYS * DAY // whole) + dice.integers(0, 1_000, count) * 1_000
    records["ts_recv"] = records["ts_event"] + 20_000_000 + dice.integers(0, 5_000, count) * 1_000
    records["price"] = 642_315 + np.cumsum(dice.integers(-2, 3, count)) + records["instrument"] * 1_000
    records["price_scale"], records["size_scale"] = 1, 8
    records["size"] = np.ceil(dice.pareto(1.5, count) * 100).astype(np.int64).clip(1, 10**9) * 100_000
    records["id"] = first + np.arange(count)
    known = names()
    return rows_of(TRADES, records, first + np.arange(count), 1, VENUE, lambda n: known[n - 1])


def _start() -> int:
    from tidemill.model.interval import DAY

    return (time.time_ns() // DAY - DAYS) * DAY


def bars() -> pa.Table:
    """One-minute bars of the first instrument."""
    import numpy as np

    from tidemill.model.interval import MINUTE
    from tidemill.stores.imported import imported_bars
    from tidemill.stores.table import bar_rows

    dice = np.random.default_rng(1)
    close = 642_315 + np.cumsum(dice.integers(-5, 6, BARS))
    columns: dict[str, Any] = {
        "start": _start() + np.arange(BARS) * MINUTE,
        "open": close, "high": close + 3, "low": close - 3, "close": close,
        "volume": dice.integers(1, 10**9, BARS), "trades": np.ones(BARS, np.int64),
        "price_scale": 1, "size_scale": 8,
    }  # fmt: skip
    return bar_rows(
        imported_bars("1m", columns, time.time_ns()), VENUE, 0, lambda _: names()[0], source="bench"
    )


def _filled(into: Store, rows: int) -> dict[str, Any]:
    from tidemill.stores.api import journal_application
    from tidemill.stores.table import BARS as BAR_TABLE
    from tidemill.stores.table import TRADES

    # The first batch makes the tables, which is not what is measured.
    application, spent = journal_application(VENUE, 1), 0.0
    into.append(TRADES, TRADES.empty(), {"bench": 1})
    for first in range(1, rows + 1, BATCH):
        batch = trades(first, min(BATCH, rows + 1 - first), rows)
        began = time.perf_counter()
        into.append(TRADES, batch, {application: first + len(batch) - 1})
        spent += time.perf_counter() - began
    into.append(BAR_TABLE, bars(), {"bench": 1})
    return {"append_rows_s": round(rows / spent)}


def _packed(lake: Lake, rows: int) -> dict[str, Any]:
    """Bytes of a row in the lake once its files are merged, and of the same row as CSV."""
    import pyarrow.csv

    from tidemill.log import Log
    from tidemill.recorder.housekeeping import Housekeeping
    from tidemill.stores.api import Query
    from tidemill.stores.table import TRADES

    Housekeeping(lake, Log("bench"), levels_hours=0, sim_hours=0).compact(TRADES)
    packed = sum(file.bytes for file in lake.tables()[TRADES.name]) / rows
    sample = lake.read(TRADES, Query(limit=50_000))
    text = io.BytesIO()
    pyarrow.csv.write_csv(sample, text)
    plain = text.tell() / len(sample)
    return {
        "bytes_per_row": round(packed, 1),
        "csv_bytes_per_row": round(plain, 1),
        "csv_ratio": round(plain / packed, 1),
    }


def _read(from_: Store) -> dict[str, Any]:
    from tidemill.stores.api import Query
    from tidemill.stores.table import BARS as BAR_TABLE
    from tidemill.stores.table import TRADES

    one = (names()[0],)
    return {
        "last_1000_trades_ms": _spread(lambda: from_.read(TRADES, Query(instruments=one, limit=1_000))),
        "last_5000_bars_ms": _spread(
            lambda: from_.read(BAR_TABLE, Query(instruments=one, interval="1m", limit=5_000))
        ),
    }


def _spread(work: Callable[[], object]) -> dict[str, float]:
    work()
    spent = sorted(_timed(work, 1) * 1e3 for _ in range(READS))
    return {"p50": round(spent[len(spent) // 2], 2), "p99": round(spent[int(len(spent) * 0.99)], 2)}


def _timed(work: Callable[[], object], times: int) -> float:
    """The shortest of so many tries, s."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return round(min(spent), 6)


def _vwap_of_lake(lake: Lake) -> object:
    import duckdb

    files = [str(lake.path / "trades" / file.path) for file in lake.tables()["trades"]]
    with duckdb.connect() as connection:
        return connection.execute(
            "SELECT instrument, ts_event // 86400000000000, sum(price::DOUBLE * size) / sum(size::DOUBLE)"
            " FROM read_parquet($files) GROUP BY ALL",
            {"files": files},
        ).fetchall()


# ── a schema of its own ───────────────────────────────────────────────────────────────────────────


@dataclass
class _Own:
    """A store in a schema that nobody else uses."""

    store: Store
    connection: Any
    hypertables: bool

    def vwap(self) -> object:
        return self.connection.execute(
            "SELECT instrument, ts_event / 86400000000000, sum(price::float8 * size) / sum(size::float8)"
            " FROM raw_trades GROUP BY 1, 2"
        ).fetchall()

    def bytes_of_trades(self) -> int:
        from tidemill.stores.table import TRADES

        return sum(one.bytes for one in self.store.held(TRADES))


@contextlib.contextmanager
def own_schema(url: str) -> Iterator[_Own]:
    """A new schema in a database, and a store in it; the schema is gone after it, with all that is in it."""
    from tidemill.stores.postgres import Postgres
    from tidemill.stores.postgres_connection import Connections
    from tidemill.stores.postgres_schema import apart, has_hypertables

    name = f"tidemill_bench_{secrets.token_hex(6)}"
    connections = Connections(url)
    with connections.use() as connection, apart(connection, name) as path:
        store = Postgres(url, search_path=path)
        try:
            yield _Own(store, connection, has_hypertables(connection))
        finally:
            store.close()


def _show(told: dict[str, Any]) -> None:
    columns = [name for name in ("lake", "store") if name in told]
    grid = Grid("", *columns)
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "rows/s kept": lambda one: f"{one['append_rows_s']:,}",
        "last 1,000 trades, ms": lambda one: "{p50} (p99 {p99})".format(**one["last_1000_trades_ms"]),
        "last 5,000 bars, ms": lambda one: "{p50} (p99 {p99})".format(**one["last_5000_bars_ms"]),
        "VWAP of a week by day, ms": lambda one: f"{one['week_vwap_s'] * 1e3:.1f}",
        "bytes/row": lambda one: str(one["bytes_per_row"]),
        "CSV is larger by": lambda one: str(one.get("csv_ratio", "–")),
    }
    for title, told_of in lines.items():
        grid.add_row(title, *(told_of(told[name]) for name in columns))
    talk.print(f"{told['rows']:,} trades of {INSTRUMENTS} instruments over {DAYS} days")
    talk.print(grid)
