"""Clients that take next to nothing, a thousand at once: memory stays bounded and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.system.harness import Platform, running, until
from tests.system.viewer import Viewer, stream_url

VENUE = "sim-kraken"
CROWD = 1000
THROUGH_SERVICE = 100
BRIDGE_GROWTH_MAX = 256 << 20
"""A fourth of what a thousand full queues would be: waiting messages are shared."""
SERVICE_GROWTH_MAX = 96 << 20
WARM_GROWTH_MAX = 2 << 20
LEFT_BYTES_MAX = 2 << 20
"""What may still come to a client that was cut: buffers of kernel, bridge and service on its way."""


@pytest.fixture(scope="module")
def platform(module_path: Path) -> Iterator[Platform]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with running(module_path / "home", "--venues", VENUE, rate=300, history=False) as found:
        found.wait_trades(VENUE, 200)
        yield found
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sleeper(platform: Platform, url: str, subscriptions: int) -> socket.socket:
    """A client that subscribes and then never reads."""
    there = urlsplit(url)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 10)
    line.settimeout(30)
    line.connect((there.hostname, there.port))
    line.sendall(
        f"GET /stream HTTP/1.1\r\nHost: {there.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Authorization: Bearer {platform.home.read_token()}\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += line.recv(1)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    for number in range(1, subscriptions + 1):
        wanted = {"op": "subscribe", "id": number, "instruments": [], "venues": [VENUE]}
        # A masked text frame of 126 bytes or more; the mask is zero.
        text = json.dumps(wanted | {"channels": ["trades", "quotes", "book"]}).ljust(126).encode()
        line.sendall(bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2, "big") + bytes(4) + text)
    return line


def rss(platform: Platform, part: str) -> int:
    text = Path(f"/proc/{platform.pid(part)}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_warm(platform: Platform) -> bool:
    """Whether the service has loaded what it loads with its first work: that is not the crowd's doing."""
    before = rss(platform, "service")
    time.sleep(3)
    return rss(platform, "service") - before < WARM_GROWTH_MAX


def descriptors(platform: Platform, part: str) -> int:
    return len(list(Path(f"/proc/{platform.pid(part)}/fd").iterdir()))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("held_s", [6, pytest.param(120, marks=pytest.mark.soak)], ids=str)
def test_a_thousand_sleepers_cost_bounded_memory_and_nobody_else(platform: Platform, held_s: int) -> None:
    """B05."""
    parts = ("bridge", "service")
    assert platform.get(f"/api/v1/data/BTC-USD.{VENUE}/bars?interval=1m")[0] == 200
    until(lambda: is_warm(platform), "the service has loaded all it needs")
    before = {part: (platform.pid(part), rss(platform, part), descriptors(platform, part)) for part in parts}
    bridge, service = (stream_url(platform.home, platform.port, direct=direct) for direct in (True, False))
    with Viewer(platform, ["trades"], [VENUE]) as healthy, contextlib.ExitStack() as stack:
        for number in range(CROWD):
            url = service if number < THROUGH_SERVICE else bridge
            stack.enter_context(contextlib.closing(sleeper(platform, url, 1)))
        assert platform.numbers("bridge")["clients"] >= CROWD
        time.sleep(held_s)
        platform.wait_trades(VENUE, 100)
        healthy.catch_up()
        growth = {part: rss(platform, part) - before[part][1] for part in parts}
        assert growth["bridge"] < BRIDGE_GROWTH_MAX, growth
        assert growth["service"] < SERVICE_GROWTH_MAX, growth
        assert platform.is_ready()
    assert healthy.connections == 1
    assert not healthy.broken_chains
    for part in parts:
        pid, _, count = before[part]
        assert platform.pid(part) == pid
        until(
            lambda part=part, count=count: descriptors(platform, part) <= count + 8,
            f"{part} has given its descriptors back",
        )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("direct", [True, False], ids=["bridge", "service"])
def test_what_waits_for_a_sleeper_is_bounded_on_the_whole_way(platform: Platform, direct: bool) -> None:
    """A client that wakes up sees the present soon, and learns early that it was cut."""
    cut = platform.numbers("bridge")["cut"]
    url = stream_url(platform.home, platform.port, direct=direct)
    with contextlib.closing(sleeper(platform, url, 60)) as line:
        until(lambda: platform.numbers("bridge")["cut"] > cut, "the sleeper is cut", 60)
        left = 0
        with contextlib.suppress(ConnectionError):
            while data := line.recv(1 << 16):
                left += len(data)
    assert left < LEFT_BYTES_MAX, f"{left:,} bytes were on their way"
