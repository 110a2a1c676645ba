"""Frames between the runner and its guest: a letter, a length, so many bytes.

The runner hands in orders as sealed memory (fds over a socket), so that the tables of a study are mapped and
never copied; the guest answers through a pipe, whose reader trusts nothing.
"""

from __future__ import annotations

import os
import struct

HEAD = struct.Struct("<cI")
READY, PROGRESS, ANSWER, TABLE, FAILED = b"r", b"p", b"a", b"t", b"e"
KINDS = (READY, PROGRESS, ANSWER, TABLE, FAILED)
PROGRESS_BYTES_MAX = 1 << 16
TABLES_MAX = 200
ORDER = b"o"


def write(fd: int, kind: bytes, body: bytes | memoryview) -> None:
    """One whole frame; waits while the reader takes none."""
    for part in (HEAD.pack(kind, len(body)), body):
        left = memoryview(part)
        while left:
            left = left[os.write(fd, left) :]
