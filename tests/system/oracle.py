"""The judge of every kill and fault test: the truth of the simulated venues against what was kept.

The truth log (docs/sim.md) says what each venue published. The kept side is any list of `Trade` and `Gap`:
from the journal, an export, a client's log. Verdict: every trade of the truth is kept exactly once, in
order and to the digit, or it lies inside a recorded gap; nothing else is kept. A gap is as wide as what is
missing: nothing that was kept lies inside, and it counts its ids.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Trade:
    """One execution; `price` and `size` compare by value, the truth's text is exact."""

    instrument: str
    id: int
    price: Decimal
    size: Decimal
    aggressor: str
    ts_event: int


@dataclass(frozen=True)
class Gap:
    """Trades between two ids, both kept or None at an open end, that the platform says it missed."""

    instrument: str
    after: int | None
    before: int | None
    missing: int
    # False at the end of a journal: what the venue sent before is kept, or was missed without a word.
    excuses: bool = True

    @property
    def room(self) -> int:
        """How many ids lie between two known ends, none when the venue repeated the last one; -1 unknown."""
        if self.after is None or self.before is None:
            return -1
        return max(0, self.before - self.after - 1)

    def covers(self, trade_id: int) -> bool:
        return (self.after is None or trade_id > self.after) and (
            self.before is None or trade_id < self.before
        )


@dataclass
class Verdict:
    """What the judge found. `clean` is the goal; each list names the first offenders."""

    trades: int = 0
    lost: list[tuple[str, int]] = field(default_factory=list)
    excused: int = 0
    doubled: list[tuple[str, int]] = field(default_factory=list)
    foreign: list[tuple[str, int]] = field(default_factory=list)
    altered: list[tuple[Trade, Trade]] = field(default_factory=list)
    disordered: list[tuple[str, int]] = field(default_factory=list)
    # Gaps that some kept trade lies in, or that count other ids than lie between their ends.
    inexact: list[Gap] = field(default_factory=list)

    FAULTS = ("lost", "doubled", "foreign", "altered", "disordered", "inexact")

    @property
    def clean(self) -> bool:
        return not any(getattr(self, name) for name in self.FAULTS)

    def __str__(self) -> str:
        parts = [f"{self.trades} trades kept, {self.excused} missing inside recorded gaps"]
        for name in self.FAULTS:
            if found := getattr(self, name):
                parts.append(f"{len(found)} {name}: {found[:3]}")
        return "; ".join(parts)


def judge(
    truth: Iterable[Trade],
    kept: Iterable[Trade],
    gaps: Iterable[Gap],
    *,
    since: dict[str, int] | None = None,
    upto: dict[str, int] | None = None,
) -> Verdict:
    """Compares kept trades with the truth, per instrument.

    `since` and `upto` bound the truth by trade id (inclusive): what was published before the first
    subscription or is still on its way is nobody's loss.
    """
    verdict = Verdict()
    expected: dict[tuple[str, int], Trade] = {}
    for trade in truth:
        low = (since or {}).get(trade.instrument)
        high = (upto or {}).get(trade.instrument)
        if (low is None or trade.id >= low) and (high is None or trade.id <= high):
            expected[trade.instrument, trade.id] = trade
    by_instrument: dict[str, list[Gap]] = defaultdict(list)
    for gap in gaps:
        by_instrument[gap.instrument].append(gap)
    seen: Counter[tuple[str, int]] = Counter()
    newest: dict[str, int] = {}
    for trade in kept:
        key = (trade.instrument, trade.id)
        seen[key] += 1
        verdict.trades += 1
        if trade.id < newest.get(trade.instrument, -1):
            verdict.disordered.append(key)
        newest[trade.instrument] = max(trade.id, newest.get(trade.instrument, -1))
        if key in expected and expected[key] != trade:
            verdict.altered.append((expected[key], trade))
        low = (since or {}).get(trade.instrument)
        high = (upto or {}).get(trade.instrument)
        inside = (low is None or trade.id >= low) and (high is None or trade.id <= high)
        if key not in expected and inside:
            verdict.foreign.append(key)
    verdict.doubled = [key for key, count in seen.items() if count > 1]
    for key in expected.keys() - seen.keys():
        if any(gap.excuses and gap.covers(key[1]) for gap in by_instrument[key[0]]):
            verdict.excused += 1
        else:
            verdict.lost.append(key)
    verdict.lost.sort()
    for instrument, group in by_instrument.items():
        ids = sorted(trade_id for name, trade_id in seen if name == instrument)
        verdict.inexact += [gap for gap in group if gap.missing != gap.room or _holds_any(gap, ids)]
    return verdict


def _holds_any(gap: Gap, ids: list[int]) -> bool:
    """Whether one of these ids, in order, lies inside the gap."""
    at = 0 if gap.after is None else bisect.bisect_right(ids, gap.after)
    return at < len(ids) and gap.covers(ids[at])


def truth_trades(lines: Iterable[dict[str, Any]], venue: str | None = None) -> Iterator[Trade]:
    """Trades of a truth log, in order."""
    for line in lines:
        if line["kind"] == "trade" and (venue is None or line["venue"] == venue):
            yield Trade(
                line["instrument"], int(line["id"]), Decimal(line["price"]), Decimal(line["size"]),
                line["aggressor"], int(line["ts"]),
            )  # fmt: skip


def truth_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a truth log; a torn last one is left out."""
    with path.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):
                yield orjson.loads(text)
