"""Redis on a port of loopback."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import redis

from tests.servers.process import Process, found, free_port


class Redis:
    """One server; each test takes a database number or a prefix of its own."""

    def __init__(self, program: Path, *settings: str) -> None:
        """`settings` are words of its command line, such as "--maxmemory", "1mb"."""
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-redis-"))
        self.port = free_port()
        words = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        words += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", *settings]
        self.process = Process(words, self.folder / "log", self._ready)

    def __enter__(self) -> Redis:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def _ready(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def program() -> Path | None:
    return found("redis-server", "valkey-server")
