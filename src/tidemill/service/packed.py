"""Answers of which the first part is packed once and the end anew: bars that have closed stay what they are
while the one that is open moves.

The first part's gzip is cut at a full flush, so that an end packed by itself may follow it, and a reader sees
one gzip stream as any other (RFC 1952).
"""

from __future__ import annotations

import struct
import zlib

from fastapi import Response

from tidemill.service import answer
from tidemill.service.compress import BYTES_MIN, LEVEL

GZIP = (b"\x1f\x8b", "gzip")
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_FACTS = struct.Struct("<IQ")
_RAW = -zlib.MAX_WBITS


def begin(text: bytes) -> bytes:
    """The first part of an answer, to be kept and given to `whole`: its checksum, its length, and
    itself, packed where that is worth it."""
    if len(text) < BYTES_MIN:
        return _FACTS.pack(0, 0) + text
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW)
    return _FACTS.pack(zlib.crc32(text), len(text)) + packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)


def whole(begun: bytes, end: bytes) -> bytes:
    """The answer that begins with what was `begun` and has this end: gzip, or plain where it is short."""
    checksum, length = _FACTS.unpack_from(begun)
    if not length:
        return begun[_FACTS.size :] + end
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW)
    rest = packer.compress(end) + packer.flush()
    sums = struct.pack("<II", zlib.crc32(end, checksum), (length + len(end)) & 0xFFFF_FFFF)
    return b"".join((_HEAD, memoryview(begun)[_FACTS.size :], rest, sums))


def pack(text: bytes) -> bytes:
    """An answer to be kept: gzip, or plain where that is not worth it."""
    return whole(begin(text), b"")


def response(body: bytes, media: str = answer.JSON) -> Response:
    """What was packed, as an answer; `Compress` unpacks it for who takes no gzip."""
    packed = body.startswith(GZIP[0])
    return Response(body, media_type=media, headers={"Content-Encoding": GZIP[1]} if packed else None)
