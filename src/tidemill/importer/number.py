"""Exact decimals from columns: text becomes mantissa and scale, digit for digit, never by way of a float.

A binary float of a Parquet or Arrow file has no digits of its own: it is taken as the shortest text that
reads back as the same float.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill import wire

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FINE, MISSING, NO_NUMBER, NOT_FINITE, OVERFLOW = range(5)
WHY: Final = ("", "missing", "no number", "not finite", "more than 18 digits")
"""Why a cell is no decimal, by its code."""

_PLAIN = r"^[+-]?[0-9]+(?:\.[0-9]*)?$"
_NONE = frozenset(("", "-", "null", "none", "n/a", "na", "nil"))
_ENDLESS = frozenset(("nan", "inf", "infinity"))
_MANTISSA_MAX = (1 << 63) - 1
_POWERS = 10 ** np.arange(19, dtype=np.int64)


@dataclass(frozen=True)
class Decimals:
    """A column of decimals, shape (n,) each."""

    mantissa: Ints
    scale: npt.NDArray[np.int8]
    """Decimal places, 0 to 18."""
    why: npt.NDArray[np.uint8]
    """`FINE`, or why there is no number."""

    def __len__(self) -> int:
        return len(self.mantissa)

    def take(self, at: Any) -> Decimals:
        """These rows: indices, a mask or a slice."""
        return Decimals(self.mantissa[at], self.scale[at], self.why[at])


def of(column: pa.Array, *, point: str = ".", places: int | None = None) -> Decimals:
    """The column as decimals. `point` is how its text writes the decimal point; with `places` every number is
    rounded half to even to so many decimals, for files whose numbers are the noise of floats."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        found = of(column.dictionary, point=point, places=places)
        missing = ~np.asarray(column.is_valid())
        index = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        if not len(found):
            return _none(len(column))
        taken = found.take(index)
        taken.why[missing] = MISSING
        return taken
    if pa.types.is_floating(kind):
        if pa.types.is_float16(kind):
            column = column.cast(pa.float32())
        return _of_text(column.cast(pa.string()), ".", places)
    if pa.types.is_integer(kind):
        return _rounded(_of_integers(column), places)
    if pa.types.is_decimal(kind):
        return _of_text(column.cast(pa.string()), ".", places)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_text(column.cast(pa.string()), point, places)
    empty = _none(len(column))
    empty.why[np.asarray(column.is_valid())] = NO_NUMBER
    return empty


def constant(rows: int, mantissa: int = 0) -> Decimals:
    """The same number in each row."""
    return Decimals(np.full(rows, mantissa, np.int64), np.zeros(rows, np.int8), np.zeros(rows, np.uint8))


