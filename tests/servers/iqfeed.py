"""IQConnect as the simulator plays it, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

READY_S = 30.0


class IQFeed:
    """`tidemill sim --providers iqfeed,polygon`: both tell of the same made-up world."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self._log = home.parent / f"{home.name}-sim.log"
        self._words = [sys.executable, "-m", "tidemill", "sim", "--home", str(home), *words]
        self._process: subprocess.Popen[bytes] | None = None
        self._said: dict[str, Any] = {}

    def __enter__(self) -> IQFeed:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._words, "--providers", "iqfeed,polygon", "--supervised"],
                stdin=subprocess.PIPE,
                stderr=log,
            )
        file = self.home / "run" / "sim.json"
        deadline = time.monotonic() + READY_S
        while not file.exists():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        self._said = json.loads(file.read_text())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)

    @property
    def addresses(self) -> dict[str, str]:
        """As they stand in `run/sim.json`: admin, lookup, level1, derivative."""
        return dict(self._said["providers"]["sim-iqfeed"])

    @property
    def url(self) -> str:
        return json.dumps(self.addresses)

    @property
    def polygon(self) -> str:
        """Where the same world is told by another protocol."""
        return str(self._said["providers"]["sim-polygon"]["rest"])

    def fault(self, name: str, **fields: Any) -> None:
        """Begins a fault; docs/sim.md lists them."""
        self._faults("POST", {"venue": "sim-iqfeed", "fault": name, **fields})

    def clear(self) -> None:
        """Ends all faults."""
        self._faults("DELETE")
        # Ports that were closed open again a moment later.
        deadline = time.monotonic() + READY_S
        for address in self.addresses.values():
            host, _, port = address.rpartition(":")
            while True:
                with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                    break
                assert time.monotonic() < deadline, address
                time.sleep(0.02)

    def _faults(self, method: str, body: dict[str, Any] | None = None) -> None:
        request = urllib.request.Request(
            f"{self._said['control']}/faults", method=method, data=json.dumps(body).encode() if body else None
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200


def environment() -> dict[str, str]:
    """This process's, without what a developer may have set for IQFeed."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("DTN_", "IQFEED_"))}
