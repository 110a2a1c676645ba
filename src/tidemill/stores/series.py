"""Bars of any interval from a store: the stored interval that fits, merged."""

from __future__ import annotations

import os
import types
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill import _native
from tidemill.errors import ConfigError
from tidemill.model.bar import BAR, Bars
from tidemill.model.calendar import Instants
from tidemill.model.interval import STORED, Interval
from tidemill.stores.api import Query, Store
from tidemill.stores.table import BARS, bars_of

NONE: Instants = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Stored:
    """Stored bars of one series, one row per start, and what of them is only a part."""

    bars: Bars
    mixed: Instants
    """Starts that an import and the live record each cover, perhaps in part (an import's last day and the
    live day after it): such a bar is made from the next shorter interval instead. Ascending, shape (m,)."""
    imported: Instants
    """Starts that no live row covers, ascending, shape (k,)."""


def stored(store: Store, instrument: str, index: int, query: Query) -> Stored:
    """Bars of a stored interval, newest revision each."""
    rows = store.read(BARS, query.with_(instruments=(instrument,), interval=STORED[index], revisions=True))
    return pick(rows)


def pick(rows: pa.Table) -> Stored:
    """One bar per start of rows that ascend by (start, revision): live before imported, then the highest
    revision."""
    bars = bars_of(rows)
    starts = bars["start"].copy()
    live = rows["epoch"].to_numpy() > 0
    if (starts[1:] > starts[:-1]).all():  # one row per start already, as nearly everywhere
        return Stored(bars, NONE, starts[~live])
    rank = np.lexsort((bars["revision"], live, starts))
    last = np.ones(len(rank), bool)
    last[:-1] = starts[rank][1:] != starts[rank][:-1]
    chosen = rank[last]
    mixed = np.intersect1d(starts[live], starts[~live])
    return Stored(bars[chosen], mixed, starts[chosen][~live[chosen]])


def newest(bars: Bars) -> Bars:
    """One row per start, ascending: the highest revision, the later row of equals."""
    if len(bars) < 2:
        return bars
    ordered: Bars = bars[np.lexsort((bars["revision"], bars["start"]))]
    last: Bars = ordered[np.append(ordered["start"][1:] != ordered["start"][:-1], True)]
    return last


def overlay(below: Bars, above: Bars) -> Bars:
    """Both, one row per start; a row of `above` wins unless `below` has a higher revision."""
    if not len(above):
        return below
    if not len(below):
        return above
    if above["start"][0] > below["start"][-1]:
        return np.concatenate([below, above])
    return newest(np.concatenate([below, above]))


def cover(below: Bars, above: Bars) -> Bars:
    """Both, one row per start; a row of `above` always wins."""
    if not len(above):
        return below
    # All but a few rows of `below` lie before the first of `above`: those need not be looked at.
    first = int(np.searchsorted(below["start"], above["start"][0]))
    if first == len(below):
        return np.concatenate([below, above])
    kept = below[first:][~np.isin(below["start"][first:], above["start"])]
    return overlay(np.concatenate([below[:first], kept]) if len(kept) else below[:first], above)


def among(some: Instants, all_: Instants) -> npt.NDArray[np.bool_]:
    """Which of a few instants are in `all_`, which ascend and may be many, shape of `some`."""
    at = np.searchsorted(all_, some)
    there = at < len(all_)
    there[there] = all_[at[there]] == some[there]
    return there


def merge(bars: Bars, interval: Interval) -> Bars:
    """Bars of a longer interval from bars that ascend."""
    if not len(bars):
        return bars
    if kernel() == "numba":
        made: Bars = jit().merge(bars, interval)
        return made
    return np.frombuffer(_native.merge_bars(np.ascontiguousarray(bars), interval.text), BAR)


def merge_by(bars: Bars, starts: Instants, ends: Instants) -> Bars:
    """Bars of spans that ascend from bars that ascend and reach over no edge of them; what begins in no
    span is in none."""
    if not len(bars):
        return bars
    if kernel() == "numba":
        made: Bars = jit().merge_by(bars, starts, ends)
        return made
    columns = (np.ascontiguousarray(one, np.int64) for one in (starts, ends))
    return np.frombuffer(_native.merge_bars_by(np.ascontiguousarray(bars), *columns), BAR)


def kernel() -> str:
    """The kernel that merges bars: `native`, or `numba` where `TIDEMILL_BAR_KERNEL` says so. Raises
    `ConfigError` for another name."""
    name = os.environ.get("TIDEMILL_BAR_KERNEL") or "native"
    if name not in ("native", "numba"):
        raise ConfigError(
            "switch_invalid",
            f"TIDEMILL_BAR_KERNEL is {name[:40]!r}, which is no kernel",
            hint="native or numba",
        )
    return name


def jit() -> types.ModuleType:
    """The kernel in Numba. Raises `ConfigError` where it is not installed."""
    try:
        from tidemill.stores import bar_jit
    except ImportError as error:
        raise ConfigError(
            "extra_missing",
            "TIDEMILL_BAR_KERNEL=numba needs the Python package numba",
            hint="pip install 'tidemill[jit]'",
        ) from error
    return bar_jit
