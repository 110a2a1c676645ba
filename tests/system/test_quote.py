"""The judge of quotes itself: it must find every planted bug, and call a clean record clean."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.system.book import ASK, BID, PLACES
from tests.system.harness import EDGE_NS
from tests.system.plant import BUGS, plant
from tests.system.quote import changes, judge_quotes
from tests.system.test_check import START, Made, record
from tests.system.test_oracle import NUMBER
from tidemill import wire

VENUE = "sim-kraken"
NAME = f"BTC-USD.{VENUE}"


def published(messages: int = 200) -> list[dict[str, Any]]:
    """The truth log of a book of which only the first levels change."""
    dice = random.Random(1)
    head = {"venue": VENUE, "instrument": NAME}
    whole = {"bids": [["10", "1"], ["9", "1"]], "asks": [["11", "1"], ["12", "1"]]}
    lines: list[dict[str, Any]] = [{"kind": "reset", **head, "update": 0, "ts": START, **whole}]
    for n in range(1, messages):
        side, price = dice.choice([("bid", "10"), ("ask", "11"), ("bid", "9"), ("ask", "12")])
        size = "0" if price in ("10", "11") and dice.random() < 0.2 else str(n)
        level = {"side": side, "price": price, "size": size}
        lines.append({"kind": "level", **head, "update": n, "ts": START + n * 10**6, **level})
    return lines


LINES = published()


def quoted(missed: range = range(0)) -> np.ndarray:
    """The quotes of a faithful collector, and a trade long after them; some are missed inside a gap."""
    rows: list[np.ndarray] = []
    for n, (ts, quote) in enumerate(changes(LINES, VENUE)[NAME].items()):
        if missed and n == missed.start:
            rows.append(gap(wire.FLAG_BUY, int(rows[-1]["ts_event"][0])))
        if missed and n == missed.stop:
            rows.append(gap(wire.FLAG_SELL, ts))
        if n not in missed:
            for side, level in ((BID, quote.bid), (ASK | wire.FLAG_LAST, quote.ask)):
                price, size = (number // 10**PLACES for number in level or (0, 0))
                rows.append(record(wire.KIND_QUOTE, side, NUMBER, ts, price, size))
    end = wire.FLAG_BUY | wire.FLAG_LAST
    return np.concatenate([*rows, record(wire.KIND_TRADE, end, NUMBER, LINES[-1]["ts"] + EDGE_NS)])


def gap(side: int, ts: int) -> np.ndarray:
    found = record(wire.KIND_GAP, side, NUMBER, ts, -1, -1)
    found["price_scale"] = 2
    return found


def judge(records: np.ndarray, sequences: np.ndarray | None = None) -> list[str]:
    return judge_quotes(LINES, Made(records, {NUMBER: NAME}, sequences))


def test_faithful_quotes_are_clean() -> None:
    records = quoted()
    assert (records["kind"] == wire.KIND_QUOTE).sum() > 100
    assert not judge(records)


def test_quotes_inside_a_recorded_gap_are_excused_and_only_there() -> None:
    records = quoted(missed=range(20, 25))
    assert not judge(records)
    silent = judge(records[records["kind"] != wire.KIND_GAP])
    assert len(silent) == 5
    assert all("is lost" in found for found in silent)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_quote_is_found(bug: str, seed: int) -> None:
    records = quoted()
    sequences = np.arange(1, len(records) + 1, dtype=np.uint64)
    assert judge(*plant(bug, records, sequences, wire.KIND_QUOTE, random.Random(seed)))


def test_a_quote_that_the_venue_never_had_is_found() -> None:
    records = quoted()
    records["size"][40] += 1
    [wrong] = judge(records)
    assert "is not what the venue had" in wrong
