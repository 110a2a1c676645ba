"""One message to one sleeping Python subscriber, 10,000 a second: our journal beside ZeroMQ and a socket."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from benches.run import Contest
from tidemill import _native
from tidemill.wire import RECORD

RATE = 10_000
MESSAGES = 10_000


def paced(send: Callable[[int], None]) -> None:
    """Calls `send` with the clock's nanoseconds, RATE times a second."""
    start = time.perf_counter_ns()
    for i in range(MESSAGES):
        due = start + i * 1_000_000_000 // RATE
        while time.perf_counter_ns() < due:
            time.sleep(0.00002)
        send(time.perf_counter_ns())


def percentiles(latencies_ns: list[int]) -> tuple[float, float]:
    latencies_ns.sort()
    return latencies_ns[len(latencies_ns) // 2] / 1e9, latencies_ns[len(latencies_ns) * 99 // 100] / 1e9


def _journal_writer(home: str, ready: Event) -> None:
    with _native.JournalWriter(home, "bench", "bench") as writer:
        record = np.zeros(1, dtype=RECORD)
        record["kind"] = 1
        ready.wait()

        def send(now: int) -> None:
            record["ts_event"] = now
            writer.append(record)

        paced(send)


def journal() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as home:
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        process = context.Process(target=_journal_writer, args=(home, ready))
        process.start()
        reader = None
        while reader is None:
            with contextlib.suppress(RuntimeError, OSError):
                reader = _native.JournalReader(home, "bench")
        reader.seek("newest")
        ready.set()
        seen: list[int] = []
        while len(seen) < MESSAGES:
            batch = reader.read(1000, 1000)
            now = time.perf_counter_ns()
            if batch is not None:
                seen.extend((now - np.frombuffer(batch, dtype=RECORD)["ts_event"]).tolist())
        process.join()
        return percentiles(seen)


def _zeromq_writer(path: str, ready: Event) -> None:
    import zmq

    publisher = zmq.Context().socket(zmq.PUB)
    publisher.bind(f"ipc://{path}")
    ready.wait()
    record = np.zeros(1, dtype=RECORD)

    def send(now: int) -> None:
        record["ts_event"] = now
        publisher.send(record.tobytes())

    time.sleep(0.3)
    paced(send)


def zeromq() -> tuple[float, float]:
    import zmq

    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        process = context.Process(target=_zeromq_writer, args=(f"{folder}/s", ready))
        process.start()
        subscriber = zmq.Context().socket(zmq.SUB)
        subscriber.connect(f"ipc://{folder}/s")
        subscriber.subscribe(b"")
        ready.set()
        seen: list[int] = []
        while len(seen) < MESSAGES:
            message = subscriber.recv()
            now = time.perf_counter_ns()
            seen.append(now - int(np.frombuffer(message, dtype=RECORD)["ts_event"][0]))
        process.join()
        return percentiles(seen)


def _socket_writer(path: str, ready: Event) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        ready.wait()
        client.connect(path)
        record = np.zeros(1, dtype=RECORD)

        def send(now: int) -> None:
            record["ts_event"] = now
            client.sendall(record.tobytes())

        paced(send)


def unix_socket() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = str(Path(folder) / "s")
        server.bind(path)
        server.listen()
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        process = context.Process(target=_socket_writer, args=(path, ready))
        process.start()
        ready.set()
        connection, _ = server.accept()
        seen: list[int] = []
        buffer = b""
        while len(seen) < MESSAGES:
            buffer += connection.recv(65536)
            now = time.perf_counter_ns()
            whole = len(buffer) // RECORD.itemsize * RECORD.itemsize
            seen.extend((now - np.frombuffer(buffer[:whole], dtype=RECORD)["ts_event"]).tolist())
            buffer = buffer[whole:]
        connection.close()
        process.join()
        return percentiles(seen)


def contests() -> list[Contest]:
    runs = {"tidemill": journal, "zeromq": zeromq, "unix socket": unix_socket}

    def pick(name: str, index: int) -> Callable[[], float]:
        return lambda: runs[name]()[index]

    return [
        Contest(
            f"message to a sleeping Python subscriber, {label}",
            "message",
            1,
            pick("tidemill", index),
            {"zeromq": pick("zeromq", index), "unix socket": pick("unix socket", index)},
            {"zeromq": goal},
            rounds=5,
        )
        for index, label, goal in ((0, "p50", 4), (1, "p99", 2))
    ]
