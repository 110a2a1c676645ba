"""Bugs to plant in a record: what a judge must find, or its word is worth nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from tidemill import wire

Records = np.ndarray
BUGS = ("dropped", "doubled", "swapped", "altered", "truncated")


def plant(
    bug: str, records: Records, sequences: np.ndarray, kind: int, dice: random.Random
) -> tuple[Records, np.ndarray]:
    """The records and their sequences, with one bug in a record of this kind; `truncated` is a stream that
    stops there without a word."""
    at = _victim(records, kind, dice)
    if bug == "truncated":
        is_rest = _is_of_stream(records, at) & (np.arange(len(records)) >= at)
        return records[~is_rest], sequences[~is_rest]
    if bug == "dropped":
        return np.delete(records, at), np.delete(sequences, at)
    if bug == "doubled":
        return np.insert(records, at, records[at]), np.insert(sequences, at, sequences[at])
    planted = records.copy()
    if bug == "swapped":
        other = _neighbour(records, at)
        planted[[at, other]] = planted[[other, at]]
        return planted, sequences
    change: Callable[[], None] = dice.choice(
        [
            lambda: _add(planted, at, "price", 1),
            lambda: _add(planted, at, "size", 1),
            lambda: _add(planted, at, "ts_event", 1_000),
            lambda: _turn(planted, at),
        ]
    )
    change()
    return planted, sequences


def _is_of_the_venue(records: Records) -> np.ndarray:
    """All but removals that the collector adds, and snapshots: those hold what stands elsewhere too."""
    fell_out = (records["size"] == 0) & (records["flags"] & wire.FLAG_NO_VENUE_TIME != 0)
    return ~fell_out & (records["flags"] & wire.FLAG_SNAPSHOT == 0)


def _is_of_stream(records: Records, at: int) -> np.ndarray:
    """All that the stream of this record writes: a book is levels and what empties it."""
    kinds = (wire.KIND_LEVEL, wire.KIND_CLEAR)
    kind = records["kind"][at]
    same = np.isin(records["kind"], kinds) if kind in kinds else records["kind"] == kind
    found: np.ndarray = same & (records["instrument"] == records["instrument"][at])
    return found


def _victim(records: Records, kind: int, dice: random.Random) -> int:
    """A record in the middle half, where it is not the beginning or end of what is judged."""
    found = np.flatnonzero((records["kind"] == kind) & _is_of_the_venue(records))
    return int(found[dice.randrange(len(found) // 4, 3 * len(found) // 4)])


def _neighbour(records: Records, at: int) -> int:
    """The next record of the same kind and instrument that differs."""
    same = (records["kind"] == records["kind"][at]) & (records["instrument"] == records["instrument"][at])
    found = np.flatnonzero(same & _is_of_the_venue(records) & (records != records[at]))
    return int(found[np.searchsorted(found, at, side="right")])


def _add(records: Records, at: int, field: str, step: int) -> None:
    records[field][at] += step


def _turn(records: Records, at: int) -> None:
    """The other side."""
    records["flags"][at] ^= wire.FLAG_SIDE
