"""Every fault a simulated venue can have: what is recorded, what a screen is told, and that it heals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system.check import check
from tests.system.harness import Platform, journal_records, running, until
from tests.system.viewer import Viewer
from tidemill import wire

VENUES = ("sim-kraken", "sim-coinbase", "sim-binance", "sim-coinbase-advanced")
COUNTS_HITS = {
    "mute", "drop", "duplicate", "reorder", "bad_checksum", "malformed", "truncated", "rest_429", "rest_418",
}  # fmt: skip
"""Faults of which the simulator counts what they met."""


@dataclass(frozen=True)
class Case:
    """A fault at a venue and the causes, one of which must be recorded; none means nothing may be missing."""

    venue: str
    fault: str
    causes: frozenset[str] = frozenset()
    fields: dict[str, Any] = field(default_factory=dict)
    # A fault that shows only when the connection or the book is begun anew is followed by what does that.
    then: str | None = None
    # Records to come between the two.
    between: int = 0
    # Gaps of those causes that must be recorded before the fault is taken away.
    gaps: int = 1
    # None where the last test waits for it, while other venues have their faults.
    heals_s: float | None = 40.0

    def __str__(self) -> str:
        return "-".join([self.fault, self.venue, *map(str, self.fields.values())])


def causes(*names: str) -> frozenset[str]:
    return frozenset(names)


# Trades that are missing show at the next id, or sooner in the venue's own word on its last trade.
LOST = causes("hole", "stall")

CASES = [
    Case("sim-kraken", "cut", causes("disconnect")),
    Case("sim-kraken", "silent", causes("stall"), {"seconds": 20}),
    # The count is of messages to any connection; those that silence left behind take their share.
    Case("sim-kraken", "drop", LOST, {"channel": "trades", "count": 12}),
    # The checksum covers the best ten levels: so many messages that some of them concern those.
    Case("sim-kraken", "drop", causes("checksum"), {"instrument": "BTC-USD", "channel": "book", "count": 50}),
    Case("sim-kraken", "duplicate", fields={"channel": "trades", "count": 5}),
    Case("sim-kraken", "bad_checksum", causes("checksum"), {"count": 1}),
    # The wrong checksum asks for a snapshot; the old one it gets makes the second gap.
    Case("sim-kraken", "stale_snapshot", causes("checksum"), {"seconds": 60}, "bad_checksum", 200, gaps=2),
    Case("sim-kraken", "malformed", causes("malformed", "hole"), {"channel": "trades", "style": "nan"}),
    Case("sim-kraken", "truncated", causes("malformed", "hole"), {"channel": "trades", "count": 1}),
    # The next connection is made a minute later at the earliest.
    Case("sim-kraken", "oversize", causes("limit"), heals_s=None),
    Case("sim-coinbase", "cut", causes("disconnect")),
    Case("sim-coinbase", "mute", causes("stall", "hole"), {"channel": "trades", "seconds": 6}),
    Case("sim-coinbase", "half_open", causes("stall"), {"seconds": 20}),
    Case("sim-coinbase", "drop", LOST, {"channel": "trades", "count": 12}),
    Case("sim-coinbase", "duplicate", fields={"channel": "trades", "count": 5}),
    Case("sim-coinbase", "malformed", causes("malformed", "hole"), {"channel": "trades", "count": 1}),
    Case("sim-coinbase", "refuse", causes("disconnect"), {"seconds": 3}, then="cut"),
    Case("sim-coinbase", "slow_drip", fields={"seconds": 3, "bytes_per_s": 20000}),
    Case("sim-coinbase-advanced", "cut", causes("disconnect")),
    Case("sim-coinbase-advanced", "drop", causes("hole"), {"channel": "trades", "count": 2}),
    Case("sim-coinbase-advanced", "drop", causes("hole"), {"channel": "book", "count": 2}),
    Case("sim-coinbase-advanced", "reorder", causes("hole"), {"channel": "trades"}),
    Case("sim-coinbase-advanced", "truncated", causes("malformed", "hole"), {"channel": "book", "count": 1}),
    Case("sim-binance", "cut", causes("disconnect")),
    Case("sim-binance", "drop", LOST, {"channel": "trades", "count": 12}),
    Case("sim-binance", "drop", causes("hole"), {"channel": "book", "count": 1}),
    Case("sim-binance", "duplicate", fields={"channel": "trades", "count": 5}),
    Case("sim-binance", "reorder", LOST, {"instrument": "BTC-USDT.sim-binance", "channel": "trades"}),
    Case("sim-binance", "reorder", causes("hole"), {"instrument": "BTC-USDT", "channel": "book"}),
    Case("sim-binance", "duplicate", fields={"channel": "book", "count": 5}),
    Case("sim-binance", "stale_snapshot", causes("disconnect"), {"seconds": 5}, then="cut"),
    Case("sim-binance", "malformed", causes("malformed", "hole"), {"channel": "book", "style": "nesting"}),
    Case("sim-binance", "rest_429", causes("disconnect"), {"seconds": 10, "retry_after_s": 2}, then="cut"),
    Case("sim-binance", "rest_418", causes("disconnect"), {"seconds": 10, "retry_after_s": 4}, then="cut"),
    Case("sim-binance", "clock_skew", fields={"seconds": 2, "offset_ms": 250}),
    # The venue gives ten minutes. A book is whole once something changes after its snapshot, and the quietest
    # instruments here may rest for seconds.
    Case("sim-binance", "end", fields={"seconds": 10}),
]


@pytest.fixture(scope="module")
def platform(module_path: Path) -> Iterator[Platform]:
    with running(module_path / "home", "--venues", ",".join(VENUES), rate=500, history=False) as found:
        for venue in VENUES:
            found.wait_trades(venue, 200)
        yield found


@pytest.fixture(scope="module")
def viewer(platform: Platform) -> Iterator[Viewer]:
    with Viewer(platform, ["trades", "book", "status"], list(VENUES)) as found:
        yield found


@pytest.mark.timeout(200)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fault_is_recorded_shown_and_heals(platform: Platform, viewer: Viewer, case: Case) -> None:
    said = until(lambda: platform.collector(case.venue), f"the collector of {case.venue} answers")
    before = said["epoch"], said["sequence"]
    shown_before = len(viewer.gaps)
    fault = platform.fault(case.venue, case.fault, **case.fields)
    if case.then:
        platform.wait_trades(case.venue, case.between)
        platform.fault(case.venue, case.then)
    if case.fault in COUNTS_HITS:
        until(lambda: _met(platform, case, fault["id"]), f"{case} meets a message")
    if case.causes:
        recorded = until(
            lambda: case.causes & _causes_since(platform, case.venue, before, case.gaps),
            f"{case} is recorded as one of {set(case.causes)}",
        )
        until(
            lambda: (
                recorded & {gap["cause"] for gap in viewer.gaps[shown_before:] if gap["venue"] == case.venue}
            ),
            f"the screen is told of {recorded}",
        )
        until(lambda: _in_ledger(platform, case.venue, recorded, before), f"GET /gaps has {recorded}")
    else:
        until(lambda: not platform.faults(case.venue), f"{case} is over", 60)
        platform.wait_trades(case.venue, 100)
    platform.clear_faults()
    if case.heals_s:
        until(lambda: _healed(platform, case.venue), f"{case.venue} healed after {case.fault}", case.heals_s)
        platform.wait_trades(case.venue, 50)
    if not case.causes:
        assert not _causes_since(platform, case.venue, before), "something is missing"


def _met(platform: Platform, case: Case, fault: int) -> bool:
    """Whether a fault has met what it is for. One with a count ends when it has met so many."""
    found = next((one for one in platform.faults(case.venue) if one["id"] == fault), None)
    assert found or "seconds" not in case.fields, f"{case} ended without having met anything"
    return found is None or found["hits"] > 0


def _causes_since(platform: Platform, venue: str, before: tuple[int, int], times: int = 1) -> set[str]:
    """Causes of which so many gaps were opened after this position."""
    epoch, sequence = before
    records, _ = journal_records(platform.home.path, venue, (epoch, sequence + 1))
    opened = records[
        (records["kind"] == wire.KIND_GAP) & (records["flags"] & wire.FLAG_SIDE == wire.FLAG_BUY)
    ]
    causes, counts = np.unique(opened["size_scale"], return_counts=True)
    return {wire.CAUSES[int(cause)] for cause in causes[counts >= times]}


def _in_ledger(platform: Platform, venue: str, causes: frozenset[str], before: tuple[int, int]) -> bool:
    status, answer = platform.get(f"/api/v1/gaps?venue={venue}&limit=1000")
    assert status == 200, answer
    new = [gap for gap in answer["items"] if (gap["epoch"], gap["sequence"]) > before]
    return bool(causes & {gap["cause"] for gap in new})


def _healed(platform: Platform, venue: str) -> bool:
    said = platform.collector(venue)
    return said.get("state") == "live" and said.get("gaps_open") == 0


@pytest.mark.timeout(150)
def test_an_invalid_book_is_never_shown_as_valid(platform: Platform) -> None:
    venue = "sim-kraken"
    instrument = next(n for n in _instruments(platform, venue) if n.startswith("BTC-"))
    until(lambda: _healed(platform, venue), f"{venue} healed", 90)
    with Viewer(platform, ["book", "status"], [venue]) as viewer:
        until(lambda: any(m["type"] == "book" for m in viewer.messages), "a book is shown")
        platform.fault(venue, "bad_checksum", instrument=instrument, count=1)
        told = until(
            lambda: [
                m for m in viewer.messages
                if m["type"] == "status" and m["code"] == "invalid" and m["instrument"] == instrument
            ],
            "the screen is told that the book is invalid",
        )  # fmt: skip
        until(
            lambda: any(
                m["type"] == "status" and m["code"] == "valid" and m["instrument"] == instrument
                and m["sequence"] > told[0]["sequence"]
                for m in viewer.messages
            ),
            "the screen is told that it is valid again",
        )  # fmt: skip
        after = [
            m for m in viewer.messages
            if m["type"] == "book" and m["instrument"] == instrument and m["sequence"] > told[0]["sequence"]
        ]  # fmt: skip
        assert after[0]["kind"] == "snapshot", "a spoilt book went on without a whole new snapshot"


def _instruments(platform: Platform, venue: str) -> list[str]:
    status, answer = platform.get(f"/api/v1/instruments?venue={venue}")
    assert status == 200, answer
    return [item["instrument"] for item in answer["items"]]


def test_the_simulator_refuses_an_unknown_fault_and_names_what_it_has(platform: Platform) -> None:
    with pytest.raises(AssertionError, match=r"400.*earthquake.*half_open"):
        platform.fault("sim-kraken", "earthquake")
    with pytest.raises(AssertionError, match=r"404.*sim-mars.*sim-kraken"):
        platform.fault("sim-mars", "cut")
    assert platform.is_ready()


@pytest.mark.timeout(180)
def test_after_all_faults_the_record_equals_the_truth_but_for_its_gaps(
    platform: Platform, viewer: Viewer
) -> None:
    for venue in VENUES:
        until(lambda venue=venue: _healed(platform, venue), f"{venue} healed", 90)
        platform.wait_trades(venue, 200)
    viewer.catch_up()
    assert viewer.whole.keys() >= set(VENUES), "a screen that keeps up was sent no heartbeat"
    assert platform.stop() == 0
    found = check(platform.home.path, platform.truth, VENUES, viewer, proofs={"sim-kraken": 10})
    assert found["sim-kraken"].books.stale, "no old snapshot was shown as the fault asked"
