"""The ledger of trials: everything that was ever tried of a strategy family on a dataset.

The best of many worthless trials looks good. How good it looks by luck alone depends on how many there were
and how far apart they lie, and that counts what was tried last month, too. Rows are only added, and the same
trial (`run.fingerprint`) is one, however often it is made.

    with metadata.write() as connection:
        ledger.record(connection, "sma_cross", ledger.dataset(["BTC-USD.kraken"], "1h"), [entry])
        ledger.count(connection, "sma_cross", "BTC-USD.kraken@1h").trials
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from tidemill.metadata.database import now_ns
from tidemill.metadata.dialect import insert
from tidemill.metadata.table import trials


@dataclass(frozen=True)
class Entry:
    """One trial."""

    fingerprint: str
    """`run.fingerprint` of it: the same trial again is the same entry."""
    sharpe: float | None
    """Of one day, not of a year; None where it has none."""
    periods: int
    """Days that it ran over."""


@dataclass(frozen=True)
class Count:
    """What was tried so far."""

    trials: int
    variance: float
    """Of their Sharpe ratios of one day; 0 of fewer than two."""


def dataset(instruments: Sequence[str], interval: str) -> str:
    """The dataset's name in the ledger: whichever order the instruments were asked for in."""
    return f"{','.join(sorted(instruments))}@{interval}"


def record(connection: Connection, family: str, data: str, entries: Sequence[Entry], *, source: str) -> None:
    """Adds those that are new. `source` says where they come from: `study:<id>` or `run:<id>`."""
    if not entries:
        return
    now = now_ns()
    connection.execute(
        insert(connection, trials).on_conflict_do_nothing(
            index_elements=["family", "dataset", "fingerprint"]
        ),
        [
            {"family": family, "dataset": data, "source": source, "created": now, **vars(one)}
            for one in entries
        ],
    )


def count(connection: Connection, family: str, data: str) -> Count:
    """All that was ever tried of the family on the dataset."""
    mine = (trials.c.family == family) & (trials.c.dataset == data)
    many = connection.execute(select(func.count()).where(mine)).scalar() or 0
    known, mean = connection.execute(
        select(func.count(trials.c.sharpe), func.avg(trials.c.sharpe)).where(mine)
    ).one()
    if known < 2:
        return Count(int(many), 0.0)
    # In two passes: the difference of two large sums would leave rounding.
    off = trials.c.sharpe - float(mean)
    spread = connection.execute(select(func.sum(off * off)).where(mine)).scalar() or 0.0
    return Count(int(many), float(spread) / (known - 1))
