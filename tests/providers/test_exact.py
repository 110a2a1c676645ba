"""Exact decimals: golden texts, and a property against Python's own Decimal."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UpstreamError
from tidemill.providers import exact


@pytest.mark.parametrize(
    ("texts", "values", "scale"),
    [
        (["64249.40", "0.1"], [6424940, 10], 2),
        (["4.00000000"], [400000000], 8),
        (["1e-8", "1"], [1, 100000000], 8),
        (["9.5595226E7", "-0.5"], [955952260, -5], 1),
        (["157", 158, "0"], [157, 158, 0], 0),
        (["1000000000000.00000000", "1.50000000"], [10000000000000, 15], 1),
        (["9223372036854775807"], [9223372036854775807], 0),
        (["0e999999999", "-0.0"], [0, 0], 0),
        ([], [], 0),
    ],
)
def test_digits_are_those_that_were_sent(texts: list[str], values: list[int], scale: int) -> None:
    found, at = exact.mantissas(texts, "a price")
    assert (found.tolist(), at, found.dtype) == (values, scale, np.int64)


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "1e400", "1e999999999", "1e-400", "", " 1", "1_0", "0x1", "1,5",
     "١", "+",
     "None", "True", "9223372036854775808", "123456789012345678901234567890", "0.1234567890123456789"],
)  # fmt: skip
def test_what_is_no_number_or_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(UpstreamError, match="a price is"):
        exact.mantissas(["1.5", text], "a price")


def test_values_that_do_not_fit_beside_each_other_are_refused() -> None:
    with pytest.raises(UpstreamError, match="64 bits"):
        exact.mantissas(["0.30000000000000004", "12345678.5"], "a size")
    # Noise of a binary float goes where sizes are known to have it, and only there.
    values, scale = exact.mantissas(["0.30000000000000004", "12345678.5", "95595226.0"], "a size", places=9)
    assert (values.tolist(), scale) == ([3, 123456785, 955952260], 1)


@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
        min_size=1,
    ),
    st.sampled_from(["f", "E"]),
)
def test_any_decimal_is_itself(values: list[Decimal], form: str) -> None:
    texts = [format(value, "f") if form == "f" else f"{value:.18E}" for value in values]
    mantissas, scale = exact.mantissas(texts, "x")
    assert [Decimal(int(m)).scaleb(-scale) for m in mantissas] == values


@given(st.integers(0, 10**9), st.integers(0, 10**9 - 1), st.integers(1, 9))
def test_times_are_exact(seconds: int, ns: int, places: int) -> None:
    part = f"{ns:09d}"[:places]
    expected = seconds * 10**9 + int(part.ljust(9, "0"))
    assert exact.seconds([f"{seconds}.{part}"], "t").tolist() == [expected]
    date = np.datetime64(seconds, "s")
    assert exact.moments([f"{date}.{part}Z"], "t").tolist() == [expected]


@pytest.mark.parametrize(
    "text", ["2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "now", None, 5]
)
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(UpstreamError):
        exact.moments([text], "a time")


def test_json_keeps_the_digits_and_refuses_what_is_none() -> None:
    assert exact.loads(b'{"a": 0.10, "b": 1e3, "c": 7, "d": "0.20"}') == {
        "a": "0.10",
        "b": "1e3",
        "c": 7,
        "d": "0.20",
    }
    for body in (b'{"a": NaN}', b"[Infinity]", b'{"a": 1', b"", b"\xff"):
        with pytest.raises(ValueError):
            exact.loads(body)
    assert json.loads('{"a": 0.1}')["a"] != "0.1"
