"""The judges themselves: they must find every planted bug, and call a clean record clean."""

from __future__ import annotations

import dataclasses
import functools
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.system.book import ASK, BID, PLACES, BookVerdict, Kept, Ladder, Truth, judge_books
from tests.system.oracle import Gap, Trade, judge
from tests.system.plant import BUGS, plant
from tidemill import wire


def history(instrument: str, count: int) -> list[Trade]:
    dice = random.Random(instrument)
    return [
        Trade(
            instrument,
            1000 + i,
            Decimal(dice.randrange(1, 10**6)).scaleb(-2),
            Decimal(dice.randrange(1, 9)),
            dice.choice(["buy", "sell"]),
            10**18 + i,
        )
        for i in range(count)
    ]


TRUTH = [*history("BTC-USD.sim", 200), *history("ETH-USD.sim", 100)]


def test_a_faithful_record_is_clean() -> None:
    verdict = judge(TRUTH, list(TRUTH), [])
    assert verdict.clean, str(verdict)
    assert verdict.trades == 300


def test_a_dropped_record_is_lost() -> None:
    kept = [t for t in TRUTH if (t.instrument, t.id) != ("ETH-USD.sim", 1050)]
    verdict = judge(TRUTH, kept, [])
    assert verdict.lost == [("ETH-USD.sim", 1050)]


def test_a_dropped_record_inside_a_recorded_gap_is_excused_and_only_there() -> None:
    kept = [t for t in TRUTH if t.instrument != "ETH-USD.sim" or not 1049 < t.id < 1053]
    exact = Gap("ETH-USD.sim", 1049, 1053, 3)
    assert judge(TRUTH, kept, [exact]).clean
    assert judge(TRUTH, kept, [exact]).excused == 3
    assert judge(TRUTH, kept, [Gap("ETH-USD.sim", 1049, 1052, 2)]).lost == [("ETH-USD.sim", 1052)]
    assert judge(TRUTH, kept, [Gap("BTC-USD.sim", 1049, 1053, 3)]).lost


def test_a_doubled_record_is_found() -> None:
    verdict = judge(TRUTH, [*TRUTH[:50], TRUTH[49], *TRUTH[50:]], [])
    assert verdict.doubled == [("BTC-USD.sim", 1049)]


def test_two_swapped_records_are_found() -> None:
    kept = list(TRUTH)
    kept[10], kept[11] = kept[11], kept[10]
    assert judge(TRUTH, kept, []).disordered == [("BTC-USD.sim", 1010)]


@pytest.mark.parametrize(
    "change",
    [
        {"price": Decimal("0.01")},
        {"size": Decimal("99")},
        {"aggressor": "none"},
        {"ts_event": 1},
    ],
)
def test_an_altered_record_is_found(change: dict[str, object]) -> None:
    kept = list(TRUTH)
    kept[20] = dataclasses.replace(kept[20], **change)  # type: ignore[arg-type]
    assert len(judge(TRUTH, kept, []).altered) == 1


def test_an_invented_record_is_found() -> None:
    kept = [*TRUTH, dataclasses.replace(TRUTH[-1], id=5000)]
    assert judge(TRUTH, kept, []).foreign == [("ETH-USD.sim", 5000)]


@pytest.mark.parametrize(
    "gap",
    [
        pytest.param(Gap("ETH-USD.sim", 1049, 1060, 11), id="counts too many"),
        pytest.param(Gap("ETH-USD.sim", 1049, 1060, 0), id="counts too few"),
        pytest.param(Gap("ETH-USD.sim", 1049, 1060, -1), id="does not count"),
        pytest.param(Gap("ETH-USD.sim", 1000, 1060, 59), id="begins too early"),
        pytest.param(Gap("ETH-USD.sim", 1049, 1099, 49), id="ends too late"),
        pytest.param(Gap("ETH-USD.sim", None, 1060, -1), id="begins nowhere"),
        pytest.param(Gap("ETH-USD.sim", 1049, None, -1), id="ends nowhere"),
        pytest.param(Gap("ETH-USD.sim", None, None, -1), id="knows neither end"),
    ],
)
def test_a_gap_that_is_not_exactly_what_is_missing_is_found(gap: Gap) -> None:
    kept = [t for t in TRUTH if t.instrument != "ETH-USD.sim" or not 1050 <= t.id < 1060]
    assert judge(TRUTH, kept, [Gap("ETH-USD.sim", 1049, 1060, 10)]).clean
    assert judge(TRUTH, kept, [gap]).inexact == [gap]


