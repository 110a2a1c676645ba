"""The judge of quotes: the best levels that the truth of the simulated venues had against those of a journal.

Kraken prints each change of its best levels, with the time of the change, and the truth log has every one: a
quote is kept once and to the digit, or it lies inside a recorded gap; nothing else is kept. The others print
theirs between the batches that the truth log has: of those only what any quote must be is judged.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tests.system.book import ASK, BID, Hole, Ladder, Row, rows_of, truth_messages
from tests.system.harness import Journal
from tidemill import wire

EVERY_CHANGE = {"sim-kraken"}
"""Venues that print each change of their best levels."""
AHEAD_NS = 1_000_000
"""A sweep gives each of its trades a time of its own, so that what a subscription shows first may be so much
newer than the clock that it prints."""
QUOTES = 2
"""The channel."""


class Quote(NamedTuple):
    """Price and size of the best level of each side, in units of 1e-18; None is an empty side."""

    bid: tuple[int, int] | None
    ask: tuple[int, int] | None


def judge_quotes(lines: Iterable[dict[str, Any]], journal: Journal) -> list[str]:
    """What is wrong with a journal's quotes. Empty when all is well."""
    wrong: list[str] = []
    kept: dict[str, dict[int, Quote]] = defaultdict(dict)
    newest: dict[str, tuple[int, int]] = {}
    is_quote = journal.records["kind"] == wire.KIND_QUOTE
    for pair in _pairs(rows_of(journal.records[is_quote], journal.sequences[is_quote])):
        bid, ask = pair[0], pair[-1]
        name = journal.names[bid.instrument]
        place = f"{name} at {bid.sequence}"
        if not _is_whole(pair):
            wrong.append(f"{place}: not a bid and an ask")
            continue
        quote = Quote(_level(bid), _level(ask))
        if quote.bid and quote.ask and quote.bid >= quote.ask:
            wrong.append(f"{place}: the bid is not below the ask")
        if (bid.id, bid.ts_event) < newest.get(name, (0, 0)):
            wrong.append(f"{place}: older than the one before")
        if journal.venue in EVERY_CHANGE and bid.ts_event in kept[name]:
            wrong.append(f"{place}: kept twice")
        newest[name] = bid.id, bid.ts_event
        kept[name][bid.ts_event] = quote
    if journal.venue in EVERY_CHANGE:
        wrong += _against_truth(changes(lines, journal.venue), kept, journal)
    return wrong


def _pairs(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows up to one that ends its message, those of one quote."""
    pair: list[Row] = []
    for row in rows:
        pair.append(row)
        if row.flags & wire.FLAG_LAST:
            yield pair
            pair = []
    if pair:
        yield pair


def _is_whole(pair: list[Row]) -> bool:
    bid, ask = pair[0], pair[-1]
    return (
        [row.flags & wire.FLAG_SIDE for row in pair] == [BID, ASK]
        and ask.sequence == bid.sequence + 1
        and (bid.instrument, bid.ts_event, bid.id) == (ask.instrument, ask.ts_event, ask.id)
    )


def _level(row: Row) -> tuple[int, int] | None:
    return (row.price, row.size) if row.size else None


def changes(lines: Iterable[dict[str, Any]], venue: str) -> dict[str, dict[int, Quote]]:
    """By instrument, the best levels at each time when they changed."""
    ladders: dict[str, Ladder] = defaultdict(Ladder)
    found: dict[str, dict[int, Quote]] = defaultdict(dict)
    now: dict[str, Quote] = {}
    for _, name, (_, ts), levels, is_reset in truth_messages(lines, [venue]):
        ladder = ladders[name]
        if is_reset:
            ladder.clear()
        for level in levels:
            ladder.set(*level)
        sides = (next(iter(ladder.best(side, 1).items()), None) for side in (BID, ASK))
        quote = Quote(*sides)
        if quote != now.get(name):
            now[name] = found[name][ts] = quote
    return found


def _against_truth(
    truth: dict[str, dict[int, Quote]], kept: dict[str, dict[int, Quote]], journal: Journal
) -> Iterator[str]:
    _, upto = journal.span()
    for name in journal.names.values():
        true, mine, holes = truth[name], kept[name], _holes(journal, name)
        times = list(true)
        covered = set(mine)
        for ts, quote in mine.items():
            # At a subscription the venue shows what it has, at the time of then.
            at, ahead = bisect.bisect_right(times, ts), bisect.bisect_right(times, ts + AHEAD_NS)
            had = [time for time in times[max(at - 1, 0) : ahead] if true[time] == quote]
            if not had:
                yield f"{name} at {ts}: {quote} is not what the venue had"
            covered.update(had)
        first, last = (min(mine), max(*mine, upto)) if mine else (0, upto)
        for ts in times:
            if first <= ts <= last and ts not in covered and not any(hole.covers(ts) for hole in holes):
                yield f"{name} at {ts}: {true[ts]} is lost"


def _holes(journal: Journal, name: str) -> list[Hole]:
    """Times between which a gap record says that quotes are missing."""
    number = next(number for number, called in journal.names.items() if called == name)
    is_gap = (journal.records["kind"] == wire.KIND_GAP) & (journal.records["instrument"] == number)
    is_gap &= np.isin(journal.records["price_scale"], (0, QUOTES)) & journal.is_before_the_end()
    opened: int | None = None
    holes = []
    for gap in journal.records[is_gap]:
        if int(gap["flags"]) & wire.FLAG_SIDE == BID:
            opened = int(gap["ts_event"])
        elif opened is not None:
            holes.append(Hole(opened, int(gap["ts_event"])))
            opened = None
    return holes if opened is None else [*holes, Hole(opened, None)]
