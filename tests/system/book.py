"""The judge of level-2 books: the truth of the simulated venues against the levels of a journal or the lake.

The truth log has every message that changed a venue's book. The kept side is records (docs/wire.md) of one
venue. Both are told apart by the same key: the venue's update id where it sends one (Binance), else the time
it prints, which no two messages of an instrument share. The verdict is per message, and strict:

- a message of the truth is kept once, with the same levels, digits of time and order, or it lies inside a
  recorded gap; nothing else is kept;
- no level is written between a book's gap and its next whole snapshot;
- after every kept message, and at every snapshot, the rebuilt book is the whole book of the truth.

Kraken sends the best levels of a depth only: there the truth is seen through that depth, and the removals
that the collector adds for levels that fell out of it are applied but are no part of a message.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tidemill import wire

BID, ASK = 1, 2
DEPTHS = {"sim-kraken": 100}
"""Levels of each side that a venue is asked for, where it does not send all."""
BIDS_FIRST = {"sim-binance"}
"""Venues whose messages list the bids and then the asks, each in the order of the truth. Kraken's list either
side from its best level on; Coinbase's have the order of the truth."""
PLACES = 18

Level = tuple[int, int, int]
"""Side, price and size, both in units of 1e-18: exact, and equal whatever the digits."""


class Row(NamedTuple):
    """A record of a book, its numbers in units of 1e-18."""

    kind: int
    flags: int
    instrument: int
    price: int
    size: int
    ts_event: int
    id: int
    sequence: int

    @property
    def level(self) -> Level:
        return self.flags & wire.FLAG_SIDE, self.price, self.size

    @property
    def fell_out(self) -> bool:
        """A removal that the collector added, of a level below the depth that the venue sends."""
        return self.size == 0 and self.flags & wire.FLAG_NO_VENUE_TIME != 0


def book_records(records: np.ndarray) -> np.ndarray:
    """Positions of the records that make a book or break it."""
    kind = records["kind"]
    is_gap = (kind == wire.KIND_GAP) & np.isin(records["price_scale"], (0, 3))
    return np.flatnonzero(np.isin(kind, (wire.KIND_LEVEL, wire.KIND_CLEAR)) | is_gap)


def rows_of(records: np.ndarray, sequences: np.ndarray) -> Iterator[Row]:
    """Records as rows; the price of a gap stays what it is, the venue's id there."""
    columns = (
        records[name].tolist()
        for name in (
            "kind", "flags", "instrument", "price", "size", "ts_event", "id", "price_scale", "size_scale"
        )
    )  # fmt: skip
    power = [10 ** (PLACES - n) for n in range(PLACES + 1)]
    for *row, price_scale, size_scale, sequence in zip(*columns, sequences.tolist(), strict=True):
        kind, flags, instrument, price, size, ts_event, id_ = row
        if kind != wire.KIND_GAP:
            price, size = price * power[price_scale], size * power[size_scale]
        yield Row(kind, flags, instrument, price, size, ts_event, id_, sequence)


class Ladder:
    """The levels of one instrument, best first on demand, and a sum that tells two books apart in O(1)."""

    def __init__(self) -> None:
        self.sizes: dict[int, dict[int, int]] = {}
        self.order: dict[int, list[int]] = {}
        self.sum = 0
        self.clear()

    def clear(self) -> None:
        self.sizes = {BID: {}, ASK: {}}
        # Prices of each side, the bids' negated: the first is the best.
        self.order = {BID: [], ASK: []}
        self.sum = 0

    def set(self, side: int, price: int, size: int) -> None:
        levels, order = self.sizes[side], self.order[side]
        at = -price if side == BID else price
        old = levels.get(price)
        if old is not None:
            self.sum -= hash((side, price, old))
        if size:
            if old is None:
                bisect.insort(order, at)
            levels[price] = size
            self.sum += hash((side, price, size))
        elif old is not None:
            del levels[price]
            del order[bisect.bisect_left(order, at)]

    def apply(self, row: Row) -> None:
        if row.kind == wire.KIND_CLEAR:
            self.clear()
        else:
            self.set(*row.level)

    def best(self, side: int, depth: int | None) -> dict[int, int]:
        """Price to size of the best `depth` levels, best first."""
        levels = self.sizes[side]
        sign = -1 if side == BID else 1
        return {sign * at: levels[sign * at] for at in self.order[side][:depth]}

    def sum_of(self, depth: int | None) -> int:
        """What `sum` would be if only the best `depth` levels were there."""
        if depth is None:
            return self.sum
        return sum(
            hash((side, price, size)) for side in (BID, ASK) for price, size in self.best(side, depth).items()
        )