def test_what_came_before_the_first_subscription_is_nobodys_loss() -> None:
    kept = [t for t in TRUTH if t.id >= 1020]
    bounds = {"BTC-USD.sim": 1020, "ETH-USD.sim": 1020}
    assert judge(TRUTH, kept, [], since=bounds).clean
    assert judge(TRUTH, kept[:-1], [], since=bounds, upto={"ETH-USD.sim": 1098}).clean


# ── books ─────────────────────────────────────────────────────────────────────────────────────────

NUMBER = 1 << 20 | 1
VENUES = ("sim-kraken", "sim-coinbase", "sim-binance")


class Day:
    """A venue's book over some hundred messages: its truth log, and the records of a faithful collector."""

    def __init__(self, venue: str, messages: int = 240, missed: range = range(0)) -> None:
        self.venue = venue
        self.name = f"BTC-USD.{venue}"
        self.lines: list[dict[str, Any]] = []
        self.truth = Truth(venue)
        self.kept = Ladder()
        self.by_id = venue == "sim-binance"
        self._records: list[tuple[int, ...]] = []
        self._ts = 10**18
        self._update = 1000
        dice = random.Random(venue)
        start = [(BID, 5000 - n, n + 1) for n in range(130)] + [(ASK, 5001 + n, n + 1) for n in range(130)]
        self.lines.append({"kind": "reset", **self._head(), **self._rows(start)})
        self.truth.reset([self._level(*level) for level in start])
        self._snapshot()
        for n in range(messages):
            sent = self._publish(dice)
            if n == missed.start and missed:
                self._gap(True)
            if n == missed.stop and missed:
                self._snapshot()
                self._gap(False)
            elif n not in missed:
                self._deltas(sent)
            if n == messages // 3:
                self._snapshot()  # for readers that join late
        self.records = np.array(self._records, dtype=wire.RECORD)
        self.sequences = np.arange(1, len(self.records) + 1, dtype=np.uint64)

    def judge(self, records: np.ndarray | None = None, proof: int | None = None) -> BookVerdict:
        kept = self.records if records is None else records
        sequences = np.arange(1, len(kept) + 1, dtype=np.uint64)
        one = Kept(self.venue, kept, sequences, {NUMBER: self.name}, upto=self._ts, proof=proof)
        return judge_books(self.lines, [one])[self.venue]

    def _publish(self, dice: random.Random) -> list[tuple[int, int, int]]:
        self._ts += 1_000_000
        self._update += 3
        # Prices of one message differ, as the venues' do.
        prices = dice.sample(range(100), dice.randrange(1, 5))
        levels = [
            (BID, 5000 - p, dice.randrange(4)) if dice.random() < 0.5 else (ASK, 5001 + p, dice.randrange(4))
            for p in prices
        ]
        for side, price, size in levels:
            text = {"side": "bid" if side == BID else "ask", "price": f"{price}", "size": f"{size}"}
            self.lines.append({"kind": "level", **self._head(), **text})
        return self.truth.apply([self._level(*level) for level in levels])

    def _head(self) -> dict[str, Any]:
        return {"venue": self.venue, "instrument": self.name, "update": self._update, "ts": self._ts}

    def _rows(self, levels: list[tuple[int, int, int]]) -> dict[str, Any]:
        return {
            name: [[f"{price}", f"{size}"] for of, price, size in levels if of == side]
            for side, name in ((BID, "bids"), (ASK, "asks"))
        }

    def _level(self, side: int, price: int, size: int) -> tuple[int, int, int]:
        return side, price * 10**PLACES, size * 10**PLACES

    def _add(self, kind: int, flags: int, price: int = 0, size: int = 0, ts: int | None = None) -> None:
        flags |= wire.FLAG_HAS_ID if self.by_id else 0
        id_ = self._update if self.by_id else 0
        at = self._ts if ts is None else ts
        price, size = price // 10**PLACES, size // 10**PLACES
        self._records.append((kind, flags, 0, 0, NUMBER, at, at, price, size, id_))

    def _end_message(self) -> None:
        last = self._records[-1]
        self._records[-1] = (last[0], last[1] | wire.FLAG_LAST, *last[2:])

    def _snapshot(self) -> None:
        self._add(wire.KIND_CLEAR, wire.FLAG_SNAPSHOT)
        self.kept.clear()
        for side in (BID, ASK):
            for price, size in self.truth.ladder.best(side, self.truth.depth).items():
                self._add(wire.KIND_LEVEL, side | wire.FLAG_SNAPSHOT, price, size)
                self.kept.set(side, price, size)
        self._end_message()

    def _deltas(self, sent: list[tuple[int, int, int]]) -> None:
        for side, price, size in sent:
            self._add(wire.KIND_LEVEL, side, price, size)
            self.kept.set(side, price, size)
        if self.truth.depth:
            for side in (BID, ASK):
                for price in list(self.kept.best(side, None))[self.truth.depth :]:
                    self._add(wire.KIND_LEVEL, side | wire.FLAG_NO_VENUE_TIME, price, 0, ts=self._ts + 7)
                    self.kept.set(side, price, 0)
        if sent:
            self._end_message()

    def _gap(self, is_open: bool) -> None:
        # It opens after the message before, and ends with the one that the snapshot shows.
        key, ts = self._update, self._ts
        if is_open:
            key, ts = key - 3, ts - 1_000_000
        flags = BID if is_open else ASK
        self._records.append((wire.KIND_GAP, flags, 3, 1, NUMBER, ts, ts, key if self.by_id else -1, -1, 0))


