"""A way to PostgreSQL on which errors happen: a proxy that understands its messages as far as it must.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field

_ENCRYPTION = (80_877_103, 80_877_104)
"""What asks for TLS, and for GSSAPI."""
_WORDS = {
    "28P01": 'password authentication failed for user "tidemill"',
    "3D000": 'database "nothing" does not exist',
}
"""While it connects libpq hands on a server's words, not its SQLSTATE."""
_FATAL = ("08", "28", "3D", "57P0", "53300")
"""After these a server closes the connection."""


@dataclass
class Fault:
    """One error: given once, but at `connect` to everybody until it is mended."""

    state: str
    """Its SQLSTATE."""
    at: str
    """`connect`; or words of the statement that gets it instead of an answer, in a transaction that brings
    rows. `committed` lets its COMMIT through and gives the error in place of the answer: the client cannot
    know."""
    given: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self) -> str:
        return f"injected {self.state} at {self.at}"

    @property
    def fatal(self) -> bool:
        return self.at in ("connect", "committed") or self.state.startswith(_FATAL)

    def message(self) -> bytes:
        told = {
            "S": "FATAL" if self.fatal else "ERROR",
            "C": self.state,
            "M": f"{_WORDS.get(self.state, '')} {self.text}",
        }
        told["V"] = told["S"]
        body = b"".join(key.encode() + value.encode() + b"\0" for key, value in told.items()) + b"\0"
        return _message(b"E", body)


class Proxy:
    """Listens on loopback and passes everything to the server's socket, but for the `fault` of the moment."""

    def __init__(self, server: str) -> None:
        """`server` is the path of its unix socket."""
        self._server = server
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept() would hold a socket that is only closed.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection, as a network would."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def give(self, fault: Fault) -> Fault:
        """The next who comes to its place gets this error. One for `connect` needs somebody who connects: all
        connections are cut for it."""
        with self._lock:
            self._fault = fault
        if fault.at == "connect":
            self.cut()
        return fault

    def mend(self) -> None:
        """Gives no error any more."""
        with self._lock:
            self._fault = None

    def _take(self, at: str, statement: bytes = b"") -> Fault | None:
        with self._lock:
            fault = self._fault
            if fault is None or not (fault.at == at or fault.at.encode() in statement):
                return None
            if at != "connect":
                self._fault = None
        fault.given.set()
        return fault

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        self._open |= {client, server}
        with client, server, contextlib.suppress(OSError, EOFError):
            try:
                server.connect(self._server)
                self._converse(client, server)
            finally:
                self._open -= {client, server}
                # Both ways: whoever still reads one of them sees its end.
                for one in (client, server):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def _converse(self, client: socket.socket, server: socket.socket) -> None:
        while (start := _startup(client))[1] in _ENCRYPTION:
            client.sendall(b"N")
        if fault := self._take("connect"):
            client.sendall(fault.message())
            return
        server.sendall(start[0])
        muted = threading.Event()
        back = threading.Thread(target=_pass_back, args=(server, client, muted), daemon=True)
        back.start()
        failed: Fault | None = None
        writing = False
        while True:
            kind, body, whole = _next(client)
            if failed is not None:
                # What follows an error up to its Sync a server does not look at.
                if kind == b"S":
                    client.sendall(failed.message() + _message(b"Z", b"E"))
                    failed = None
                continue
            statement = body if kind in (b"Q", b"P") else b""
            if statement:
                writing = b"FROM STDIN" in statement or (writing and not statement.startswith(b"BEGIN"))
            if writing and statement.startswith(b"COMMIT") and (fault := self._take("committed")):
                muted.set()
                server.sendall(whole)
                # The server has done it once it would answer the next question.
                server.sendall(_message(b"X", b""))
                back.join()
                client.sendall(fault.message())
                return
            fault = self._take("", statement) if writing and statement else None
            if fault is None:
                server.sendall(whole)
            elif fault.fatal:
                client.sendall(fault.message())
                return
            elif kind == b"Q":
                client.sendall(fault.message() + _message(b"Z", b"E"))
            else:
                failed = fault


def _pass_back(server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(1 << 16):
            if not muted.is_set():
                client.sendall(data)
        if not muted.is_set():
            client.shutdown(socket.SHUT_RDWR)


def _startup(client: socket.socket) -> tuple[bytes, int]:
    """The first message, which has no letter, and its code."""
    head = _exactly(client, 8)
    length, code = struct.unpack(">ii", head)
    return head + _exactly(client, length - 8), code


def _next(client: socket.socket) -> tuple[bytes, bytes, bytes]:
    """Letter, body, and the whole of the next message."""
    head = _exactly(client, 5)
    body = _exactly(client, struct.unpack(">i", head[1:])[0] - 4)
    return head[:1], body, head + body


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def _exactly(client: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = client.recv(count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