@dataclass(frozen=True)
class Hole:
    """Keys between which a gap record says that the book's messages are missing; None is an open end.

    The message of `through` itself is part of the snapshot that ended the gap.
    """

    after: int | None
    through: int | None

    def covers(self, key: int) -> bool:
        return (self.after is None or key > self.after) and (self.through is None or key <= self.through)


@dataclass
class Message:
    """One kept message of one instrument: a delta's levels, or a snapshot (`levels` None)."""

    key: int
    ts: int
    levels: list[Level] | None
    sum: int = 0
    proven_sum: int = 0


@dataclass
class BookVerdict:
    """What the judge found. `clean` is the goal; each list names (instrument, key) of offenders."""

    messages: int = 0
    levels: int = 0
    snapshots: int = 0
    excused: int = 0
    lost: list[tuple[str, int]] = field(default_factory=list)
    doubled: list[tuple[str, int]] = field(default_factory=list)
    foreign: list[tuple[str, int]] = field(default_factory=list)
    altered: list[tuple[str, int]] = field(default_factory=list)
    disordered: list[tuple[str, int]] = field(default_factory=list)
    blind: list[tuple[str, int]] = field(default_factory=list)
    stale: list[tuple[str, int]] = field(default_factory=list)
    torn: list[tuple[str, int]] = field(default_factory=list)
    wrong: list[tuple[str, int]] = field(default_factory=list)
    # Deeper than the venue's checksum reaches, after the simulator was told to lose messages.
    unproven: list[tuple[str, int]] = field(default_factory=list)
    # The simulator was told to lose messages of books and to show old ones.
    is_told: bool = False

    FAULTS = ("lost", "doubled", "foreign", "altered", "disordered", "blind", "stale", "torn", "wrong")

    @property
    def clean(self) -> bool:
        """An old snapshot is whole and true of its time: where the simulator was told to show one, nobody
        can know, until the next message does not fit."""
        return not any(getattr(self, name) for name in self.FAULTS if name != "stale" or not self.is_told)

    def __str__(self) -> str:
        parts = [
            f"{self.messages} messages of {self.levels} levels and {self.snapshots} snapshots kept, "
            f"{self.excused} messages missing inside recorded gaps"
        ]
        for name in (*self.FAULTS, "unproven"):
            if found := getattr(self, name):
                parts.append(f"{len(found)} {name}: {found[:3]}")
        return "; ".join(parts)


class Book:
    """What was kept of one instrument's book, replayed in its order."""

    def __init__(self, name: str, proof: int | None) -> None:
        self.name = name
        self.proof = proof
        self.kept: dict[int, list[Message]] = {}
        self.holes: list[Hole] = []
        self.first: int | None = None
        self.last = 0
        self.by_id = False
        self._ladder = Ladder()
        self._newest: int | None = None
        self._open: int | None = None
        self._is_open = False
        self._sound = False

    def take(self, rows: list[Row], is_whole: bool, verdict: BookVerdict) -> None:
        """One message: its level and clear records."""
        is_snapshot = rows[0].kind == wire.KIND_CLEAR
        sent = [r for r in rows if r.kind == wire.KIND_LEVEL and (is_snapshot or not r.fell_out)]
        keyed = sent[-1] if sent else rows[-1]
        self.by_id = self.by_id or keyed.flags & wire.FLAG_HAS_ID != 0
        key = self._key(keyed)
        place = (self.name, key)
        for row in rows:
            self._ladder.apply(row)
        message_levels = [r.level for r in sent]
        message = Message(key, keyed.ts_event, None if is_snapshot else message_levels)
        message.sum = self._ladder.sum
        if self.proof:
            message.proven_sum = self._ladder.sum_of(self.proof)
        if not is_whole or any(r.kind == wire.KIND_CLEAR for r in rows[1:]):
            verdict.torn.append(place)
            return
        # Each level of a snapshot on Binance has the time of its own last change.
        if any(self._key(r) != key or (not is_snapshot and r.ts_event != keyed.ts_event) for r in sent):
            verdict.altered.append(place)
            return
        if is_snapshot:
            verdict.snapshots += 1
            if not _best_first(message_levels):
                verdict.altered.append(place)
            if self._newest is not None and key < self._newest:
                verdict.stale.append(place)
            self._sound = True
        else:
            verdict.messages += 1
            verdict.levels += len(sent)
            if not self._sound:
                verdict.blind.append(place)
            if any(m.levels is not None for m in self.kept.get(key, ())):
                verdict.doubled.append(place)
            elif self._newest is not None and key <= self._newest:
                verdict.disordered.append(place)
        self._newest = key
        if self.first is None:
            self.first = key
        self.last = max(self.last, key)
        self.kept.setdefault(key, []).append(message)

    def _key(self, row: Row) -> int:
        return row.id if self.by_id else row.ts_event

    def gap(self, row: Row) -> None:
        """A gap record of the book: it opens after a message, or ends with one."""
        key = row.price if row.price >= 0 else None if row.flags & wire.FLAG_NO_VENUE_TIME else row.ts_event
        if row.flags & wire.FLAG_SIDE == BID:
            self._sound = False
            if not self._is_open:
                self._is_open, self._open = True, key
        elif self._is_open:
            self.holes.append(Hole(self._open, key))
            self._is_open = False

    def end(self) -> None:
        if self._is_open:
            self.holes.append(Hole(self._open, None))
            self._is_open = False

    def covers(self, key: int) -> bool:
        return any(hole.covers(key) for hole in self.holes)


