"""Trades of fills: from flat to flat, with mean prices, flips and fees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.research.made import MINUTE, START, track
from tidemill.model.order import Fill, Side
from tidemill.research import trade
from tidemill.research.history import Terms

# Prices rise by a tick a bar, from 10.00, two ticks up and down within each.
TRACKS = {"A": track(Terms("A", 2, 3), [(1000 + n, 1002 + n, 998 + n, 1001 + n) for n in range(20)])}


def fill(bar: int, side: Side, size: str, price: str, fee: str = "0") -> Fill:
    return Fill(START + bar * MINUTE, "A", bar, side, Decimal(price), Decimal(size), Decimal(fee), False)


def told(*fills: Fill) -> list[dict[str, Any]]:
    return trade.of(fills, TRACKS).to_pylist()


def test_one_that_is_added_to_and_taken_off_in_parts() -> None:
    (one,) = told(
        fill(1, "buy", "1", "10.00", "0.01"), fill(2, "buy", "1", "10.20", "0.01"),
        fill(5, "sell", "0.5", "10.40", "0.01"), fill(6, "sell", "1.5", "10.50", "0.03"),
    )  # fmt: skip
    assert one["side"] == "long"
    assert (one["opened"], one["closed"]) == (START + MINUTE, START + 6 * MINUTE)
    assert one["size"] == 2
    assert one["entry"] == pytest.approx(10.10)
    assert one["exit"] == pytest.approx((0.5 * 10.4 + 1.5 * 10.5) / 2)
    assert one["fees"] == pytest.approx(0.06)
    assert one["net"] == pytest.approx(0.5 * 10.4 + 1.5 * 10.5 - 20.2 - 0.06)
    assert one["return"] == pytest.approx(one["net"] / 20.2)
    assert one["bars"] == 5
    # Bars 1 to 5 lie between 9.99 and 10.07.
    assert one["worst"] == pytest.approx(9.99 / 10.1 - 1)
    assert one["best"] == 0


def test_a_fill_that_turns_a_position_around_closes_one_and_opens_the_next() -> None:
    long, short = told(
        fill(1, "buy", "1", "10.00", "0.10"), fill(3, "sell", "3", "11.00", "0.30"),
        fill(7, "buy", "2", "10.00", "0.20"),
    )  # fmt: skip
    assert (long["side"], short["side"]) == ("long", "short")
    assert long["closed"] == short["opened"] == START + 3 * MINUTE
    assert long["net"] == pytest.approx(1 - 0.1 - 0.1)
    assert short["net"] == pytest.approx(2 - 0.2 - 0.2)
    assert short["size"] == 2
    # Short at 11.00 while prices lay between 10.01 and 10.08.
    assert short["best"] == pytest.approx(1 - 10.01 / 11)
    assert short["worst"] == 0


def test_one_that_is_open_is_worth_what_the_last_close_says() -> None:
    (one,) = told(fill(1, "buy", "2", "10.00", "0.5"))
    assert one["closed"] is None
    assert one["exit"] is None
    assert one["net"] == pytest.approx(2 * (10.20 - 10.00) - 0.5)


def test_no_fill_is_no_trade() -> None:
    assert told() == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("buy", "sell")), st.integers(1, 50), st.integers(900, 1100), st.integers(-5, 20)
        ),
        max_size=19,
    )
)
def test_all_trades_together_bring_what_all_fills_do(drawn: list[tuple[Side, int, int, int]]) -> None:
    fills = [
        fill(n, side, str(Decimal(size) / 10), str(Decimal(price) / 100), str(Decimal(fee) / 100))
        for n, (side, size, price, fee) in enumerate(drawn)
    ]
    cash, held = Decimal(0), Decimal(0)
    for one in fills:
        sign = 1 if one.side == "buy" else -1
        cash -= sign * one.size * one.price + one.fee
        held += sign * one.size
    trades = told(*fills)
    assert sum(one["net"] for one in trades) == pytest.approx(float(cash + held * Decimal("10.20")), abs=1e-9)
    assert sum(one["closed"] is None for one in trades) == (held != 0)
