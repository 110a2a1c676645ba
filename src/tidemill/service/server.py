"""The process: listens, serves, drains. Readiness turns red first, then the door closes, then work ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn
from prometheus_client import generate_latest

from tidemill import __version__, control
from tidemill.errors import ConflictError
from tidemill.service import log
from tidemill.service.app import build
from tidemill.service.config import Config
from tidemill.service.frame import Frames
from tidemill.service.platform import Platform
from tidemill.service.stream import Front

# How long health says "not ready" while requests are still taken: one look of a load balancer or supervisor.
RED_S = 0.5
WS_BYTES_MAX = 64 << 10


def serve(config: Config) -> int:
    """Serves a home until told to stop; returns the exit code. Raises `TidemillError` when it cannot."""
    log.setup()
    listener = _listen(config)
    # The cookie's name holds the port, so the real one must be known first.
    config = dataclasses.replace(config, port=listener.getsockname()[1])
    service = Platform(config)
    Front.bridge, Front.metrics = config.home.socket("bridge.sock"), service.metrics
    server = _Server(
        uvicorn.Config(
            build(service),
            http=Front,
            ws=Frames,
            ws_max_size=WS_BYTES_MAX,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(config.drain_s),
        ),
        service,
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """uvicorn with our way of stopping, and a control socket."""

    def __init__(self, config: uvicorn.Config, service: Platform) -> None:
        super().__init__(config)
        self._service = service
        self._control = control.Server(
            service.home.control(_free_name(service)),
            {"status": self._status, "metrics": self._metrics, "drain": self._drain},
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT drain; uvicorn would raise them again afterwards and spoil the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        if self._service.config.supervised:
            threading.Thread(target=self._watch_stdin, args=(loop,), daemon=True).start()
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._control.start()
        config = self._service.config
        log.note(
            logging.INFO, f"serving on http://{config.host}:{config.port}", port=config.port, pid=os.getpid()
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._control.close()

    def drain(self) -> None:
        """Begins to stop; a second call stops at once."""
        if self._service.draining.is_set():
            self.should_exit = self.force_exit = True
            return
        self._service.draining.set()
        log.note(logging.INFO, "draining")
        asyncio.get_running_loop().call_later(RED_S, self._leave)

    def _leave(self) -> None:
        self.should_exit = True

    def _watch_stdin(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not through `sys.stdin.buffer`: a thread that holds its lock aborts the interpreter at its end.
        with contextlib.suppress(OSError, ValueError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self.drain)

    async def _status(self, _request: control.Answer) -> control.Answer:
        service = self._service
        service.measure()
        return {
            "part": "service",
            "pid": os.getpid(),
            "state": "draining" if service.draining.is_set() else "live",
            "since_ns": service.started,
            "version": __version__,
            "port": service.config.port,
            "metrics": {
                "requests": self.server_state.total_requests,
                "connections": len(self.server_state.connections),
            },
        }

    async def _metrics(self, _request: control.Answer) -> control.Answer:
        return {"text": generate_latest(self._service.metrics.registry).decode()}

    async def _drain(self, _request: control.Answer) -> control.Answer:
        asyncio.get_running_loop().call_soon(self.drain)
        return {"ok": True}


def _free_name(service: Platform) -> str:
    """`service`, or with the port behind it where another service of this home has that name: the supervisor
    goes on asking the one it started."""
    try:
        control.ask_now(service.home.control("service"), "status")
    except control.Silent:
        pass  # it hangs: its socket is still its own
    except control.Unreachable:
        return "service"
    return f"service-{service.config.port}"


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise ConflictError(
            "port_held",
            f"{config.host}:{config.port} cannot be listened on: {error.strerror}",
            hint="end the process that holds it, or choose another with --port or TIDEMILL_PORT",
        ) from error
    listener.listen(1024)
    listener.setblocking(False)
    return listener