def _best_first(levels: list[Level]) -> bool:
    """Whether a snapshot lists bids and then asks, each once and the best first."""
    places = [(side, -price if side == BID else price) for side, price, _size in levels]
    return all(one < other for one, other in itertools.pairwise(places))


class Kept:
    """The books of one venue, read from records in the order of their sequences."""

    def __init__(
        self,
        venue: str,
        records: np.ndarray,
        sequences: np.ndarray,
        names: dict[int, str],
        *,
        upto: int,
        proof: int | None = None,
    ) -> None:
        """`upto` is the time, ns, to which the venue's messages must be here, whatever a book's last one is.

        `proof` is the depth that the venue's checksum covers, where messages were lost on purpose: what
        is wrong deeper than that cannot be known, and is counted apart. Without it nothing is."""
        self.venue = venue
        self.upto = upto
        self.verdict = BookVerdict(is_told=proof is not None)
        self.books: dict[str, Book] = {}
        self._names = names
        self._proof = proof
        self._read(records, sequences)

    def _read(self, records: np.ndarray, sequences: np.ndarray) -> None:
        is_data = ~np.isin(records["kind"], (wire.KIND_STATUS, wire.KIND_GAP))
        is_last = is_data & (records["flags"] & wire.FLAG_LAST != 0)
        message = np.cumsum(is_last) - is_last
        ended = int(is_last.sum())
        of_books = book_records(records)
        open_rows: dict[int, list[Row]] = {}
        current = -1
        for row, group in zip(
            rows_of(records[of_books], sequences[of_books]), message[of_books].tolist(), strict=True
        ):
            if group != current:
                self._close(open_rows, current < ended)
                current = group
            if row.kind == wire.KIND_GAP:
                if row.instrument in open_rows:  # in the middle of a message: what began is torn
                    self._close({row.instrument: open_rows.pop(row.instrument)}, False)
                self._book(row.instrument).gap(row)
            else:
                open_rows.setdefault(row.instrument, []).append(row)
        self._close(open_rows, current < ended)
        for book in self.books.values():
            book.end()

    def _close(self, rows: dict[int, list[Row]], is_whole: bool) -> None:
        for number, message in rows.items():
            self._book(number).take(message, is_whole, self.verdict)
        rows.clear()

    def _book(self, number: int) -> Book:
        name = self._names[number]
        if name not in self.books:
            self.books[name] = Book(name, self._proof)
        return self.books[name]


class Truth:
    """The book of one instrument as the venue published it, seen through the depth a client has."""

    def __init__(self, venue: str) -> None:
        self.depth = DEPTHS.get(venue)
        self.bids_first = venue in BIDS_FIRST
        self.ladder = Ladder()
        self.newest: int | None = None
        self._seen = 0

    @property
    def sum(self) -> int:
        """Of the levels a client has, to compare with a kept message's."""
        return self.ladder.sum if self.depth is None else self._seen

    def apply(self, levels: list[Level]) -> list[Level]:
        """Takes one message in and returns what a client is sent of it, in the order it is sent."""
        if self.depth is None:
            for level in levels:
                self.ladder.set(*level)
            return sorted(levels, key=lambda level: level[0]) if self.bids_first else levels
        sides = sorted({level[0] for level in levels})
        before = {side: self.ladder.best(side, self.depth) for side in sides}
        for level in levels:
            self.ladder.set(*level)
        sent: list[Level] = []
        for side in sides:
            now, was = self.ladder.best(side, self.depth), before[side]
            every = self.ladder.sizes[side]
            changed = {price: size for price, size in now.items() if was.get(price) != size}
            changed |= {price: 0 for price in was if price not in every}
            sent += [(side, price, changed[price]) for price in sorted(changed, reverse=side == BID)]
            self._seen += sum(hash((side, price, now[price])) for price in changed if price in now)
            self._seen -= sum(
                hash((side, price, size)) for price, size in was.items() if now.get(price) != size
            )
        return sent

    def reset(self, levels: list[Level]) -> None:
        self.ladder.clear()
        for level in levels:
            self.ladder.set(*level)
        self._seen = self.ladder.sum_of(self.depth)