@functools.cache
def day_of(venue: str, missed: range = range(0)) -> Day:
    return Day(venue, missed=missed)


@pytest.mark.parametrize("venue", VENUES)
def test_a_faithful_book_is_clean(venue: str) -> None:
    verdict = day_of(venue).judge()
    assert verdict.clean, str(verdict)
    assert (verdict.messages > 200, verdict.snapshots, verdict.excused) == (True, 2, 0)


@pytest.mark.parametrize("venue", VENUES)
def test_messages_inside_a_recorded_gap_are_excused_and_only_there(venue: str) -> None:
    day = day_of(venue, missed=range(120, 130))
    verdict = day.judge()
    assert verdict.clean, str(verdict)
    assert verdict.excused == 11  # the snapshot holds the eleventh
    gaps = day.records["kind"] == wire.KIND_GAP
    silent = day.judge(day.records[~gaps])
    assert len(silent.lost) == 11
    # the gap is told too late: what came between is lost without a word
    late = day.records.copy()
    opening = np.flatnonzero(gaps)[0]
    late["ts_event"][opening] += 3_000_000
    late["price"][opening] += 9 if venue == "sim-binance" else 0
    assert len(day.judge(late).lost) == 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("venue", VENUES)
def test_a_planted_level_is_found(venue: str, bug: str, seed: int) -> None:
    day = day_of(venue, missed=range(30, 35))
    planted, _ = plant(bug, day.records, day.sequences, wire.KIND_LEVEL, random.Random(seed))
    verdict = day.judge(planted)
    assert not verdict.clean, str(verdict)


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("venue", VENUES)
def test_a_bug_planted_in_a_snapshot_is_found(venue: str, bug: str) -> None:
    day = day_of(venue)
    clear = np.flatnonzero(day.records["kind"] == wire.KIND_CLEAR)[1]
    inside = [clear + 20, clear + 21]
    records = day.records.copy()
    if bug == "dropped":
        records = np.delete(records, inside[0])
    elif bug == "doubled":
        records = np.insert(records, inside[0], records[inside[0]])
    elif bug == "swapped":
        records[inside] = records[inside[::-1]]
    else:
        records["size"][inside[0]] += 1
    assert not day.judge(records).clean


def test_levels_written_between_a_gap_and_its_snapshot_are_found() -> None:
    day = day_of("sim-kraken", missed=range(120, 130))
    opening = np.flatnonzero(day.records["kind"] == wire.KIND_GAP)[0]
    records = np.insert(np.delete(day.records, opening), opening - 6, day.records[opening])
    assert day.judge(records).blind


def test_an_old_snapshot_is_found() -> None:
    day = day_of("sim-coinbase")
    first, second = np.flatnonzero(day.records["kind"] == wire.KIND_CLEAR)
    size = int(np.flatnonzero(day.records["flags"][first:] & wire.FLAG_LAST)[0]) + 1
    records = np.insert(day.records, second, day.records[first : first + size])
    assert day.judge(records).stale


def test_what_kraken_cannot_prove_is_told_apart_and_what_it_can_is_not() -> None:
    day = day_of("sim-kraken")
    deep = top = None
    for at in np.flatnonzero((day.records["kind"] == wire.KIND_LEVEL) & (day.records["flags"] == BID | 128)):
        alone = day.records["flags"][at - 1] & wire.FLAG_LAST
        if alone and day.records["price"][at] < 4950:
            deep = at
        elif alone and day.records["price"][at] > 4999:
            top = at
    assert deep is not None
    assert top is not None
    assert not day.judge(np.delete(day.records, deep)).clean
    lost = day.judge(np.delete(day.records, deep), proof=10)
    assert lost.clean, str(lost)
    assert lost.unproven
    assert not day.judge(np.delete(day.records, top), proof=10).clean


def test_a_truth_that_cannot_be_told_apart_is_refused() -> None:
    day = Day("sim-kraken")
    day.lines[-1]["ts"] = day.lines[1]["ts"]
    with pytest.raises(ValueError, match="clock skewed"):
        day.judge()
