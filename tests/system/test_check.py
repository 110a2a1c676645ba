"""What is asked of a journal and of a screen: a stream that stops without a word is found out."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.system.book import ASK, BID, PLACES, Ladder, rows_of
from tests.system.check import judge_trades
from tests.system.harness import Journal
from tests.system.oracle import Trade, truth_trades
from tests.system.plant import BUGS, plant
from tests.system.test_oracle import NUMBER, day_of
from tests.system.viewer import DEPTH, Viewer
from tidemill import wire

VENUE = "sim-kraken"
NAMES = {NUMBER: f"BTC-USD.{VENUE}", NUMBER + 1: f"ETH-USD.{VENUE}"}
START = 10**18
STEP_NS = 50_000_000
UNIT = 10**PLACES
DISCONNECT, STALL = 1, 2


class Made(Journal):
    """A journal that was never on a disk."""

    def __init__(
        self, records: np.ndarray, names: dict[int, str] = NAMES, sequences: np.ndarray | None = None
    ) -> None:
        self.venue = VENUE
        self.records = records
        self.sequences = np.arange(1, len(records) + 1, dtype=np.uint64) if sequences is None else sequences
        self.names = names


def record(kind: int, flags: int, number: int, ts: int, price: int = 1, size: int = 1, id_: int = 0) -> Any:
    scales = (1, DISCONNECT) if kind == wire.KIND_GAP else (0, 0)
    row = (kind, flags, *scales, number, ts, ts, price, size, id_)
    return np.array([row], dtype=wire.RECORD)


def minute() -> tuple[list[dict[str, Any]], np.ndarray]:
    """Truth log and journal of a minute of two instruments, and of the collector's clean end after it."""
    lines, rows = [], []
    for n in range(1200):
        number, ts, id_ = NUMBER + n % 2, START + n * STEP_NS, 1000 + n // 2
        side = wire.FLAG_BUY | wire.FLAG_LAST | wire.FLAG_HAS_ID
        rows.append(record(wire.KIND_TRADE, side, number, ts, 5, 7, id_))
        lines.append(
            {"kind": "trade", "venue": VENUE, "instrument": NAMES[number], "id": id_, "price": "5",
             "size": "7", "aggressor": "buy", "ts": ts}
        )  # fmt: skip
    return lines, np.concatenate([*rows, *closing(1599)])


def closing(eth: int) -> list[np.ndarray]:
    """The gaps that the end of a collector opens, the second instrument's after this trade."""
    end = START + 60 * 10**9
    ids = {NUMBER: 1599, NUMBER + 1: eth}
    return [record(wire.KIND_GAP, wire.FLAG_BUY, number, end, id_, -1) for number, id_ in ids.items()]


def until_half(records: np.ndarray) -> np.ndarray:
    """The second instrument's trades from the middle on are not there."""
    is_rest = (records["kind"] == wire.KIND_TRADE) & (records["id"] >= 1300)
    return records[~(is_rest & (records["instrument"] == NUMBER + 1))]


def test_a_faithful_journal_is_clean() -> None:
    lines, records = minute()
    verdict = judge_trades(lines, Made(records))
    assert verdict.clean, str(verdict)
    assert (verdict.trades, verdict.excused) == (1200, 0)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_trade_is_found(bug: str) -> None:
    lines, records = minute()
    sequences = np.arange(1, len(records) + 1, dtype=np.uint64)
    planted = plant(bug, records, sequences, wire.KIND_TRADE, random.Random(bug))
    assert not judge_trades(lines, Made(planted[0], NAMES, planted[1])).clean


def test_a_stream_that_stops_is_lost_though_the_collectors_end_opens_a_gap_behind_it() -> None:
    lines, records = minute()
    half = until_half(records[:-2])
    for dead in (half, np.concatenate([half, *closing(1299)])):
        verdict = judge_trades(lines, Made(dead))
        # The last two seconds may have been on their way.
        assert verdict.lost[0] == (NAMES[NUMBER + 1], 1300)
        assert 275 < len(verdict.lost) < 300


def test_a_stream_that_was_told_to_have_stopped_while_others_went_on_is_excused() -> None:
    lines, records = minute()
    half = until_half(records[:-2])
    told = record(wire.KIND_GAP, wire.FLAG_BUY, NUMBER + 1, START + 40 * 10**9, 1299, -1)
    told["size_scale"] = STALL
    verdict = judge_trades(lines, Made(np.concatenate([half[:-100], told, half[-100:]])))
    assert verdict.clean, str(verdict)
    assert verdict.excused > 275


def test_a_stream_that_never_began_is_lost() -> None:
    lines, records = minute()
    verdict = judge_trades(lines, Made(records[records["instrument"] == NUMBER]))
    assert {name for name, _ in verdict.lost} == {NAMES[NUMBER + 1]}
    # The first five seconds are given to the subscriptions.
    assert 500 < len(verdict.lost) < 550


# ── screens ───────────────────────────────────────────────────────────────────────────────────────


class Screen(Viewer):
    """A viewer that saw what a test says."""

    def __init__(self, trades: list[Trade], messages: list[dict[str, Any]], ended: int) -> None:
        self.trades, self.messages = trades, messages
        self.began, self.positions = {VENUE: (1, 0)}, {VENUE: (1, ended)}
        self.whole, self._whole_messages = self.positions, len(messages)


def test_a_screen_that_saw_all_is_clean_and_one_that_missed_trades_is_not() -> None:
    lines, records = minute()
    journal = Made(records)
    every = list(truth_trades(lines))
    assert Screen(every, [], len(records)).judge(journal).clean
    assert Screen(every[:600], [], 600).judge(journal).clean
    for seen in ([], every[:600], every[600:], [t for t in every if t.instrument == NAMES[NUMBER]]):
        assert Screen(seen, [], len(records)).judge(journal).lost


def shown(records: np.ndarray) -> list[dict[str, Any]]:
    """What a screen is sent of a book, whole after each message of the venue."""
    messages, ladder = [], Ladder()
    sequences = np.arange(1, len(records) + 1, dtype=np.uint64)
    for row, is_last in zip(
        rows_of(records, sequences), (records["flags"] & wire.FLAG_LAST != 0).tolist(), strict=True
    ):
        ladder.apply(row)
        if is_last:
            sides = {
                name: [[f"{p // UNIT}", f"{s // UNIT}"] for p, s in ladder.best(side, DEPTH).items()]
                for side, name in ((BID, "bids"), (ASK, "asks"))
            }
            head = {"type": "book", "venue": VENUE, "instrument": NAMES[NUMBER], "sequence": row.sequence}
            messages.append({**head, "kind": "snapshot", "valid": True, **sides})
    return messages


def test_a_book_that_stops_on_the_screen_is_found() -> None:
    day = day_of(VENUE)
    journal = Made(day.records, {NUMBER: NAMES[NUMBER]})
    messages = shown(day.records)
    end = len(day.records)
    assert not Screen([], messages, end).judge_books(journal)
    for seen in (messages[: len(messages) // 2], []):
        [wrong] = Screen([], seen, end).judge_books(journal)
        assert "at the end" in wrong
    # What comes after the last heartbeat may be cut anywhere: the book is judged as of the heartbeat.
    cut = Screen([], messages[:-1], end)
    cut.whole, cut._whole_messages = {VENUE: (1, messages[-3]["sequence"])}, len(messages) - 2
    assert not cut.judge_books(journal)
    cut._whole_messages = len(messages) // 2
    assert "at the end" in cut.judge_books(journal)[0]
