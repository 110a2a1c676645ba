"""Garbage on every socket of a running platform: cut with a reason, nothing lost, no part dies."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.system.harness import Platform, journal_records, running, until
from tidemill import control

VENUE = "sim-kraken"
FRAME_MAGIC = b"TDML"


@pytest.fixture(scope="module")
def platform(module_path: Path) -> Iterator[Platform]:
    with running(module_path / "home", "--venues", VENUE, rate=200, history=False) as found:
        found.wait_trades(VENUE, 100)
        yield found


def garbage() -> list[bytes]:
    dice = random.Random(11)
    return [
        b"",
        b"\0" * 4096,
        dice.randbytes(65536),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n\r\n",
        b"{" * 100_000 + b"\n",
        b'{"op":"status"',
        b'{"op":"reboot"}\n',
        b'{"op":null}\n[1,2,3]\n"status"\n\xff\xfe\n',
        FRAME_MAGIC + dice.randbytes(2000),
        FRAME_MAGIC + b"\x01\x02\x00\x00" + b"\xff" * 24,
        b"A" * 2_000_000,
    ]


def poke(address: str | tuple[str, int], data: bytes) -> None:
    """Sends `data` and reads what comes back for a moment; refusals and cuts are what is wanted."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as peer:
        peer.settimeout(0.2)
        with contextlib.suppress(OSError):
            peer.connect(address)
            peer.sendall(data)
            with contextlib.suppress(TimeoutError):
                while peer.recv(65536):
                    pass


@pytest.mark.timeout(240)
def test_no_socket_takes_the_platform_down(platform: Platform) -> None:
    before = {part: platform.pid(part) for part in platform.parts()}
    targets: list[str | tuple[str, int]] = [
        str(platform.home.socket(name)) for name in sorted(platform.home.sockets())
    ]
    assert len(targets) >= 7, targets
    targets.append(("127.0.0.1", platform.port))
    # Each is read for a moment: all at once, because one after the other takes minutes.
    with ThreadPoolExecutor(len(targets)) as pokers:
        for data in garbage():
            list(pokers.map(poke, targets, [data] * len(targets)))
    until(platform.is_ready, "the platform is ready")
    after = {part: platform.pid(part) for part in platform.parts()}
    assert after == before, "a part was restarted"
    platform.wait_trades(VENUE, 100)
    _records, sequences = journal_records(platform.home.path, VENUE)
    assert (np.diff(sequences) == 1).all()


INTRUDER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for path in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        try:
            peer.connect(path)
            peer.sendall(b'{"op":"status"}\\n')
            said = peer.recv(4096)
        except ConnectionError:
            said = b""
        print(path, len(said))
"""


@pytest.mark.timeout(60)
@pytest.mark.skipif(os.geteuid() != 0, reason="being another user takes root")
def test_another_user_gets_no_word_even_where_the_files_would_let_him(platform: Platform) -> None:
    """The modes are opened up as a careless chmod -R would; what is left is to ask who is there."""
    home = platform.home
    # The bridge's is a web server like its port: it asks everybody for a credential.
    sockets = [home.socket(name) for name in sorted(home.sockets() - {"bridge.sock"})]
    modes = {path: path.stat().st_mode for path in [*_above(home.run), *sockets]}
    try:
        for path in modes:
            path.chmod(0o777)
        words = [sys.executable, "-S", "-c", INTRUDER, *map(str, sockets)]
        told = subprocess.run(words, capture_output=True, text=True)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert told.returncode == 0, told.stderr
    answers = dict(line.rsplit(" ", 1) for line in told.stdout.splitlines())
    assert set(answers) == set(map(str, sockets))
    assert set(answers.values()) == {"0"}, answers
    assert control.ask_now(home.control("supervisor"), "status")["state"] == "live"


def _above(path: Path) -> list[Path]:
    """The folder and those above it that are this test's own."""
    return [folder for folder in (path, *path.parents) if len(folder.parts) > 2]


@pytest.mark.timeout(60)
def test_a_request_in_pieces_is_one_request_and_a_deep_one_an_error(platform: Platform) -> None:
    for name in sorted(platform.home.sockets()):
        if not name.endswith(".ctl"):
            continue
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(str(platform.home.socket(name)))
            answers = peer.makefile("rb")
            for byte in b'{"op":"status"}\n':
                peer.sendall(bytes([byte]))
            assert "pid" in json.loads(answers.readline()), name
            for text in (b"[" * 100_000, b'{"op":' * 50_000 + b"1" + b"}" * 50_000, b'{"op":["status"]}'):
                peer.sendall(text + b"\n")
                assert "error" in json.loads(answers.readline()), name
            peer.sendall(b'{"op":"status"}\n')
            assert "pid" in json.loads(answers.readline()), name


def test_sockets_and_secrets_are_the_owners_alone(platform: Platform) -> None:
    home = platform.home
    for path in [home.token, home.secret, *(home.socket(name) for name in home.sockets())]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert home.run.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/data/%00/bars",
        "/api/v1/data/../../etc/passwd/bars",
        "/api/v1/data/BTC-USD.sim-kraken/bars?interval=1parsec",
        "/api/v1/data/BTC-USD.sim-kraken/bars?limit=99999999999999999999",
        "/api/v1/data/BTC-USD.sim-kraken/bars?start=NaN",
        "/api/v1/data/BTC-USD.sim-kraken/book?depth=-1",
        "/api/v1/data/BTC-USD.sim-kraken/ticks?cursor=AAAA",
        "/api/v1/data/" + "A" * 5000 + "/bars",
        "/api/v1/gaps?state=' OR 1=1 --".replace(" ", "%20"),
        "/api/v1/nowhere",
    ],
)
def test_what_makes_no_sense_gets_a_clear_answer(platform: Platform, path: str) -> None:
    status, answer = platform.get(path)
    assert 400 <= status < 500, (status, answer)
    error = answer.get("error", answer)
    assert {"code", "category", "message", "hint", "request_id"} <= set(error)
    assert error["message"]