def judge_books(truth: Iterable[dict[str, Any]], kept: Iterable[Kept]) -> dict[str, BookVerdict]:
    """Verdicts by venue: the kept books against the lines of the truth log, from each book's first snapshot
    to its last kept message, or to the time that all books must reach."""
    venues = {one.venue: one for one in kept}
    truths: dict[str, Truth] = {}
    published: dict[str, str] = {}
    for venue, name, key_of, levels, is_reset in truth_messages(truth, venues.keys()):
        one = venues[venue]
        book = one.books.get(name)
        state = truths.setdefault(name, Truth(venue))
        if is_reset:
            state.reset(levels)
            sent = levels
        else:
            sent = state.apply(levels)
        if book is None or book.first is None:
            published[name] = venue
            continue
        key, ts = key_of[0] if book.by_id else key_of[1], key_of[1]
        if state.newest is not None and key <= state.newest:
            raise ValueError(f"{name}: the truth has two messages of {key}; was its clock skewed?")
        state.newest = key
        if key < book.first or (key > book.last and ts > one.upto):
            continue
        _compare(one.verdict, book, state, key, ts, [] if is_reset else sent, bool(sent))
    for one in venues.values():
        # An instrument without any book at all has lost all of it.
        one.verdict.lost += [(name, 0) for name, venue in published.items() if venue == one.venue]
        for book in one.books.values():
            one.verdict.foreign += [(book.name, key) for key in book.kept]
    return {venue: one.verdict for venue, one in venues.items()}


def _compare(
    verdict: BookVerdict, book: Book, state: Truth, key: int, ts: int, sent: list[Level], is_change: bool
) -> None:
    place = (book.name, key)
    messages = book.kept.pop(key, [])
    deltas = [m for m in messages if m.levels is not None]
    for message in deltas:
        if message.levels != sent or message.ts != ts:
            verdict.altered.append(place)
    if is_change and not deltas and key != book.first:
        if book.covers(key):
            verdict.excused += 1
        elif book.proof and _is_deep(state, sent, book.proof):
            verdict.unproven.append(place)
        else:
            verdict.lost.append(place)
    if not messages:
        return
    for message in messages:
        if message.sum == state.sum:
            continue
        if book.proof and message.proven_sum == state.ladder.sum_of(book.proof):
            verdict.unproven.append(place)
        else:
            verdict.wrong.append(place)


def _is_deep(state: Truth, sent: list[Level], proof: int) -> bool:
    """Whether a message changed only levels that the venue's checksum does not cover, as they are now."""
    for side, price, _size in sent:
        order = state.ladder.order[side]
        at = -price if side == BID else price
        if bisect.bisect_left(order, at) < proof:
            return False
    return True


def truth_messages(
    lines: Iterable[dict[str, Any]], venues: Iterable[str]
) -> Iterator[tuple[str, str, tuple[int, int], list[Level], bool]]:
    """Messages of the truth log: (venue, instrument, (update, ts), levels, whether it is a reset)."""
    wanted = set(venues)
    group: tuple[str, str, tuple[int, int]] | None = None
    levels: list[Level] = []
    for line in lines:
        kind = line["kind"]
        if kind == "trade" or line["venue"] not in wanted:
            continue
        here = (line["venue"], line["instrument"], (line["update"], line["ts"]))
        if kind == "reset" or here != group:
            if group and levels:
                yield *group, levels, False
            group, levels = here, []
        if kind == "reset":
            whole = [
                (side, units(price), units(size))
                for side, rows in ((BID, line["bids"]), (ASK, line["asks"]))
                for price, size in rows
            ]
            yield *here, whole, True
            group = None
        else:
            side = BID if line["side"] == "bid" else ASK
            levels.append((side, units(line["price"]), units(line["size"])))
    if group and levels:
        yield *group, levels, False


def units(text: str) -> int:
    """A decimal text in units of 1e-18, exact."""
    whole, _, part = text.partition(".")
    return int(whole + part) * 10 ** (PLACES - len(part))
