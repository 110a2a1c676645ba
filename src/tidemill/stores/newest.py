"""The newest stored bars of each instrument and interval as a flat file that readers map: `DIR/cache/bars`.

What is in a file is true of one version of the stored bars, which its head names; for any other it is as
good as not there. So it needs no writer of its own: whoever reads the store writes down what was read, beside
its place, and renames it. All of it may be deleted at any time; what is torn, damaged or somebody else's is
written anew.

A file is a head of 96 bytes (magic `TMNB`, layout, CRC-32 of what follows, bars n, bars that were asked for,
12 of nothing, SHA-256 of instrument and interval, SHA-256 of the version), then n bars (`model.bar.BAR`).
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np

from tidemill.model.bar import BAR, Bars

BYTES_MAX = 512 << 20
"""Of all files: the newest 5,000 bars of twenty intervals of some 50 instruments."""
BARS_MAX = 20_000
"""Of a file: 2 MB. Who asks for more is seldom, and reads the store."""
_LOOK_BYTES = 16 << 20
"""So much is written between two looks at how much there is."""
_MAGIC = 0x424E4D54
_LAYOUT = 1
_HEAD = struct.Struct("<IIIII12x32s32s")
_SUMMED = 12
"""From this byte on everything is in the checksum."""


class Newest:
    """Thread-safe, and shared by every process that reads this home. Never raises for what lies on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._written = _LOOK_BYTES
        self.hits = 0

    def get(self, instrument: str, interval: str, version: str, count: int) -> tuple[int, Bars] | None:
        """Bars of this version of the store, ascending and read-only, and how many were asked for when they
        were read: at least `count`."""
        with contextlib.suppress(OSError, ValueError, struct.error):
            with self._path(instrument, interval).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            magic, layout, checksum, bars, asked, mine, of = _HEAD.unpack_from(mapped)
            if (
                (magic, layout) == (_MAGIC, _LAYOUT)
                and mine == _digest(f"{instrument} {interval}")
                and of == _digest(version)
                and asked >= count
                and len(mapped) == _HEAD.size + bars * BAR.itemsize
                and zlib.crc32(memoryview(mapped)[_SUMMED:]) == checksum
            ):
                self.hits += 1
                return asked, np.frombuffer(mapped, BAR, bars, _HEAD.size)
        return None

    def put(self, instrument: str, interval: str, version: str, asked: int, bars: Bars) -> None:
        """Keeps what was read of this version of the store."""
        if asked > BARS_MAX or len(bars) > BARS_MAX:
            return
        mine, of = _digest(f"{instrument} {interval}"), _digest(version)
        head = bytearray(_HEAD.pack(_MAGIC, _LAYOUT, 0, len(bars), asked, mine, of))
        rows = np.ascontiguousarray(bars).tobytes()
        struct.pack_into("<I", head, _SUMMED - 4, zlib.crc32(rows, zlib.crc32(head[_SUMMED:])))
        path = self._path(instrument, interval)
        # A name of its own for each thread: the last rename wins, and each is whole.
        beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                # Not made durable: after a power cut its checksum tells, and it is written again.
                beside.write_bytes(head + rows)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
            self._bound(len(rows))

    def _bound(self, written: int) -> None:
        """The longest unwritten go where there is too much; others may write as well."""
        with self._lock:
            self._written += written
            if self._written < _LOOK_BYTES:
                return
            self._written = 0
            files = [(one.stat(), one) for one in self._folder.iterdir()]
            left = sum(stat.st_size for stat, _ in files)
            for stat, one in sorted(files, key=lambda file: file[0].st_mtime_ns):
                if left <= BYTES_MAX:
                    return
                one.unlink(missing_ok=True)
                left -= stat.st_size

    def _path(self, instrument: str, interval: str) -> Path:
        # Names are what venues and people call things: no path is built of them.
        return self._folder / _digest(f"{instrument} {interval}").hex()[:32]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
