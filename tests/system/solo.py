"""Single parts without a supervisor, for tests that give each its own environment, clock or network."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.system.harness import until
from tidemill import control
from tidemill.home import Home

START_S = 120.0
STOP_S = 30.0
# What the machine that runs the tests has set must not decide how a part reaches its venue.
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Part:
    """One running `tidemill` command and its control socket."""

    def __init__(
        self,
        home: Path,
        name: str,
        words: Sequence[str],
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.home = Home(home)
        self.name = name
        self.home.create()
        self.log = self.home.log(name)
        inherited = {key: value for key, value in os.environ.items() if key.upper() not in NETWORK}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "tidemill", *words, "--home", str(home)],
                env=inherited | dict(env or {}), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """What it says of itself; empty while it does not answer."""
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
        with contextlib.suppress(control.Unreachable):
            return control.ask_now(self.home.control(self.name), "status", timeout_s=10)
        return {}

    def until(
        self, what: str, holds: Callable[[dict[str, Any]], Any], seconds: float = START_S
    ) -> dict[str, Any]:
        """The first status of which `holds` is true."""
        last: dict[str, Any] = {}

        def look() -> bool:
            nonlocal last
            last = self.status()
            return bool(last and holds(last))

        try:
            until(look, f"{self.name} {what}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {last}\n{self.log_tail()}") from None
        return last

    def live(self, seconds: float = START_S) -> dict[str, Any]:
        return self.until("is live", lambda said: said["state"] == "live", seconds)

    def error(self) -> str:
        """The first error it tells of."""
        said = self.until("tells of an error", lambda said: said.get("error"))
        return str(said["error"]["message"])

    def records(self, more: int, seconds: float = 60.0) -> None:
        """Waits until it has written so many more records."""
        start = self.status().get("sequence", 0)
        self.until(f"writes {more} records", lambda said: said["sequence"] >= start + more, seconds)

    def venues(self) -> dict[str, Any]:
        """What a simulator says in `run/sim.json`: this one, not one that was killed before."""

        def said() -> dict[str, Any] | None:
            assert self.process.poll() is None, f"{self.name} ended:\n{self.log_tail()}"
            with contextlib.suppress(OSError):
                found: dict[str, Any] = json.loads((self.home.run / "sim.json").read_text())
                return found if found["pid"] == self.process.pid else None
            return None

        found: dict[str, Any] = until(said, f"{self.name} says where its venues are", START_S)
        return found

    def log_tail(self) -> str:
        return self.log.read_text()[-3000:]

    def stop(self) -> int:
        """Ends it; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end:\n{self.log_tail()}") from None


@contextlib.contextmanager
def running(
    home: Path,
    name: str,
    *words: str,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Part]:
    """A part that is ended with the block, whatever happens."""
    part = Part(home, name, words, env, prefix)
    try:
        yield part
    finally:
        if part.process.poll() is None:
            part.process.kill()
            part.process.wait()


@contextlib.contextmanager
def simulator(home: Path, *words: str, prefix: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """A simulator; yields what it says in `run/sim.json`."""
    with running(home, "sim", "sim", *words, prefix=prefix) as sim:
        yield sim.venues()


@contextlib.contextmanager
def collector(
    home: Path,
    protocol: str,
    url: str,
    rest_url: str,
    *words: str,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Part]:
    """A collector of `sim-<protocol>` at these addresses."""
    name = f"sim-{protocol}"
    words = ("collector", protocol, "--name", name, "--url", url, "--rest-url", rest_url, *words)
    with running(home, f"collector-{name}", *words, env=env, prefix=prefix) as part:
        yield part
