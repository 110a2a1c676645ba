"""Which trades bars leave out, row by row of the tapes' own tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill.providers import condition


@pytest.mark.parametrize(
    ("letters", "tape", "left_out"),
    [
        ("@", "C", False), ("@F", "C", False), ("@TF", "C", False), ("Z", "C", False), ("4", "A", False),

        ("@I", "C", True), ("I", "A", True), ("W", "C", True), ("H", "C", True), ("U", "C", True),
        ("C", "C", True),
        ("N", "A", True), ("V", "A", True), ("7", "C", True),
        ("M", "C", True), ("Q", "A", True), ("9", "A", True),
        ("B", "C", False), ("B", "A", True), ("B", "B", True), ("", "C", False),
        ("?", "C", False), ("@ TI", "C", True),
    ],
)  # fmt: skip
def test_letters(letters: str, tape: str, left_out: bool) -> None:
    assert condition.irregular(tuple(letters), tape) is left_out


@pytest.mark.parametrize(
    ("numbers", "left_out"),
    [([], False), ([0], False), ([14, 41], False), ([12], False), ([37], True), ([12, 37], True), ([2], True),
     ([15], True), ([16], True), ([38], True), ([53], True), ([10], False), ([22], False), ([9_999], False)],
)  # fmt: skip
def test_numbers(numbers: list[int], left_out: bool) -> None:
    assert condition.irregular_numbers(tuple(numbers)) is left_out


def test_a_trade_that_was_undone_is_left_out() -> None:
    assert condition.irregular_numbers((0,), correction=8)
    assert not condition.irregular_numbers((0,), correction=1)


def test_the_live_streams_judge_by_the_same_rules() -> None:
    # `crates/venues/src/condition.rs` is held to the same file.
    held = json.loads((Path(__file__).parents[2] / "vectors" / "condition.json").read_text())
    for tape in "ABC":
        assert held[tape] == [chr(n) for n in range(256) if condition.irregular((chr(n),), tape)]
    assert held["polygon"] == [n for n in range(1000) if condition.irregular_numbers((n,))]


def test_every_number_has_a_rule() -> None:
    assert set(condition.POLYGON.values()) <= condition.UTP.keys() == condition.CTA.keys()
