"""A web server and a mail server that take down what they are told."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from types import TracebackType
from typing import Any, Self


class Hook:
    """Answers every POST with the next of `answers`, then 200."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        taken = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                taken.bodies.append(json.loads(body))
                self.send_response(taken.answers.pop(0) if taken.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class Postbox:
    """Speaks as much SMTP (RFC 5321) as a client without TLS needs; says 550 to `refused`."""

    def __init__(self, refused: str = "") -> None:
        self.mails: list[str] = []
        self._refused = refused
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                self._talk(line)

    def _talk(self, line: socket.socket) -> None:
        reader = line.makefile("rb")
        line.sendall(b"220 here\r\n")
        for raw in reader:
            word = raw.strip().upper()
            if word == b"DATA":
                line.sendall(b"354 go on\r\n")
                text = b""
                for part in reader:
                    if part == b".\r\n":
                        break
                    text += part
                self.mails.append(text.decode())
            if word.startswith(b"RCPT") and self._refused and self._refused.encode().upper() in word:
                line.sendall(b"550 nobody here\r\n")
            else:
                line.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 good\r\n")
            if word == b"QUIT":
                return
