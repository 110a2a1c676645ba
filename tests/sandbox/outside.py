"""What a program in the sandbox might reach, watched from outside."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Outside:
    """A secret file, listeners of every kind, a process to signal, a folder to write to."""

    def __init__(self, folder: Path) -> None:
        self.mark = secrets.token_hex(12)
        self.folder = folder
        self.home = folder / "home"
        (self.home / ".ssh").mkdir(parents=True)
        (self.home / ".ssh" / "id_ed25519").write_text(self.mark)
        self.secret = folder / "canary"
        self.secret.write_text(self.mark)
        self.written = folder / "outside"
        self.written.mkdir()
        self.reached: list[str] = []
        self._selector = selectors.DefaultSelector()
        self._stop = False
        self.abstract = f"tidemill-{self.mark}"
        self._unix = str(folder / "s")
        self._sockets = {
            "v4": self._listen(socket.AF_INET, ("127.0.0.1", 0)),
            "v6": self._listen(socket.AF_INET6, ("::1", 0)),
            "unix": self._listen(socket.AF_UNIX, self._unix),
            "abstract": self._listen(socket.AF_UNIX, "\0" + self.abstract),
            "udp": self._listen(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM),
        }
        for name, line in self._sockets.items():
            self._selector.register(line, selectors.EVENT_READ, name)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self.victim = self.new_victim()

    def new_victim(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(300)", self.mark],
            env={"TIDEMILL_CANARY": self.mark},
        )

    def place(self) -> dict[str, Any]:
        """What a program is told: where everything is."""
        return {
            "mark": self.mark, "secret": str(self.secret), "home": str(self.home), "project": str(ROOT),
            "outside": str(self.written), "victim": self.victim.pid, "runner": os.getpid(),
            "v4": self._sockets["v4"].getsockname()[1], "v6": self._sockets["v6"].getsockname()[1],
            "udp": self._sockets["udp"].getsockname()[1], "unix": self._unix, "abstract": self.abstract,
        }  # fmt: skip

    def close(self) -> None:
        self._stop = True
        self.victim.kill()
        self.victim.wait()
        self._thread.join()
        for line in self._sockets.values():
            line.close()

    def _listen(self, family: int, address: Any, kind: int = socket.SOCK_STREAM) -> socket.socket:
        line = socket.socket(family, kind)
        line.bind(address)
        if kind == socket.SOCK_STREAM:
            line.listen()
        line.setblocking(False)
        return line

    def _watch(self) -> None:
        while not self._stop:
            for key, _ in self._selector.select(0.05):
                line = key.fileobj
                assert isinstance(line, socket.socket)
                with contextlib.suppress(OSError):
                    if line.type == socket.SOCK_DGRAM:
                        line.recv(100)
                    else:
                        line.accept()[0].close()
                    self.reached.append(key.data)


def children(pid: int, deep: bool = True) -> set[int]:
    """Processes below this one; not `deep`: those that it began itself.

    A server that other tests share begins and ends processes of its own at any time: what a guest left
    is looked for among those that this process began.
    """
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            below.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for one in below.get(waiting.pop(), []):
            found.add(one)
            if deep:
                waiting.append(one)
    return found
