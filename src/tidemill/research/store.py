"""Where runs are kept: what each is in a database of its own, its tables as Parquet files beside it.

    DIR/runs/runs.db            one row for each run (or PostgreSQL, by TIDEMILL_RUNS_URL)
    DIR/runs/<id>/fills.parquet orders, fills, equity, trades, days and prices of one run

A run is there whole or not at all: its files are written into a folder of another name, synced, and renamed;
its row comes last and goes first. What a kill leaves is a folder without a row, which `tidy` removes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
)
from sqlalchemy.exc import SQLAlchemyError

from tidemill import address
from tidemill.errors import ConfigError, ConflictError, DataQualityError, NotFoundError, ResourceError
from tidemill.home import Home
from tidemill.metadata import dialect
from tidemill.research import filter as filtering
from tidemill.research.run import EQUITY, FILLS, ORDERS, TRADES
from tidemill.research.summary import DAYS

VERSION: Final = 1
SCHEMA: Final = "tidemill_runs"
NAME: Final = "database of runs"
PRICES: Final = pa.schema(
    [
        pa.field("instrument", pa.string(), False),
        pa.field("ts", pa.int64(), False),  # end of the bar, ns UTC
        pa.field("close", pa.float64(), False),
    ]
)
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "orders": ORDERS, "fills": FILLS, "equity": EQUITY, "trades": TRADES, "days": DAYS, "prices": PRICES,
}  # fmt: skip
State = Literal["done", "failed"]
STATS: Final = (
    "total_return", "cagr", "sharpe", "deflated_sharpe", "sortino", "max_drawdown", "volatility",
    "profit_factor", "win_rate", "trades", "exposure", "turnover", "costs"
)  # fmt: skip
"""Numbers that a list can be sorted by, beside `created` and `duration_s`."""
SORTS: Final = ("created", "duration_s", *STATS)
COMPARED: Final = ("duration_s", "rows", *STATS)
"""Numbers that a filter can compare."""
ORPHAN_S: Final = 3600.0
"""Older folders without a row are what a kill left: no run takes so long to be entered."""
_NEW = ".new-"

_tables = MetaData()
_about = Table("about", _tables, Column("version", Integer, primary_key=True, autoincrement=False))
_runs = Table(
    "runs",
    _tables,
    Column("id", String, primary_key=True),
    Column("created", BigInteger, nullable=False),  # ns UTC
    Column("state", String, nullable=False),  # done, failed
    Column("strategy", String, nullable=False),
    Column("instruments", JSON, nullable=False),
    Column("interval", String, nullable=False),
    Column("start", BigInteger),  # asked for, ns UTC; null is all that was there
    Column("end", BigInteger),
    Column("engine", String, nullable=False),
    Column("params", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("source", String, nullable=False),  # the strategy's code
    Column("source_digest", String, nullable=False),
    Column("data_digest", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("outcome_digest", String),
    Column("version", String, nullable=False),  # of Tidemill
    Column("rows", BigInteger, nullable=False),  # bars that it ran over
    Column("duration_s", Float, nullable=False),
    Column("origin", String, nullable=False),  # python, cli, job:<id>
    Column("log", String, nullable=False),
    Column("error", JSON),  # the one error shape, of a failed one
    Column("summary", JSON),  # as `Summary.json`
    Column("stress", JSON),
    *(Column(name, Float) for name in STATS),
    Column("words", String, nullable=False),  # what a text is looked for in, lower case
    Index("ix_runs_created", "created", "id"),
    Index("ix_runs_fingerprint", "fingerprint", "created"),
    Index("ix_runs_strategy", "strategy", "created"),
)
_COLUMNS = [column for column in _runs.columns if column.name not in (*STATS, "words")]


@dataclass(frozen=True)
class Row:
    """A run as it is kept. Times are ns UTC."""

    strategy: str
    instruments: tuple[str, ...]
    interval: str
    start: int | None
    end: int | None
    engine: str
    params: Mapping[str, Any]
    settings: Mapping[str, Any]
    source: str
    source_digest: str
    data_digest: str
    fingerprint: str
    version: str
    rows: int
    duration_s: float
    origin: str
    outcome_digest: str | None = None
    summary: Mapping[str, Any] | None = None
    stress: Sequence[Mapping[str, Any]] | None = None
    state: State = "done"
    error: Mapping[str, Any] | None = None
    log: str = ""
    id: str = field(default_factory=lambda: f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(3)}")
    """Sorts by when it was made."""
    created: int = field(default_factory=time.time_ns)

    @property
    def numbers(self) -> Mapping[str, Any]:
        """All that was measured, by name; empty of a failed run."""
        found: Mapping[str, Any] = (self.summary or {}).get("numbers", {})
        return found


@dataclass(frozen=True)
class Filters:
    """Which runs are asked for; None and "" take all."""

    strategy: str | None = None
    instrument: str | None = None
    engine: str | None = None
    state: str | None = None
    text: str = ""
    """In id, strategy, instruments or parameters, whatever the case."""
    fingerprint: str | None = None
    where: str = ""
    """As `filter` reads it: `strategy:sma* sharpe>1`."""


class Runs:
    """The runs of one home. Thread-safe; several processes may use it at once."""

    def __init__(self, folder: Path, place: Path | str | None = None) -> None:
        """Makes folder and database where they are missing. Raises `ConfigError` when they cannot be used or
        were written by a newer Tidemill, `ResourceError` when there is no room."""
        self.folder = folder
        self.place = place if place is not None else folder / "runs.db"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unwritable(folder, error) from error
        self._dialect = dialect.of(self.place, SCHEMA)
        self.engine = self._dialect.engine()
        self._prepare()

    @classmethod
    def of(cls, home: Home | Path) -> Self:
        """Those of a home, wherever the settings say that their database is."""
        path = home.path if isinstance(home, Home) else home
        return cls(Home(path).runs, address.named("TIDEMILL_RUNS_URL"))

    def _prepare(self) -> None:
        with self._used(write=True) as connection:
            self._dialect.begin_migration(connection)
            _tables.create_all(connection)
            found = connection.execute(select(func.max(_about.c.version))).scalar()
            if found is None:
                connection.execute(insert(_about).values(version=VERSION))
            elif found > VERSION:
                raise ConfigError(
                    "database_newer",
                    f"{self._dialect.shown} is at version {found}; this Tidemill knows {VERSION}",
                    hint="install the newer Tidemill again",
                )
        if isinstance(self.place, Path):
            self.place.chmod(0o600)

    @contextlib.contextmanager
    def _used(self, *, write: bool = False) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                connection.execution_options(tidemill_write=write)
                with connection.begin():
                    yield connection
        except SQLAlchemyError as error:
            raise dialect.failure(error, self.place, NAME) from error
        except Exception as error:
            if type(error).__module__.startswith("psycopg"):
                raise dialect.failure(error, self.place, NAME) from error
            raise

    # Writing.

    def keep(self, row: Row, tables: Mapping[str, pa.Table]) -> Row:
        """Keeps a run with its tables, by the names of `SCHEMAS`; of a failed one there are none."""
        if row.state == "done":
            self._write(row.id, tables)
        numbers = {name: _number(row.numbers.get(name)) for name in STATS}
        values = {one.name: getattr(row, one.name) for one in fields(row)}
        values |= {"instruments": list(row.instruments), "params": dict(row.params)}
        with self._used(write=True) as connection:
            connection.execute(insert(_runs).values(**values, **numbers, words=_words(row)))
        return row

    def _write(self, name: str, tables: Mapping[str, pa.Table]) -> None:
        made = self.folder / f"{_NEW}{name}"
        try:
            made.mkdir(mode=0o700)
            for table, shape in SCHEMAS.items():
                path = made / f"{table}.parquet"
                rows = tables[table].cast(shape) if table in tables else shape.empty_table()
                with path.open("wb") as file:
                    pq.write_table(rows, file, compression="zstd")
                    file.flush()
                    os.fsync(file.fileno())
            _sync(made)
            made.rename(self.folder / name)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            raise _unwritable(made, error) from error

    def remove(self, name: str) -> None:
        """Lets a run go, for good. Raises `NotFoundError` `run_unknown`."""
        with self._used(write=True) as connection:
            gone = connection.execute(delete(_runs).where(_runs.c.id == name)).rowcount
        if not gone:
            raise _unknown(name)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def tidy(self, older_s: float = ORPHAN_S) -> int:
        """Removes folders that belong to no run, as kills leave them; how many there were."""
        with self._used() as connection:
            known = set(connection.execute(select(_runs.c.id)).scalars())
        gone = 0
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if path.is_dir() and path.name not in known and time.time() - path.stat().st_mtime > older_s:
                    shutil.rmtree(path)
                    gone += 1
        return gone

    # Reading.

    def get(self, name: str) -> Row:
        """One run, by its id or a beginning of it that no other has. Raises `NotFoundError` `run_unknown`,
        and `ConflictError` `run_ambiguous` where several begin so."""
        with self._used() as connection:
            found = connection.execute(
                select(*_COLUMNS)
                .where(_runs.c.id.startswith(name, autoescape=True))
                .order_by(_runs.c.id)
                .limit(4)
            ).all()
        exact = [one for one in found if one.id == name]
        if exact or (len(found) == 1 and len(name) >= 4):
            return _row((exact or found)[0])
        if len(found) > 1 and name:
            raise ConflictError(
                "run_ambiguous",
                f"several runs begin with {name[:40]!r}",
                hint="write more of it: " + ", ".join(one.id for one in found[:3]),
            )
        raise _unknown(name)

    def of_fingerprint(self, fingerprint: str) -> Row | None:
        """The newest finished run of that fingerprint."""
        found = self.page(1, Filters(fingerprint=fingerprint, state="done"))
        return found[0] if found else None

    def page(
        self,
        limit: int,
        filters: Filters = Filters(),
        *,
        sort: str = "created",
        ascending: bool = False,
        after: Sequence[Any] | None = None,
    ) -> list[Row]:
        """At most `limit` runs, sorted by one of `SORTS`, runs without that number last, of equal ones the
        newest first. `after` is `key` of the last run of the page before."""
        place, new, name = _order(sort, ascending)
        query = select(*_COLUMNS).where(*_conditions(filters))
        if after is not None:
            query = query.where(tuple_(place, new, name) > tuple_(*map(literal, after)))
        with self._used() as connection:
            found = connection.execute(query.order_by(place, new, name).limit(limit)).all()
        return [_row(one) for one in found]

    def count(self, filters: Filters = Filters()) -> int:
        """How many there are."""
        query = select(func.count()).select_from(_runs).where(*_conditions(filters))
        with self._used() as connection:
            return int(connection.execute(query).scalar_one())

    def table(self, name: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of a run, by the names of `SCHEMAS`. Raises `DataQualityError` `run_damaged` where its
        file cannot be read, and `ConflictError` `run_failed` for a run that has none."""
        row = self.get(name)
        if row.state != "done":
            raise ConflictError("run_failed", f"the run {row.id} failed: it has no {table}")
        path = self.folder / row.id / f"{table}.parquet"
        try:
            return pq.read_table(path, columns=list(columns) if columns else None, memory_map=False)
        except (OSError, pa.ArrowException) as error:
            raise DataQualityError(
                "run_damaged",
                f"{path} cannot be read: {error}"[:500],
                hint=f"run it again, or remove it: `tidemill backtest rm {row.id}`",
                http_status=503,
            ) from error

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def key(row: Row, sort: str = "created", ascending: bool = False) -> list[Any]:
    """Where a run stands in a sorted list: what `Runs.page` takes as `after`."""
    if sort == "created":
        value: Any = row.created
    else:
        value = row.duration_s if sort == "duration_s" else _number(row.numbers.get(sort))
        value = _LAST if value is None else value
    return [value if ascending or value == _LAST else -value, -row.created, row.id]


