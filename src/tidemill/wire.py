"""Records and frames, version 1, as Python sees them: the twin of `crates/wire`.

`docs/wire.md` describes the format; `vectors/wire` holds the golden bytes that all languages agree on.

    records = np.frombuffer(payload, dtype=RECORD)     # a view, not a copy
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Buffer

RECORD: Final = np.dtype(
    [
        ("kind", "u1"),  # KIND_*
        ("flags", "u1"),  # FLAG_*; the lowest two bits are the side
        ("price_scale", "u1"),  # decimal places of price; a channel in status and gap records
        ("size_scale", "u1"),  # decimal places of size; a cause in gap records
        ("instrument", "<u4"),  # number of this home's registry; 0 is the whole venue
        ("ts_event", "<i8"),  # ns UTC, the venue's clock
        ("ts_recv", "<i8"),  # ns UTC, when our socket had it
        ("price", "<i8"),  # mantissa
        ("size", "<i8"),  # mantissa; 0 in a level removes it
        ("id", "<u8"),  # trade id, update id, status code, or the opening's sequence of a gap
    ]
)
"""One record: 48 bytes, no padding."""

Records = npt.NDArray[np.void]
"""A structured array of dtype RECORD, shape (n,)."""

RECORD_BYTES: Final = 48


def view(batch: Buffer) -> Records:
    """The records in any buffer, shape (n,): a view, not a copy."""
    return np.frombuffer(memoryview(batch), RECORD)


if RECORD.itemsize != RECORD_BYTES:
    raise ImportError(f"a record has {RECORD_BYTES} bytes, this numpy makes {RECORD.itemsize}")

KIND_TRADE: Final = 1
KIND_QUOTE: Final = 2
KIND_LEVEL: Final = 3
KIND_CLEAR: Final = 4
KIND_STATUS: Final = 5
KIND_GAP: Final = 6
KIND_DETAIL: Final = 7
KIND_AMEND: Final = 8  # a trade told before counts no more, or otherwise; the detail after it names it

FLAG_SIDE: Final = 0b11
FLAG_BUY: Final = 1
FLAG_SELL: Final = 2
FLAG_SNAPSHOT: Final = 1 << 2
FLAG_BACKFILLED: Final = 1 << 3
FLAG_NO_VENUE_TIME: Final = 1 << 4
FLAG_HAS_ID: Final = 1 << 5
FLAG_IRREGULAR: Final = 1 << 6  # a trade that bars leave out: its conditions say so
FLAG_LAST: Final = 1 << 7

CHANNELS: Final = ("all", "trades", "quotes", "book")
"""Names of `price_scale` in status and gap records."""

CAUSES: Final = (
    "unknown",
    "disconnect",
    "stall",
    "hole",
    "checksum",
    "overload",
    "limit",
    "malformed",
)
"""Names of `size_scale` in gap records. A journal's own holes are `overrun`; those of a reader, `lapped`."""

STATUSES: Final = (
    "unknown",
    "connecting",
    "live",
    "stale",
    "reconnecting",
    "closed",
    "invalid",
    "valid",
    "clock_step",
    "halted",
    "resumed",
)
"""Names of `id` in status records."""

AGGRESSORS: Final = ("none", "buy", "sell", "none")
"""Names of the side bits of a trade."""

SIDES: Final = ("none", "bid", "ask", "none")
"""Names of the side bits of a quote or level."""

SCALE_MAX: Final = 18


TRADE_TEXT: Final = ("exchange", "conditions", "id", "tape")
"""Fields of the text that the details of a trade make, with `|` between."""


def detail_text(payloads: Iterable[bytes]) -> str:
    """The text of a record, from bytes 16 to 47 of the details that follow it."""
    return b"".join(payload[8:] for payload in payloads).rstrip(b"\0").decode(errors="replace")


def name(table: tuple[str, ...], code: int) -> str:
    """The name of a code, or the number itself where this version has no name for it."""
    return table[code] if 0 <= code < len(table) else str(code)


# ── decimals ──────────────────────────────────────────────────────────────────────────────────────

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_MANTISSA_MAX = (1 << 63) - 1


