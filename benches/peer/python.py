"""Ends of message paths in Python, as processes; they speak as `crates/journal/examples/pump.rs` does.

python -m benches.peer.python tidemill-read HOME COUNT SPIN a vectorised reader of the journal; SPIN 1
never sleeps python -m benches.peer.python zeromq-read ADDRESS COUNT python -m benches.peer.python
redis-write SOCKET COUNT RATE pipelined without a rate python -m benches.peer.python redis-read SOCKET
COUNT
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tidemill.wire import RECORD

PRICE = 6_423_150
CHANNEL = b"b"
AT_ONCE = 64


def ready() -> None:
    print("ready", flush=True)


def hear() -> None:
    sys.stdin.readline()


def say(began: int, cpu_s: float, **more: float) -> None:
    print(json.dumps({"began": began, "ended": time.time_ns(), "cpu_s": time.process_time() - cpu_s, **more}))


def take(batches: Iterator[np.ndarray], count: int) -> None:
    """Reads until there are `count` records and says what that took."""
    seen, total, began, cpu_s = 0, 0, 0, 0.0
    delays: list[np.ndarray] = []
    for records in batches:
        now = time.time_ns()
        if not seen:
            began, cpu_s = now, time.process_time()
        total += int(records["price"].sum())
        seen += len(records)
        if records["ts_recv"][0]:
            delays.append(now - records["ts_recv"])
        if seen >= count:
            break
    if total != seen * PRICE:
        raise RuntimeError(f"the prices of {seen} records add up to {total}")
    times = np.concatenate(delays) / 1e3 if delays else np.zeros(1)
    say(began, cpu_s, p50=float(np.quantile(times, 0.5)), p99=float(np.quantile(times, 0.99)))


def tidemill_read(home: str, count: str, spin: str) -> None:
    from tidemill import _native

    reader = _native.JournalReader(home, "bench")
    reader.seek("oldest")
    timeout_ms = 0 if spin == "1" else 1000

    def batches() -> Iterator[np.ndarray]:
        while True:
            batch = reader.read(100_000, timeout_ms)
            if batch is not None and len(batch):
                yield np.frombuffer(batch, RECORD)

    ready()
    take(batches(), int(count))


def zeromq_read(address: str, count: str) -> None:
    import zmq

    subscriber = zmq.Context().socket(zmq.SUB)
    subscriber.set_hwm(0)
    subscriber.subscribe(b"")
    subscriber.connect(address)

    def batches() -> Iterator[np.ndarray]:
        while True:
            found = [subscriber.recv()]
            with contextlib.suppress(zmq.Again):
                while len(found) < 1000:
                    found.append(subscriber.recv(zmq.DONTWAIT))
            yield np.frombuffer(b"".join(found), RECORD)

    ready()
    take(batches(), int(count))


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def redis_write(path: str, count: str, rate: str) -> None:
    client = connect(path)
    head = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$48\r\n" % (len(CHANNEL), CHANNEL)
    record = np.zeros(1, RECORD)
    record["kind"], record["price"] = 1, PRICE
    left, per_s = int(count), int(rate)
    ready()
    hear()
    began, cpu_s, start = time.time_ns(), time.process_time(), time.perf_counter()
    replies = b""
    for n in range(0, left, 1 if per_s else AT_ONCE):
        size = min(1 if per_s else AT_ONCE, left - n)
        if per_s:
            while (wait := start + n / per_s - time.perf_counter()) > 0:
                time.sleep(wait)
            record["ts_recv"] = time.time_ns()
        client.sendall((head + record.tobytes() + b"\r\n") * size)
        expected = size
        while expected:
            replies += client.recv(65536)
            expected -= replies.count(b"\r\n")
            replies = replies[replies.rfind(b"\n") + 1 :]
    say(began, cpu_s)
    hear()


def redis_read(path: str, count: str) -> None:
    client = connect(path)
    client.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n" % (len(CHANNEL), CHANNEL))
    head = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$48\r\n" % (len(CHANNEL), CHANNEL)
    message = np.dtype([("head", f"S{len(head)}"), ("record", RECORD), ("end", "S2")])
    confirmed = b""
    while not confirmed.endswith(b":1\r\n"):
        confirmed += client.recv(1)

    def batches() -> Iterator[np.ndarray]:
        buffer = b""
        while True:
            buffer += client.recv(1 << 18)
            whole = len(buffer) // message.itemsize * message.itemsize
            if whole:
                yield np.frombuffer(buffer[:whole], message)["record"]
                buffer = buffer[whole:]

    ready()
    take(batches(), int(count))


PARTS: dict[str, Callable[..., Any]] = {
    "tidemill-read": tidemill_read,
    "zeromq-read": zeromq_read,
    "redis-write": redis_write,
    "redis-read": redis_read,
}

if __name__ == "__main__":
    PARTS[sys.argv[1]](*sys.argv[2:])
