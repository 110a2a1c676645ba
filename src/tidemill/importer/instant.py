"""Times of files as ns UTC: epochs, written dates and times of any zone, milliseconds of a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import UsageError
from tidemill.importer import number
from tidemill.importer.number import Ints, Mask
from tidemill.model.interval import DAY, SECOND

EPOCHS: Final = {"epoch_s": SECOND, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
OF_DAY: Final = {"s_of_day": SECOND, "ms_of_day": 10**6, "us_of_day": 10**3, "ns_of_day": 1}
_Y4, _M, _D = r"(?P<y>\d{4})", r"(?P<mo>\d{1,2})", r"(?P<d>\d{1,2})"
DATES: Final = {
    "YYYY-MM-DD": rf"{_Y4}-{_M}-{_D}",
    "YYYYMMDD": r"(?P<y>\d{4})(?P<mo>\d\d)(?P<d>\d\d)",
    "YYYY.MM.DD": rf"{_Y4}\.{_M}\.{_D}",
    "YYYY/MM/DD": rf"{_Y4}/{_M}/{_D}",
    "DD.MM.YYYY": rf"{_D}\.{_M}\.{_Y4}",
    "DD/MM/YYYY": rf"{_D}/{_M}/{_Y4}",
    "MM/DD/YYYY": rf"{_M}/{_D}/{_Y4}",
    "DD-MM-YYYY": rf"{_D}-{_M}-{_Y4}",
}
"""How a date is written; a time of day may follow, and an offset from UTC."""
FORMATS: Final = (*EPOCHS, *OF_DAY, *DATES)
_CLOCK = r"(?:[T ,;]+(?P<h>\d{1,2}):?(?P<mi>\d{2})(?::?(?P<s>\d{2})(?:[.,](?P<f>\d{1,9})\d*)?)?)?"
_OFFSET = r"\s*(?P<z>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
_BLOCK = 15 * 60 * SECOND
# As far as model.time reaches: a little less than int64 nanoseconds.
LOW, HIGH = -(2**63) + 10**18, 2**63 - 10**18


def pattern(date: str) -> str:
    """The regular expression of a written time whose date is written so."""
    return f"^{DATES[date]}{_CLOCK}{_OFFSET}$"


def zone(name: str) -> ZoneInfo:
    """Raises `UsageError` for a name that is no IANA zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            "zone_unknown",
            f"{name[:60]!r} is no time zone",
            hint="write an IANA name, such as America/New_York",
        ) from None


def read(columns: list[pa.Array], form: str, zone_name: str, day: int | None) -> tuple[Ints, Mask]:
    """ns UTC of each row, shape (n,), and where there is none. Two columns are a date and a time of day.

    Of a local time that comes twice, when clocks are put back, the first is meant. `day` is the midnight, ns
    as if UTC, that times of day count from.
    """
    first = columns[0]
    if pa.types.is_dictionary(first.type):
        columns = [column.cast(column.type.value_type) for column in columns]
        first = columns[0]
    if pa.types.is_timestamp(first.type):
        return _stamps(first, zone_name)
    if pa.types.is_date(first.type):
        days = first.cast(pa.date32()).cast(pa.int32())
        bad = ~np.asarray(days.is_valid())
        return localised(
            days.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) * DAY, bad, zone_name
        )
    if form in EPOCHS:
        return _scaled(number.of(first), EPOCHS[form])
    if form in OF_DAY:
        if day is None:
            raise UsageError(
                "recipe_invalid", "times of day count from a date that neither recipe nor file name gives",
                hint='set "date" of "time" in the recipe, or --date YYYY-MM-DD',
            )  # fmt: skip
        found, bad = _scaled(number.of(first), OF_DAY[form])
        bad |= (found < 0) | (found > 2 * DAY)
        return localised(found + day, bad, zone_name)
    text = pc.utf8_trim_whitespace(first.cast(pa.string()).fill_null(""))
    if len(columns) > 1:
        clock = pc.utf8_trim_whitespace(columns[1].cast(pa.string()).fill_null(""))
        text = pc.binary_join_element_wise(text, clock, " ")
    return _written(text, form, zone_name)