_LAST = 1e308


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """What has to hold of a run. Raises `UsageError` `filter_invalid`."""
    found: list[ColumnElement[bool]] = [
        column == wanted
        for column, wanted in (
            (_runs.c.strategy, filters.strategy), (_runs.c.engine, filters.engine),
            (_runs.c.state, filters.state), (_runs.c.fingerprint, filters.fingerprint),
        )
        if wanted is not None
    ]  # fmt: skip
    if filters.instrument is not None:
        found.append(_runs.c.words.contains(f"|{filters.instrument.lower()}|", autoescape=True))
    terms, words = filtering.read(filters.where, COMPARED)
    for word in [*words, *([filters.text.lower()] if filters.text else [])]:
        found.append(_runs.c.words.contains(word, autoescape=True))
    for term in terms:
        if isinstance(term, filtering.Compared):
            found.append(filtering.OPERATORS[term.operator](_runs.c[term.name], term.value))
        elif term.name == "instrument":
            found.append(_runs.c.words.like(f"%|{_pattern(term.text)}|%", escape="/"))
        elif term.name == "param":
            found.append((_runs.c.words + " ").like(f"%| % {_pattern(term.text)} %", escape="/"))
        else:
            found.append(func.lower(_runs.c[term.name]).like(_pattern(term.text), escape="/"))
    return found


def _pattern(text: str) -> str:
    """For LIKE, with `*` for anything and every other sign as it is."""
    plain = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return plain.replace("*", "%")


def _order(sort: str, ascending: bool) -> tuple[Any, Any, Any]:
    """The columns by which a list is sorted, all ascending."""
    column = _runs.c[sort]
    place: Any = column if ascending else -column
    if sort not in ("created", "duration_s"):
        place = func.coalesce(place, _LAST)
    return place, -_runs.c.created, _runs.c.id


def _row(found: Any) -> Row:
    values = {column.name: getattr(found, column.name) for column in _COLUMNS}
    return replace(Row(**values), instruments=tuple(values["instruments"]))


def _words(row: Row) -> str:
    params = " ".join(f"{name}={value}" for name, value in row.params.items())
    return f"{row.id} {row.strategy} |{'|'.join(row.instruments)}| {row.interval} {params}".lower()


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ResourceError:
    return ResourceError(
        "runs_unwritable",
        f"{path} cannot be written: {error.strerror or error}",
        hint="free some space, or mount the disk so that it can be written",
        http_status=507,
    )


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(
        "run_unknown", f"no run is named {name[:60]!r}", hint="`tidemill backtest ls` lists them"
    )
