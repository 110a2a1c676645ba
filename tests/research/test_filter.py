"""Filters of runs: what people write, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.research import filter as filtering
from tidemill.research.filter import Compared, Like

NUMBERS = ("sharpe", "max_drawdown", "trades")


def test_conditions_and_words() -> None:
    text = "strategy:sma* Sharpe>=1.5 max_drawdown>-10% BTC param:fast=20 created<2026-01-02"
    assert filtering.read(text, NUMBERS) == (
        [
            Like("strategy", "sma*"), Compared("sharpe", ">=", 1.5), Compared("max_drawdown", ">", -0.1),
            Like("param", "fast=20"), Compared("created", "<", 1767312000e9),
        ],
        ["btc"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sharp>1", "did you mean sharpe"),
        ("nope:1", "not known"),
        ("sharpe>much", "no number"),
        ("sharpe>nan", "no number"),
        ("sharpe>1e999", "no number"),
        ("sharpe:1", "compares"),
        ("strategy>a", "no text"),
        ("strategy:", "no text"),
        ("created>yesterday", "no day"),
        (" ".join(["a"] * 21), "21 terms"),
    ],
)
def test_what_is_not_known_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        filtering.read(text, NUMBERS)
    assert error.value.code == "filter_invalid"
    assert said in f"{error.value.message} {error.value.hint}"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        terms, words = filtering.read(text, NUMBERS)
    except UsageError:
        return
    assert len(terms) + len(words) == len(text.split())