def text(mantissa: int, scale: int) -> str:
    """Decimal text with exactly `scale` places: `text(642315, 1)` is "64231.5"."""
    if scale <= 0:
        return str(mantissa)
    sign = "-" if mantissa < 0 else ""
    digits = str(abs(mantissa)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def parse(number: str) -> tuple[int, int]:
    """Mantissa and scale of a number written as in JSON (RFC 8259), digits kept as printed.

    Raises `ValueError` for what is no number (NaN, Infinity, "-0", "") and `OverflowError` for what
    does not fit 64 bits at a scale of 0 to 18, even without trailing zeros.
    """
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise ValueError(f"{number[:40]!r} is not a decimal number")
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", match[4] or "0"
    digits = (whole + fraction).lstrip("0")
    # An exponent of more than five digits is out of range whatever the mantissa.
    power = int((exponent.lstrip("+-0") or "0")[:6])
    places = len(fraction) - (-power if exponent.startswith("-") else power)
    if not digits:
        if sign:
            raise ValueError("'-0' is not a decimal number that can be stored")
        return 0, min(max(places, 0), SCALE_MAX)
    # Of more digits than 64 bits have, only zeros behind the point can be spared.
    spare = max(min(len(digits) - 20, len(digits) - len(digits.rstrip("0")), places), 0)
    digits, places = digits[: len(digits) - spare], places - spare
    if len(digits) > 20 or places < -40:
        raise OverflowError(f"{number[:40]!r} does not fit 18 digits")
    mantissa = int(digits)
    if places < 0:
        mantissa, places = mantissa * 10**-places, 0
    while (mantissa > _MANTISSA_MAX or places > SCALE_MAX) and places > 0 and mantissa % 10 == 0:
        mantissa, places = mantissa // 10, places - 1
    if mantissa > _MANTISSA_MAX or places > SCALE_MAX:
        raise OverflowError(f"{number[:40]!r} does not fit 18 digits")
    return -mantissa if sign else mantissa, places


def texts(mantissa: npt.NDArray[Any], scale: npt.NDArray[Any]) -> list[str]:
    """`text` of each pair, shape (n,)."""
    return [text(m, s) for m, s in zip(mantissa.tolist(), scale.tolist(), strict=True)]


_POWERS = 10.0 ** np.arange(SCALE_MAX + 1)


def floats(mantissa: npt.NDArray[Any], scale: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Nearest float of each pair, shape (n,): for statistics and drawing, never for storing.

    Up to 15 significant digits the result is the float that Python reads from the decimal text.
    """
    result: npt.NDArray[np.float64] = mantissa.astype(np.float64) / _POWERS[scale]
    return result


# ── frames ────────────────────────────────────────────────────────────────────────────────────────

MAGIC: Final = b"TDML"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sBBHIIIIQ")
PAYLOAD_BYTES_MAX: Final = 1 << 20

FRAME_RECORDS: Final = 1
FRAME_CONTROL: Final = 2
FRAME_HEARTBEAT: Final = 3
FRAME_SKIP: Final = 4


class FrameError(ValueError):
    """Bytes that are not a frame; `reason` is magic, version, length, checksum or short."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Frame:
    """One checked frame. `sequence` is that of the first record, or the next one where there is none."""

    type: int
    venue: int
    count: int
    epoch: int
    sequence: int
    payload: bytes

    @property
    def records(self) -> Records:
        """The records, a view of the payload. Empty unless this is a record frame."""
        if self.type != FRAME_RECORDS:
            return np.empty(0, RECORD)
        return np.frombuffer(self.payload, RECORD)

    @property
    def bytes(self) -> int:
        return HEADER.size + len(self.payload)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes, crc: int = 0) -> int:
    """CRC-32C (Castagnoli). Pure Python, about 10 MB/s: native parts check frames on the hot path."""
    table = _CRC_TABLE
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def encode(type: int, venue: int, count: int, epoch: int, sequence: int, payload: bytes) -> bytes:  # noqa: A002
    """One frame; the payload is padded with zeros to a multiple of 8."""
    payload += bytes(-len(payload) % 8)
    fields = (MAGIC, VERSION, type, venue, len(payload), count, epoch)
    crc = crc32c(HEADER.pack(*fields, 0, sequence) + payload)
    return HEADER.pack(*fields, crc, sequence) + payload


def decode(data: bytes) -> Frame:
    """The frame at the start of `data`. Raises `FrameError`."""
    if len(data) >= 4 and data[:4] != MAGIC:
        raise FrameError("magic", f"not a frame: begins with {data[:4]!r}")
    if len(data) < HEADER.size:
        raise FrameError("short", f"a frame needs {HEADER.size} bytes, here are {len(data)}")
    _, version, type_, venue, length, count, epoch, crc, sequence = HEADER.unpack_from(data)
    if version != VERSION:
        raise FrameError("version", f"frame version {version}; this program reads {VERSION}")
    fits = length % 8 == 0 and length <= PAYLOAD_BYTES_MAX
    if type_ == FRAME_RECORDS:
        fits = fits and length == count * RECORD_BYTES and count > 0
    elif type_ == FRAME_CONTROL:
        fits = fits and count == 0
    elif type_ == FRAME_HEARTBEAT:
        fits = length == 0 and count == 0
    elif type_ == FRAME_SKIP:
        fits = length == 0
    if not fits:
        raise FrameError("length", f"frame length {length} does not fit its type and count {count}")
    end = HEADER.size + length
    if len(data) < end:
        raise FrameError("short", f"the frame has {end} bytes, here are {len(data)}")
    payload = bytes(data[HEADER.size : end])
    found = crc32c(HEADER.pack(MAGIC, version, type_, venue, length, count, epoch, 0, sequence) + payload)
    if found != crc:
        raise FrameError("checksum", f"frame checksum {crc:#010x}, its bytes give {found:#010x}")
    return Frame(type_, venue, count, epoch, sequence, payload)
