"""The judge itself: it must find every planted bug, and call a clean record clean."""

from __future__ import annotations

import dataclasses
import random
from decimal import Decimal

import pytest

from tests.system.oracle import Gap, Trade, judge


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


def test_a_gap_that_claims_more_than_fits_is_found() -> None:
    kept = [t for t in TRUTH if t.id != 1050 or t.instrument != "ETH-USD.sim"]
    assert judge(TRUTH, kept, [Gap("ETH-USD.sim", 1049, 1051, 5)]).overclaimed


def test_what_came_before_the_first_subscription_is_nobodys_loss() -> None:
    kept = [t for t in TRUTH if t.id >= 1020]
    bounds = {"BTC-USD.sim": 1020, "ETH-USD.sim": 1020}
    assert judge(TRUTH, kept, [], since=bounds).clean
    assert judge(TRUTH, kept[:-1], [], since=bounds, upto={"ETH-USD.sim": 1098}).clean
