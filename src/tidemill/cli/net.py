"""Ports of this machine: which are free, and who holds the others."""

from __future__ import annotations

import contextlib
import itertools
import socket
import zlib
from pathlib import Path

from tidemill import errors

LISTEN = "0A"


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(port: int) -> None:
    """Raises `ConflictError` naming the holder when the port is taken."""
    if not port_is_free(port):
        raise errors.ConflictError(
            "port_held",
            f"port {port} is held by {listening_process(port)}",
            hint="choose another with --port N or TIDEMILL_PORT, or end that process",
        )


def listening_process(port: int) -> str:
    """Pid and command of whoever listens on the port, as far as this user may see it."""
    inode = _listening_inode(port)
    for entry in Path("/proc").glob("[0-9]*") if inode else ():
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    return f"process {entry.name} ({words.strip()[:80]})"
    return "another process"


def _listening_inode(port: int) -> str | None:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    return fields[9]
    return None


def free_block(offsets: tuple[int, ...], whose: str) -> int:
    """A base port such that base + each offset is free now.

    Below the range that systems hand out for outgoing connections, so that none lands there by chance. The
    search begins where `whose` says: two platforms that start at once would otherwise find the same ports.
    """
    bases = range(20400, 32000, 10)
    first = zlib.crc32(whose.encode("utf-8", "surrogateescape")) % len(bases)
    for base in itertools.chain(bases[first:], bases[:first]):
        if all(port_is_free(base + offset) for offset in offsets):
            return base
    raise errors.ConflictError(
        "no_ports", "no free block of ports between 20400 and 32000", hint="end what holds them"
    )
