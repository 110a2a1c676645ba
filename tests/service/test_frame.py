"""WebSockets below the routes: a flood of pings, and a close that nobody takes, end by themselves."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from websockets.sync.client import connect

from tests.service.conftest import Service, close_code
from tidemill.service import frame

PING = 9


def frame_of(opcode: int, payload: bytes) -> bytes:
    """A frame of a client; its mask is zeros, so that the payload stays as it is."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def test_a_flood_of_pings_from_a_stranger_is_cut_and_costs_others_nothing(service: Service) -> None:
    with connect(f"ws://{service.address}/ws/events", proxy=None, close_timeout=0.2) as stranger:
        assert stranger.ping().wait(5)
        stranger.socket.sendall(frame_of(PING, b"x" * 125) * 20_000)
        started = time.monotonic()
        assert service.client.get("/api/v1/health/live").status_code == 200
        assert time.monotonic() - started < 2
        assert close_code(stranger) == 4429


def test_a_close_that_nobody_takes_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "CLOSE_S", 0.1)

    async def test() -> None:
        loop = asyncio.get_running_loop()
        lost = loop.create_future()

        class Protocol(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(exc)

        near, deaf = socket.socketpair()
        with deaf:
            transport, _ = await loop.create_connection(Protocol, sock=near)
            transport.write(bytes(8 << 20))
            frame._Closing(transport, loop).close()
            await asyncio.wait_for(lost, 5)

    asyncio.run(test())
