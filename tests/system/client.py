"""A stream client as a process of its own, so that a test can stop it: says in JSON lines how it fares.

`python -m tests.system.client HOME PORT direct|service`. It subscribes many times over, to fall
behind soon, goes on from its last position when it is cut, and says at SIGTERM which trades its first
subscription brought.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.system.viewer import stream_url
from tidemill.home import Home

SUBSCRIPTIONS = 24
VENUES = ("sim-kraken", "sim-coinbase", "sim-binance")


def say(said: str, **fields: Any) -> None:
    print(json.dumps({"said": said, **fields}), flush=True)


class Client:
    def __init__(self, home: Home, port: int, direct: bool) -> None:
        self._home, self._port, self._direct = home, port, direct
        self.trades: dict[str, list[int]] = defaultdict(list)
        self.positions: dict[str, list[int]] = {}
        self.ending = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ending", True))
        first = True
        while not self.ending:
            try:
                with self._connect() as stream:
                    self._subscribe(stream)
                    say("subscribed" if first else "resumed")
                    first = False
                    self._follow(stream)
            except (ConnectionClosed, OSError) as error:
                say("closed", why=str(error))
                time.sleep(0.2)
        say("seen", trades=self.trades)

    def _connect(self) -> ClientConnection:
        url = stream_url(self._home, self._port, direct=self._direct)
        there = urlsplit(url)
        # The kernel's own buffers are kept small: what they hold delays the moment the test waits for.
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        line.connect((there.hostname, there.port))
        headers = {"Authorization": f"Bearer {self._home.read_token()}"}
        return connect(url, sock=line, additional_headers=headers, max_size=None, proxy=None)

    def _subscribe(self, stream: ClientConnection) -> None:
        for number in range(1, SUBSCRIPTIONS + 1):
            wanted: dict[str, Any] = {
                "op": "subscribe",
                "id": number,
                "instruments": [],
                "channels": ["trades"],
            }
            wanted["venues"] = list(VENUES)
            if self.positions and number == 1:
                wanted["from"] = self.positions
            stream.send(json.dumps(wanted))

    def _follow(self, stream: ClientConnection) -> None:
        while not self.ending:
            try:
                message = json.loads(stream.recv(timeout=0.2))
            except TimeoutError:
                continue
            if message["type"] == "cut":
                say("cut", reason=message["reason"], positions=message["positions"])
            elif message.get("id") == 1 and "prev" in message:
                self.positions[message["venue"]] = [message["epoch"], message["sequence"]]
                if message["type"] == "trades":
                    self.trades[message["instrument"]] += [int(row["id"]) for row in message["rows"]]


if __name__ == "__main__":
    Client(Home(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3] == "direct").run()
