"""What a store is: rows appended together with the offset they bring, read back by time and name.

Implementations: `lake.Lake` (Delta tables on disk or S3), `postgres.Postgres`, `arctic.Arctic` and
`memory.Memory` (their twin for tests). One contract suite, `tests/stores/test_contract.py`, runs over all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from tidemill.errors import UpstreamError
from tidemill.stores.table import Table

Position = tuple[int, int]
"""(epoch, sequence); positions compare as pairs."""


@dataclass(frozen=True)
class Query:
    """Which rows. Every condition is optional; all must hold."""

    instruments: tuple[str, ...] | None = None
    """Names such as `BTC-USD.kraken`."""
    venues: tuple[str, ...] | None = None
    start: int | None = None
    """First `ts_event` wanted, ns."""
    end: int | None = None
    """First `ts_event` no longer wanted, ns."""
    limit: int | None = None
    """At most this many rows: the newest ones, still ascending. With `revisions` this many starts of bars,
    each with all of its rows."""
    oldest: bool = False
    """`limit` keeps the oldest rows instead."""
    before: tuple[int, int, int] | None = None
    """Only rows before (ts_event, epoch, sequence) in that order: the next older page."""
    beyond: tuple[int, int, int] | None = None
    """Only rows after (ts_event, epoch, sequence) in that order: the next newer page."""
    as_of: int | None = None
    """What this platform knew at that time: `ts_recv` up to and including it, ns."""
    after: Position | None = None
    """Only rows beyond this position. Only sensible for one venue."""
    through: Position | None = None
    """Only rows up to and including this position. Only sensible for one venue."""
    kind: int | None = None
    """Levels only: 3 for levels, 4 for clears."""
    interval: str | None = None
    """Bars only: one of the stored intervals."""
    revisions: bool = False
    """Bars only: every revision, not just the newest that `as_of` allows."""
    revised: bool = False
    """Bars only: only rows that came after the first of their bar (`revision` above 0)."""
    columns: tuple[str, ...] | None = None
    """These columns only."""

    def with_(self, **changes: Any) -> Query:
        """The same query with some conditions changed."""
        return replace(self, **changes)


class OffsetError(RuntimeError):
    """An offset would go backwards: two writers, or a writer that did not read it back."""


class FencedError(OffsetError):
    """Somebody else has moved an offset since the caller read it: the caller is the writer no longer."""


class UnavailableError(UpstreamError):
    """The store cannot be reached, is full of work or is going down: nothing was kept, and trying again later
    is right."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "store_unavailable",
            message,
            hint="what has just arrived is still there; the rest comes back with the store: `tidemill doctor`"
            " says which one it is",
            http_status=503,
        )


@dataclass(frozen=True)
class Held:
    """What a table has of one instrument."""

    instrument: str
    rows: int
    start: int
    """First and last `ts_event`, ns."""
    end: int
    bytes: int
    """About what its rows take up."""
    sources: tuple[str, ...] = ("live",)
    """Who brought them; a store that does not look says `live`."""
    days: tuple[tuple[int, int], ...] | None = field(default=None, compare=False)
    """First and last of days (`ts_event` // DAY) in a row with rows; None where a store does not look."""
    daily: Mapping[int, int] | None = field(default=None, compare=False)
    """Rows of each day (`ts_event` // DAY) that has some; None where a store does not look."""
    intervals: tuple[str, ...] = field(default=(), compare=False)
    """Of bars: which stored intervals there are; empty where a store does not look."""


class Store(Protocol):
    """Appends are exactly once: rows and offsets become visible together or not at all."""

    def append(
        self,
        table: Table,
        rows: pa.Table,
        offsets: Mapping[str, int],
        after: Mapping[str, int | None] | None = None,
    ) -> bool:
        """Keeps `rows` and, in the same step, the offset of each application id.

        `after` says behind which stored offset of each id the rows begin, None for the first ever: compare
        and set. Returns False, and keeps nothing, when every offset is covered already: a repeated batch.
        Raises `OffsetError` when only some are, `FencedError` when a stored offset is not that in `after`.
        """

    def offset(self, table: Table, application: str) -> int | None:
        """The offset kept last for this application id; None before the first."""

    def position(self, table: Table, venue: str, epoch: int) -> Position | None:
        """The last record of a venue's journals, up to and including this epoch, that brought rows to this
        table. Every row of the venue up to it is here: reading `through` it is exact, whatever comes in
        meanwhile."""

    def read(self, table: Table, query: Query = ...) -> pa.Table:
        """Rows that answer the query, with the table's schema, ascending by its order. A store that has
        never had such a table gives an empty one."""

    def held(self, table: Table) -> list[Held]:
        """What there is of each instrument, by its name. May lag behind the last appends by seconds."""

    def version(self, table: Table, start: int | None = None, end: int | None = None) -> str:
        """A text that changes whenever rows of this table with `start` <= `ts_event` < `end` (ns) may be
        others than before; without bounds, any rows. For keys of caches: it may also change for nothing."""

    def close(self) -> None:
        """Lets go of connections and files."""


@runtime_checkable
class Dated(Protocol):
    """A store that can tell how its rows lie in time without reading them."""

    def dated(self, table: Table, query: Query) -> dict[int, int]:
        """Days (`ts_event` // DAY) that may have rows which answer the query, and about how many. Only
        `venues`, `instruments`, `start` and `end` of the query count."""


def retention_application(venue: str, epoch: int | None = None) -> str:
    """The application id under which a table says what it has let go of a venue: up to which `ts_event`, or
    with an epoch up to which sequence. A row at or before it may be gone, no row beyond it is."""
    return f"retention/{venue}" if epoch is None else f"retention/{venue}/{epoch}"


def journal_application(venue: str, epoch: int) -> str:
    """The application id under which rows of a journal are kept; its offset is a sequence."""
    return f"journal/{venue}/{epoch}"