def _scaled(numbers: number.Decimals, unit: int) -> tuple[Ints, Mask]:
    """Mantissa × unit / 10^scale, whole ns; digits below one ns are cut."""
    bad = numbers.why != number.FINE
    limit = np.int64(HIGH // unit)
    whole, rest = np.divmod(numbers.mantissa, 10 ** numbers.scale.astype(np.int64))
    bad = bad | (np.abs(whole) > limit)
    # The rest is below 10^scale: brought to nine places first, so that it fits.
    nine = np.where(
        numbers.scale > 9,
        rest // 10 ** np.maximum(numbers.scale.astype(np.int64) - 9, 0),
        rest * 10 ** np.maximum(9 - numbers.scale.astype(np.int64), 0),
    )
    parts = nine * (unit // 1000) // 10**6 if unit >= 1000 else nine * unit // 10**9
    found = np.where(bad, 0, whole) * unit + parts
    return found, bad | (found < LOW) | (found > HIGH)


def _stamps(column: pa.Array, zone_name: str) -> tuple[Ints, Mask]:
    unit = {"s": SECOND, "ms": 10**6, "us": 10**3, "ns": 1}[column.type.unit]
    bad = ~np.asarray(column.is_valid())
    values = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    bad |= np.abs(values) > HIGH // unit
    found = np.where(bad, 0, values) * unit
    return (found, bad) if column.type.tz is not None else localised(found, bad, zone_name)


def _written(text: pa.Array, form: str, zone_name: str) -> tuple[Ints, Mask]:
    parts = pc.extract_regex(text, pattern(form))
    bad = ~np.asarray(parts.is_valid())

    def whole(name: str) -> Ints:
        found = pc.struct_field(parts, name)
        found = pc.if_else(pc.equal(found.fill_null(""), ""), "0", found)
        numbers: Ints = found.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return numbers

    year, month, day = whole("y"), whole("mo"), whole("d")
    hour, minute, second = whole("h"), whole("mi"), whole("s")
    bad = bad | (year < 1710) | (year > 2230) | (month < 1) | (month > 12) | (day < 1)
    bad |= (hour > 24) | (minute > 59) | (second > 60)
    at = np.where(bad, 0, (year - 1970) * 12 + month - 1).astype("M8[M]")
    dates = at.astype("M8[D]") + (np.where(bad, 1, day) - 1).astype("m8[D]")
    bad |= dates.astype("M8[M]") != at  # 30 February
    days = dates.astype(np.int64)
    fraction = pc.utf8_rpad(pc.struct_field(parts, "f").fill_null(""), 9, "0").cast(pa.int64())
    nanos = fraction.to_numpy(zero_copy_only=False)
    local = days * DAY + ((hour * 60 + minute) * 60 + second) * SECOND + nanos
    offsets = pc.struct_field(parts, "z").fill_null("").dictionary_encode()
    names = offsets.dictionary.to_pylist()
    code = offsets.indices.to_numpy(zero_copy_only=False)
    told = np.array([bool(name) for name in names] or [False])[code]
    shift = np.array([_offset(name) for name in names] or [0], np.int64)[code]
    found, bad = localised(np.where(bad, 0, local), bad, zone_name)
    return np.where(told, local - shift, found), bad


def _offset(text: str) -> int:
    if not text or text[0] not in "+-":
        return 0
    return (1 if text[0] == "+" else -1) * (int(text[1:3]) * 60 + int(text[-2:])) * 60 * SECOND


def localised(local: Ints, bad: Mask, zone_name: str) -> tuple[Ints, Mask]:
    """Wall clock times of a zone, ns as if UTC, as ns UTC."""
    bad = bad | (local < LOW) | (local > HIGH)
    if zone_name == "UTC" or not len(local):
        return local, bad
    info = zone(zone_name)
    blocks, inverse = np.unique(np.where(bad, 0, local) // _BLOCK, return_inverse=True)
    offsets = np.array([_utc_offset(info, int(block) * _BLOCK) for block in blocks], np.int64)
    return local - offsets[inverse], bad


def _utc_offset(info: ZoneInfo, local: int) -> int:
    wall = datetime(1970, 1, 1) + timedelta(seconds=local // SECOND)
    offset = wall.replace(tzinfo=info).utcoffset()
    return int((offset or timedelta()).total_seconds()) * SECOND


def local_days(instants: Ints, zone_name: str) -> Ints:
    """The calendar day of each instant in a zone, as its midnight UTC: what a day's bar begins at."""
    if zone_name == "UTC":
        return instants // DAY * DAY
    info = zone(zone_name)
    blocks, inverse = np.unique(instants // _BLOCK, return_inverse=True)
    epoch = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
    shifts = []
    for block in blocks:
        moment = epoch + timedelta(seconds=int(block) * _BLOCK // SECOND)
        shifts.append(int((moment.astimezone(info).utcoffset() or timedelta()).total_seconds()) * SECOND)
    return (instants + np.array(shifts, np.int64)[inverse]) // DAY * DAY


def of_magnitude(value: int) -> str | None:
    """The epoch that a number of this size counts in, as `model.time` reads numbers; None for what is a date
    or a time of day."""
    size = abs(value)
    if size < 10**8:
        return None
    for bound, name in ((10**11, "epoch_s"), (10**14, "epoch_ms"), (10**17, "epoch_us")):
        if size < bound:
            return name
    return "epoch_ns" if size < 2**63 else None


def day_of(text: str) -> int | None:
    """Midnight, ns as if UTC, of a date written YYYYMMDD or YYYY-MM-DD; None for anything else."""
    digits = text.replace("-", "")
    if len(digits) != 8 or not digits.isascii() or not digits.isdigit():
        return None
    try:
        return (
            datetime(int(digits[:4]), int(digits[4:6]), int(digits[6:])) - datetime(1970, 1, 1)
        ).days * DAY
    except ValueError:
        return None
