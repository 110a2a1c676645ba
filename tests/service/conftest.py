"""A real service on a real port with a real home, and stand-ins for the parts it talks to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.service.auth import Keeper

START_S = STOP_S = 60
ANSWER_S = 60
"""What a busy machine may take for a moment's work: tests of how long a thing takes have own bounds."""
GENEROUS = {f"TIDEMILL_LIMIT_{kind}": "1000000/minute" for kind in ("READ", "WRITE", "SESSION")}


class Service:
    """`tidemill serve` as a process. `client` carries the owner's token, `stranger` nothing."""

    def __init__(
        self,
        home: Home,
        env: dict[str, str] | None = None,
        words: tuple[str, ...] = (),
        code: str | None = None,
    ) -> None:
        self.home = home
        command = ["-m", "tidemill"] if code is None else ["-c", code]
        self.process = subprocess.Popen(
            [sys.executable, *command, "serve", "--home", str(home.path), "--port", "0", *words],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **GENEROUS, **(env or {})},
        )
        self.lines: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_S) or self.port == 0:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the service did not start: {self.lines}")
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.token = home.read_token()
        self.bearer = {"Authorization": f"Bearer {self.token}"}
        self.client = httpx.Client(base_url=self.url, headers=self.bearer, timeout=ANSWER_S, trust_env=False)
        self.stranger = httpx.Client(base_url=self.url, timeout=ANSWER_S, trust_env=False)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.port = 0
        for line in self.process.stderr:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                self.lines.append(said)
                if "port" in said and str(said.get("message", "")).startswith("serving"):
                    self.port = said["port"]
                    self._ready.set()
        self._ready.set()

    def browser(self) -> httpx.Client:
        """A client signed in by a one-use key, as a page would be."""
        metadata = Metadata.open(self.home.database)
        key = metadata.new_key(actor="cli")
        metadata.close()
        browser = httpx.Client(base_url=self.url, timeout=ANSWER_S, trust_env=False)
        answer = browser.post("/api/v1/session", json={"key": key}, headers={"Origin": self.url})
        assert answer.status_code == 200, answer.text
        return browser

    @property
    def cookie(self) -> str:
        return f"tidemill_{self.port}"

    def keeper(self) -> Keeper:
        """Checks and makes what this service's secret signs."""
        return Keeper(self.home, Metadata.open(self.home.database), self.port)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        self.stranger.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(5)
        return code


def close_code(socket: ClientConnection) -> int | None:
    """Reads until the server closes; the code it closed with."""
    try:
        while True:
            socket.recv(20)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


class FakePart:
    """A control socket that answers what a test gives it and remembers what it was asked."""

    def __init__(self, path: Path, status: dict[str, Any], metrics: str = "") -> None:
        self.path = path
        self.status = status
        self.metrics = metrics
        self.asked: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError, ValueError):
                request = json.loads(peer.makefile("rb").readline())
                self.asked.append(request)
                answer: dict[str, Any] = {"ok": True}
                if request["op"] == "status":
                    answer = self.status
                elif request["op"] == "metrics":
                    answer = {"text": self.metrics}
                peer.sendall(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


def short_home() -> Home:
    """A home near the root: a unix socket's path is short, pytest's folders are not."""
    place = Home.at(tempfile.mkdtemp(prefix="tm-"))
    place.create()
    return place


@pytest.fixture
def home() -> Iterator[Home]:
    place = short_home()
    yield place
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture
def start(home: Home) -> Iterator[Callable[..., Service]]:
    """Starts services that end with the test."""
    running: list[Service] = []

    def begin(env: dict[str, str] | None = None, *words: str) -> Service:
        running.append(Service(home, env, words))
        return running[-1]

    yield begin
    for service in running:
        service.stop()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service for all tests of a module that only ask."""
    place = short_home()
    running = Service(place)
    yield running
    running.stop()
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture
def part(home: Home) -> Iterator[Callable[..., FakePart]]:
    """Makes parts that answer on their control sockets."""
    made: list[FakePart] = []

    def make(name: str, metrics: str = "", **status: Any) -> FakePart:
        made.append(
            FakePart(
                home.control(name), {"part": name, "state": "live", "pid": os.getpid(), **status}, metrics
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()
