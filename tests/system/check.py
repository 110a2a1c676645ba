"""What must hold of a home whatever was done to it: asked of its journals, its lake and a screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tests.system.book import BookVerdict, judge_books
from tests.system.harness import Journal
from tests.system.oracle import Trade, Verdict, judge, truth_lines, truth_trades
from tests.system.quote import judge_quotes
from tests.system.viewer import Viewer
from tidemill import _native, wire
from tidemill.model.bar import BAR
from tidemill.model.interval import STORED
from tidemill.stores.api import Query, Store
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED, GAPS, LEVELS, QUOTES, TRADES, bars_of, records_of

CLOSES_NS = 2 * 10**9
"""A bar closes so long after its end, in time of arrival."""
BAR_FIELDS = [
    "start", "end", "open", "high", "low", "close", "price_scale", "volume_low", "volume_high", "size_scale",
    "trades",
]  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """A venue that was found clean, with its figures."""

    records: int
    trades: Verdict
    books: BookVerdict


def check(
    home: Path,
    truth: Path,
    venues: Iterable[str],
    viewer: Viewer | None = None,
    *,
    proofs: Mapping[str, int] | None = None,
) -> dict[str, Checked]:
    """Asserts that the journals are the truth but for their gaps, the lake the journals, and what the
    viewer saw the journals. `proofs` are the `proof` of `Kept`, by venue."""
    journals = {venue: Journal(home, venue) for venue in venues}
    books = judge_books(
        truth_lines(truth), [j.books((proofs or {}).get(venue)) for venue, j in journals.items()]
    )
    for venue, verdict in books.items():
        assert verdict.clean, f"{venue} books: {verdict}"
    found = {}
    for venue, journal in journals.items():
        assert (np.diff(journal.sequences) == 1).all(), f"{venue}: sequences are not dense"
        kept = journal.trades()
        trades = judge_trades(truth_lines(truth), journal, kept)
        assert trades.clean, f"{venue} journal: {trades}"
        wrong = judge_quotes(truth_lines(truth), journal)
        assert not wrong, f"{venue} quotes: {len(wrong)} wrong: {wrong[:3]}"
        lake_equals_journal(home, journal)
        if viewer:
            assert not viewer.broken_chains, viewer.broken_chains[:3]
            seen = viewer.judge(journal)
            assert seen.clean, f"{venue} as the screen saw it: {seen}"
            assert seen.trades, f"the screen saw no trade of {venue}"
            shown = viewer.judge_books(journal)
            assert not shown, f"{venue} books as the screen saw them: {len(shown)} wrong: {shown[:3]}"
        found[venue] = Checked(len(journal.records), trades, books[venue])
    return found


def judge_trades(
    lines: Iterable[dict[str, Any]], journal: Journal, kept: list[Trade] | None = None
) -> Verdict:
    """The trades of a journal against the truth, of each instrument it knows between the first and last one
    kept, or the first and last of the journal's span, whichever is more."""
    kept = journal.trades() if kept is None else kept
    called = set(journal.names.values())
    begin, end = journal.span()
    true = [t for t in truth_trades(lines, journal.venue) if t.instrument in called]
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for trade in [*kept, *(t for t in true if begin <= t.ts_event <= end)]:
        first[trade.instrument] = min(trade.id, first.get(trade.instrument, trade.id))
        last[trade.instrument] = max(trade.id, last.get(trade.instrument, trade.id))
    true = [t for t in true if t.instrument in first]
    return judge(true, kept, journal.gaps(), since=first, upto=last)


def lake_equals_journal(home: Path, journal: Journal, store: Store | None = None) -> None:
    """Every record of the journal is in exactly one row of the lake, or of another store, and says there what
    it says here; the bars are those of its trades."""
    lake = store or Lake(home / "lake")
    numbers = {name: number for number, name in journal.names.items()}
    stored: list[np.ndarray] = []
    for table in COMMITTED:
        if table is BARS:
            continue
        rows = lake.read(table, Query(venues=(journal.venue,)))
        rows = rows.sort_by("sequence")
        stored.append(rows["sequence"].to_numpy().astype(np.uint64))
        is_mine = np.isin(journal.records["kind"], table.kinds)
        if table in (TRADES, QUOTES, LEVELS):
            got, wanted = records_of(table, rows, numbers.__getitem__), journal.records[is_mine]
            assert len(got) == len(wanted), f"{table.name}: {len(got)} rows of {len(wanted)} records"
            np.testing.assert_array_equal(got, wanted, err_msg=table.name)
        elif table is GAPS:
            gaps = [_gap_row(journal, at) for at in np.flatnonzero(is_mine).tolist()]
            assert rows.select(list(gaps[0]) if gaps else []).to_pylist() == gaps
    every = np.sort(np.concatenate(stored))
    np.testing.assert_array_equal(every, journal.sequences, err_msg="rows were lost or stand twice")
    bars_equal_trades(lake, journal)


def _gap_row(journal: Journal, at: int) -> dict[str, Any]:
    """What a gap record is in the lake."""
    record, sequence = journal.records[at], int(journal.sequences[at])
    is_open = int(record["flags"]) & wire.FLAG_SIDE == wire.FLAG_BUY
    return {
        "instrument": journal.names.get(int(record["instrument"]), ""),
        "sequence": sequence,
        "ts_event": int(record["ts_event"]),
        "ts_recv": int(record["ts_recv"]),
        "channel": wire.CHANNELS[int(record["price_scale"])],
        "cause": wire.CAUSES[int(record["size_scale"])],
        "edge": "open" if is_open else "end",
        "opened": sequence if is_open else int(record["id"]),
        "venue_sequence": int(record["price"]),
        "missing": int(record["size"]),
    }


def bars_equal_trades(lake: Store, journal: Journal) -> None:
    """Of each interval the bars that have closed, in their newest revision, are those of the trades."""
    arrived = int(journal.records["ts_recv"].max())
    is_trade = journal.records["kind"] == wire.KIND_TRADE
    for number, name in journal.names.items():
        mine = is_trade & (journal.records["instrument"] == number)
        for interval in STORED:
            wanted = np.frombuffer(
                _native.bars_of_trades(journal.records[mine], journal.sequences[mine], interval), BAR
            )
            wanted = wanted[wanted["end"] + CLOSES_NS <= arrived]
            rows = lake.read(BARS, Query(instruments=(name,), interval=interval))
            # What is made up for a simulated venue's past has no epoch.
            got = bars_of(rows.filter(pc.field("epoch") > 0))
            np.testing.assert_array_equal(got[BAR_FIELDS], wanted[BAR_FIELDS], err_msg=f"{name} {interval}")
