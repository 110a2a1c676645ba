"""Decimals of columns: every digit as it is printed, or a reason."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill import wire
from tidemill.importer import number

MANTISSA = st.integers(-(2**63) + 1, 2**63 - 1)


@given(st.lists(st.tuples(MANTISSA, st.integers(0, 18)), min_size=1, max_size=20))
def test_every_decimal_that_can_be_stored_comes_back_digit_for_digit(pairs: list[tuple[int, int]]) -> None:
    texts = [wire.text(*pair) for pair in pairs]
    found = number.of(pa.array(texts))
    assert (found.why == number.FINE).all()
    again = wire.texts(found.mantissa, found.scale)
    assert [Decimal(text) for text in again] == [Decimal(text) for text in texts]
    # A zero has no sign, and zeros that 18 places cannot hold are none.
    assert [len(text) for text in again] == [
        len(text.lstrip("-") if Decimal(text) == 0 else text) for text in texts
    ]


@given(st.lists(st.text(max_size=12), max_size=20))
def test_any_text_is_a_number_or_has_a_reason(texts: list[str]) -> None:
    found = number.of(pa.array(texts, pa.string()))
    for text, why, mantissa, scale in zip(
        texts, found.why.tolist(), found.mantissa.tolist(), found.scale.tolist(), strict=True
    ):
        if why == number.FINE:
            assert Decimal(wire.text(mantissa, scale)) == Decimal(text.strip().replace(",", ""))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=20))
def test_a_float_is_the_shortest_text_that_reads_back(values: list[float]) -> None:
    found = number.of(pa.array(values, pa.float64()))
    for value, why, mantissa, scale in zip(
        values, found.why.tolist(), found.mantissa.tolist(), found.scale.tolist(), strict=True
    ):
        if why == number.FINE:
            assert float(wire.text(mantissa, scale)) == value
        elif value == value and abs(value) != float("inf"):
            assert why == number.OVERFLOW
        else:
            assert why == number.NOT_FINITE


@pytest.mark.parametrize(
    ("text", "mantissa", "scale", "why"),
    [
        ("0.00000001", 1, 8, number.FINE),
        ("1e-10", 1, 10, number.FINE),
        ("1000000000000", 10**12, 0, number.FINE),
        ("9223372036854775807", 2**63 - 1, 0, number.FINE),
        ("9223372036854775808", 0, 0, number.OVERFLOW),
        ("0.0000000000000000001", 0, 0, number.OVERFLOW),
        ("+1.50", 150, 2, number.FINE),
        (".5", 5, 1, number.FINE),
        ("5.", 5, 0, number.FINE),
        ("-0.0", 0, 1, number.FINE),
        ("007", 7, 0, number.FINE),
        ("1,234,567.5", 12345675, 1, number.FINE),
        (" 12 ", 12, 0, number.FINE),
        ("", 0, 0, number.MISSING),
        ("null", 0, 0, number.MISSING),
        ("NaN", 0, 0, number.NOT_FINITE),
        ("-inf", 0, 0, number.NOT_FINITE),
        ("12a", 0, 0, number.NO_NUMBER),
        ("1.2.3", 0, 0, number.NO_NUMBER),
        ("--5", 0, 0, number.NO_NUMBER),
        ("٣", 0, 0, number.NO_NUMBER),
    ],
)
def test_golden(text: str, mantissa: int, scale: int, why: int) -> None:
    found = number.of(pa.array([text]))
    assert (found.mantissa[0], found.scale[0], found.why[0]) == (mantissa, scale, why)


def test_a_decimal_comma() -> None:
    found = number.of(pa.array(["1.234,56", "7", "0,5"]), point=",")
    assert wire.texts(found.mantissa, found.scale) == ["1234.56", "7", "0.5"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["1.5", "2"]).dictionary_encode(),
        pa.array([1.5, 2.0]),
        pa.array([Decimal("1.5"), Decimal("2.0")]),
        pa.array([1.5, 2.0], pa.float32()),
    ],
)
def test_types_of_columnar_files(column: pa.Array) -> None:
    found = number.of(column)
    assert [Decimal(text) for text in wire.texts(found.mantissa, found.scale)] == [Decimal("1.5"), Decimal(2)]


def test_integers_and_missing_values() -> None:
    found = number.of(pa.array([1, None, 2**63 - 1]))
    assert found.why.tolist() == [number.FINE, number.MISSING, number.FINE]
    assert number.of(pa.array([2**64 - 1], pa.uint64())).why.tolist() == [number.OVERFLOW]
    assert number.of(pa.array([None, "3"]).dictionary_encode()).why.tolist() == [number.MISSING, number.FINE]


def test_powers_are_exact() -> None:
    found = number.times_power(number.of(pa.array(["1674100", "1674123"])), -4)
    assert wire.texts(found.mantissa, found.scale) == ["167.4100", "167.4123"]
    up = number.times_power(number.of(pa.array(["1.25", "9223372036854775807"])), 4)
    assert (int(up.mantissa[0]), int(up.scale[0]), up.why.tolist()) == (
        12500,
        0,
        [number.FINE, number.OVERFLOW],
    )


def test_rounding_where_it_is_asked_for_is_half_to_even() -> None:
    texts = ["0.00031099999999999997", "0.0000005", "0.0000015", "1.2", "-0.0000015"]
    found = number.of(pa.array(texts), places=6)
    assert wire.texts(found.mantissa, found.scale) == ["0.000311", "0.000000", "0.000002", "1.2", "-0.000002"]


def test_scales_are_brought_together_without_wrapping() -> None:
    small, large = number.of(pa.array(["0.00000001"])), number.of(pa.array(["99999999999999"]))
    _, _, misfit = number.aligned(small, large)
    assert misfit.tolist() == [True]
    mixed = number.of(pa.array(["0.00000001", "1000000000000"]))
    assert number.common(mixed) is None
    assert number.common(number.of(pa.array(["1", "1.25"]))) is not None
    assert np.array_equal(
        number.aligned(number.of(pa.array(["1"])), number.of(pa.array(["1.5"])))[0], [[10], [15]]
    )
