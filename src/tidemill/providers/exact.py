"""Exact decimals out of JSON: the digits that were sent, as mantissas at one scale for a whole chunk.

Binary floats never come into it: `loads` keeps numbers as text, `mantissas` reads text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import numpy as np

from tidemill.errors import UpstreamError
from tidemill.providers.api import Ints

SCALE_MAX = 18
"""More decimal places than this do not fit an int64 beside a 1."""
_INT64_MAX = (1 << 63) - 1
_PLAIN = r"^-?[0-9]{1,19}(\.[0-9]{1,18})?$"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_TEN = [10**n for n in range(SCALE_MAX + 1)]


def loads(body: bytes) -> Any:
    """JSON whose numbers with a point or an exponent stay text; whole ones are int.

    Raises `ValueError` for what is no JSON, and for NaN and Infinity, which JSON does not have.
    """
    return json.loads(body, parse_float=str, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def mantissas(values: Sequence[Any], what: str, places: int | None = None) -> tuple[Ints, int]:
    """Numbers, as text or int, at the fewest decimal places that hold them all: shape (n,), and the scale.

    `places` rounds, half to even, what has more, and leaves out zeros that all end in: for sizes that their
    provider keeps as binary floats, whose last digits are noise. Prices never take it. Raises `UpstreamError`
    naming the first that is no number, or does not fit an int64 beside the others.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(values):
        return np.empty(0, np.int64), 0
    texts = [value if type(value) is str else str(value) for value in values]
    array = pa.array(texts, pa.string())
    if not pc.all(pc.match_substring_regex(array, _PLAIN)).as_py():
        array = pa.array([_plain(text, what) for text in texts], pa.string())
    point = pc.find_substring(array, ".")
    tail = pc.subtract(pc.subtract(pc.binary_length(array), point), 1)
    scale = int(pc.max(pc.if_else(pc.less(point, 0), 0, tail)).as_py())
    if places is not None and scale > places:
        step = Decimal(1).scaleb(-places)
        rounded = [format(Decimal(t).quantize(step, ROUND_HALF_EVEN), "f") for t in array.to_pylist()]
        array, scale = pa.array(rounded, pa.string()), places
    words = np.frombuffer(array.cast(pa.decimal128(38, scale)).buffers()[1], np.int64).reshape(-1, 2)
    low, high = words[:, 0], words[:, 1]
    if np.array_equal(high, low >> 63):
        low = low.copy()
        while places is not None and scale and not (low % 10).any():
            low, scale = low // 10, scale - 1
        return low, scale
    return _shorter(array.to_pylist(), scale, what)


def _plain(text: str, what: str) -> str:
    """A number written any way that JSON allows, without exponent."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not text.isascii() or "_" in text or text != text.strip():
        raise UpstreamError(
            "provider_number", f"{what} is {text[:40]!r}, which is no number", retryable=False
        )
    # Looked at before it is written out: 1e400 has 400 digits, and 1e999999999 no end.
    if not value:
        return "0"
    if value.adjusted() > SCALE_MAX or value.adjusted() < -SCALE_MAX:
        raise _unfit(text, what)
    plain = format(value, "f")
    whole, _, tail = plain.partition(".")
    tail = tail if len(tail) <= SCALE_MAX else tail.rstrip("0")
    if len(tail) > SCALE_MAX:
        raise _unfit(text, what)
    return f"{whole}.{tail}" if tail else whole


def _shorter(texts: list[str], scale: int, what: str) -> tuple[Ints, int]:
    """Again without the zeros that all of them end in: `1000000000000.00000000` fits only so."""
    numbers = [int(Decimal(text).scaleb(scale)) for text in texts]
    while scale and all(number % 10 == 0 for number in numbers):
        numbers, scale = [number // 10 for number in numbers], scale - 1
    for text, number in zip(texts, numbers, strict=True):
        if abs(number) > _INT64_MAX:
            raise _unfit(text, what)
    return np.array(numbers, np.int64), scale


def _unfit(text: str, what: str) -> UpstreamError:
    return UpstreamError(
        "provider_number",
        f"{what} is {text[:40]!r}, which does not fit 64 bits beside the other values of its chunk",
        hint="ask for a shorter span, or report it to the provider where the number is plainly wrong",
        retryable=False,
    )


def together(
    columns: Sequence[Sequence[Any]], what: str, places: int | None = None
) -> tuple[list[Ints], int]:
    """Several columns at one common scale: open, high, low and close."""
    whole, scale = mantissas([value for column in columns for value in column], what, places)
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return [part.copy() for part in np.split(whole, ends)], scale


def rescaled(values: Ints, scale: int, to: int, what: str) -> Ints:
    """Mantissas at a larger scale, exactly. Raises `UpstreamError` where they do not fit."""
    factor = _TEN[to - scale]
    if len(values) and int(np.abs(values).max()) > _INT64_MAX // factor:
        raise _unfit(f"{int(np.abs(values).max())}e-{scale}", what)
    scaled: Ints = np.multiply(values, factor)
    return scaled


def counts(values: Iterable[Any], what: str) -> Ints:
    """Whole numbers, as int or as text of one. Raises `UpstreamError` for anything else."""
    numbers, scale = mantissas(list(values), what)
    if scale and (numbers % _TEN[scale]).any():
        raise UpstreamError("provider_number", f"{what} holds a number that is not whole", retryable=False)
    whole: Ints = np.floor_divide(numbers, _TEN[scale])
    return whole


def seconds(values: Iterable[Any], what: str) -> Ints:
    """Unix seconds with a fraction, as ns UTC; what is finer than a nanosecond is cut off."""
    numbers, scale = mantissas(list(values), what)
    if scale <= 9:
        return rescaled(numbers, scale, 9, what)
    cut: Ints = np.floor_divide(numbers, _TEN[scale - 9])
    return cut


def moments(texts: Sequence[Any], what: str) -> Ints:
    """RFC 3339 in UTC, `2021-02-22T15:51:44.335689322Z`, as ns UTC."""
    for text in texts:
        if not isinstance(text, str) or not _MOMENT.fullmatch(text):
            raise UpstreamError(
                "provider_time", f"{what} is {str(text)[:40]!r}, which is no time", retryable=False
            )
    try:
        return np.array([text[:-1] for text in texts], "datetime64[ns]").astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise UpstreamError("provider_time", f"{what} cannot be read: {error}", retryable=False) from error