def times_power(numbers: Decimals, power: int) -> Decimals:
    """Each × 10^power, exactly: files that count in hundredths of a cent have −4."""
    if not power:
        return numbers
    mantissa, scale, why = numbers.mantissa.copy(), numbers.scale.astype(np.int64) - power, numbers.why.copy()
    # Zeros behind the point can be spared where there would be too many places.
    for _ in range(18):
        spare = (scale > wire.SCALE_MAX) & (mantissa % 10 == 0)
        if not spare.any():
            break
        mantissa[spare], scale[spare] = mantissa[spare] // 10, scale[spare] - 1
    why[(scale > wire.SCALE_MAX) & (why == FINE)] = OVERFLOW
    up = np.clip(-scale, 0, 18)
    over = (np.abs(mantissa) > _MANTISSA_MAX // _POWERS[up]) & (scale < 0)
    why[over & (why == FINE)] = OVERFLOW
    mantissa = np.where(over, 0, mantissa * np.where(over, 1, _POWERS[up]))
    return Decimals(mantissa, np.clip(scale, 0, wire.SCALE_MAX).astype(np.int8), why)


def aligned(*columns: Decimals) -> tuple[list[Ints], npt.NDArray[np.int8], Mask]:
    """Mantissas of several columns at one scale per row, that scale, and where they do not fit together."""
    scale = np.max([column.scale for column in columns], axis=0).astype(np.int8)
    misfit = np.zeros(len(scale), bool)
    mantissas = []
    for column in columns:
        up = _POWERS[scale - column.scale]
        over = np.abs(column.mantissa) > _MANTISSA_MAX // up
        misfit |= over
        mantissas.append(np.where(over, 0, column.mantissa * np.where(over, 1, up)))
    return mantissas, scale, misfit


def common(numbers: Decimals) -> tuple[Ints, int] | None:
    """Mantissas at one scale for all rows: that of the longest number. None where they do not fit it."""
    places = int(numbers.scale.max(initial=0))
    up = _POWERS[places - numbers.scale]
    if (np.abs(numbers.mantissa) > _MANTISSA_MAX // up).any():
        return None
    return numbers.mantissa * up, places


def _none(rows: int) -> Decimals:
    return Decimals(np.zeros(rows, np.int64), np.zeros(rows, np.int8), np.full(rows, MISSING, np.uint8))


def _of_integers(column: pa.Array) -> Decimals:
    found = _none(len(column))
    valid = np.asarray(column.is_valid())
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    over = values > _MANTISSA_MAX if values.dtype.kind == "u" else values < -_MANTISSA_MAX
    found.mantissa[:] = np.where(over, 0, values).astype(np.int64)
    found.why[valid] = FINE
    found.why[valid & over] = OVERFLOW
    return found


def _of_text(column: pa.Array, point: str, places: int | None) -> Decimals:
    text = pc.utf8_trim_whitespace(column.fill_null(""))
    if point == ",":
        text = pc.replace_substring(pc.replace_substring(text, ".", ""), ",", ".")
    body = pc.utf8_ltrim(text, "+")
    dot = pc.find_substring(body, ".").to_numpy(zero_copy_only=False)
    length = pc.binary_length(body).to_numpy(zero_copy_only=False)
    scale = np.where(dot >= 0, length - dot - 1, 0)
    digits = pc.replace_substring(body, ".", "")
    plain = np.asarray(pc.match_substring_regex(text, _PLAIN)) & (length <= 19) & (scale <= wire.SCALE_MAX)
    plain &= pc.binary_length(digits).to_numpy(zero_copy_only=False) <= 18
    safe = pc.if_else(pa.array(plain), digits, "0")
    found = Decimals(
        safe.cast(pa.int64()).to_numpy(zero_copy_only=False).copy(),
        np.where(plain, scale, 0).astype(np.int8),
        np.zeros(len(text), np.uint8),
    )
    for at in np.flatnonzero(~plain):
        found.mantissa[at], found.scale[at], found.why[at] = _one(text[int(at)].as_py(), places)
    return _rounded(found, places)


def _one(text: str, places: int | None) -> tuple[int, int, int]:
    """Mantissa, scale and why not, of text that is not written plainly."""
    folded = text.strip().lower()
    if folded in _NONE:
        return 0, 0, MISSING
    if folded.lstrip("+-") in _ENDLESS:
        return 0, 0, NOT_FINITE
    sign = "-" if folded.startswith("-") else ""
    number = folded.lstrip("+-").replace(",", "") if folded[1:2] != "-" else folded
    head, e, power = number.partition("e")
    whole, dot, fraction = head.partition(".")
    if not (whole or fraction) or (dot and not fraction and not whole):
        return 0, 0, NO_NUMBER
    whole = whole.lstrip("0") or "0"
    shaped = whole + (f".{fraction}" if fraction else "") + (f"e{power}" if e else "")
    if places is not None:
        return _quantized(sign + shaped, places)
    try:
        mantissa, scale = wire.parse(shaped)
    except OverflowError:
        return 0, 0, OVERFLOW
    except ValueError:
        return 0, 0, NO_NUMBER
    return (-mantissa if sign else mantissa), scale, FINE


def _quantized(text: str, places: int) -> tuple[int, int, int]:
    try:
        exact = Decimal(text)
        if exact.adjusted() > 18:
            return 0, 0, OVERFLOW
        mantissa = int(exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN).scaleb(places))
    except (InvalidOperation, ValueError):
        return 0, 0, NO_NUMBER
    return (mantissa, places, FINE) if abs(mantissa) <= _MANTISSA_MAX else (0, 0, OVERFLOW)


def _rounded(numbers: Decimals, places: int | None) -> Decimals:
    """Half to even to `places` decimals, where there are more."""
    if places is None or not (numbers.scale > places).any():
        return numbers
    down = _POWERS[np.maximum(numbers.scale - places, 0)]
    whole, rest = np.divmod(numbers.mantissa, down)
    half = down // 2
    up = (rest > half) | ((rest == half) & (whole % 2 != 0) & (down > 1))
    return Decimals(whole + up, np.minimum(numbers.scale, places).astype(np.int8), numbers.why)
