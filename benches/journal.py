"""A record from one process to others on the same machine: our journal beside ZeroMQ (C, over a UNIX
socket) and Redis pub/sub (6.2, over a UNIX socket). Every message is stamped right before it is sent;
ours is on disk as well, in the page cache, before anybody sees it.

Goals at 10,000 a second: a quarter of a broker's median into a sleeping subscriber and half of its 99th
percentile, 1/500 into a Rust subscriber that may spin and 1/50 into a Python one. As fast as it goes: 10
times ZeroMQ, 150 times Redis, a fifteenth of ZeroMQ's processor time a message.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benches import program
from benches.contest import Contest, Metric, Party, Run
from benches.peer import server

SUBSCRIBES_S = 0.3
"""A subscription takes a moment to reach ZeroMQ's publisher, which does not say when it has."""

BATCH = 64
PYTHON = program.python("peer.python")


@dataclass(frozen=True)
class Way:
    """How the processes at the ends are started; `seconds` is what a server between them used so far."""

    write: Callable[[Path, int, int], list[str]]
    """Folder, count, rate."""
    read: Callable[[Path, int], list[str]]
    seconds: Callable[[], float] = lambda: 0.0


def deliver(path: Way, count: int, rate: int, subscribers: int) -> Mapping[str, float]:
    """One run: delays of the median subscriber, rate of the slowest, processor time of all processes."""
    with tempfile.TemporaryDirectory(prefix="bench-journal-") as folder, ExitStack() as stack:
        place = Path(folder)
        writer = stack.enter_context(program.started(path.write(place, count, rate)))
        writer.ready()
        readers = [stack.enter_context(program.started(path.read(place, count))) for _ in range(subscribers)]
        for reader in readers:
            reader.ready()
        time.sleep(SUBSCRIBES_S)
        before = path.seconds()
        writer.tell("go")
        found = [reader.result() for reader in readers]
        between = path.seconds() - before
        writer.tell("end")
        said = writer.result()
        ended = max(one["ended"] for one in found)
        cpu_s = said["cpu_s"] + between + sum(one["cpu_s"] for one in found)
        return {
            "p50": sorted(one["p50"] for one in found)[subscribers // 2],
            "p99": sorted(one["p99"] for one in found)[subscribers // 2],
            "rate": count / (ended - said["began"]) * 1e9,
            "processor time": cpu_s / count / subscribers * 1e9,
        }


def journal(*, batch: int = 1, spin_us: int = 0, python: bool = False) -> Callable[[int, int, int], Party]:
    pump = program.native("pump")

    def write(folder: Path, count: int, rate: int) -> list[str]:
        return [pump, "write", str(folder), str(count), str(batch), str(rate)]

    def read(folder: Path, count: int) -> list[str]:
        if python:
            return [*PYTHON, "tidemill-read", str(folder), str(count), "1" if spin_us else "0"]
        return [pump, "read", str(folder), str(count), str(spin_us)]

    return _party(lambda _: Way(write, read))


def zeromq(*, python: bool = False) -> Callable[[int, int, int], Party]:
    def open_(stack: ExitStack) -> Way:
        command = stack.enter_context(server.zeromq())

        def write(folder: Path, count: int, rate: int) -> list[str]:
            return [command, "write", f"ipc://{folder}/s", str(count), str(rate)]

        def read(folder: Path, count: int) -> list[str]:
            start = [*PYTHON, "zeromq-read"] if python else [command, "read"]
            return [*start, f"ipc://{folder}/s", str(count)]

        return Way(write, read)

    return _party(open_)


def redis() -> Callable[[int, int, int], Party]:
    def open_(stack: ExitStack) -> Way:
        socket, pid = stack.enter_context(server.redis())
        ticks = os.sysconf("SC_CLK_TCK")

        def seconds() -> float:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / ticks

        return Way(
            lambda _, count, rate: [*PYTHON, "redis-write", socket, str(count), str(rate)],
            lambda _, count: [*PYTHON, "redis-read", socket, str(count)],
            seconds,
        )

    return _party(open_)


def _party(open_: Callable[[ExitStack], Way]) -> Callable[[int, int, int], Party]:
    def choose(count: int, rate: int, subscribers: int) -> Party:
        @contextmanager
        def party() -> Iterator[Run]:
            with ExitStack() as stack:
                path = open_(stack)
                yield lambda: deliver(path, count, rate, subscribers)

        return party

    return choose


def contests(tiny: bool) -> Iterator[Contest]:
    size = 100 if tiny else 1
    rounds = 1 if tiny else 5

    def contest(
        name: str,
        metrics: tuple[Metric, ...],
        ours: Callable[[int, int, int], Party],
        peers: dict[str, Callable[[int, int, int], Party]],
        *work: int,
    ) -> Contest:
        parties = {peer: party(*work) for peer, party in peers.items()}
        return Contest(name, metrics, ours(*work), parties, rounds, warm=False)

    def delays(p50: float, p99: float, *peers: str) -> tuple[Metric, ...]:
        return (
            Metric("p50", "µs", dict.fromkeys(peers, p50)),
            Metric("p99", "µs", dict.fromkeys(peers, p99)),
        )

    def rates(**goals: float) -> tuple[Metric, ...]:
        return (
            Metric("rate", "records/s", goals, more=True),
            Metric("processor time", "ns/record", {"zeromq": 15}),
        )

    both = {"zeromq": zeromq(), "redis": redis()}
    into_python = {"zeromq": zeromq(python=True), "redis": redis()}
    at_10k = (10_000 // size, 10_000)
    yield contest(
        "to a sleeping subscriber in Rust at 10,000/s", delays(4, 2, *both), journal(), both, *at_10k, 1
    )
    yield contest(
        "to a sleeping subscriber in Python at 10,000/s",
        delays(4, 2, *both), journal(python=True), into_python, *at_10k, 1,
    )  # fmt: skip
    yield contest(
        "to a spinning subscriber in Rust at 10,000/s",
        delays(500, 2, *both), journal(spin_us=1_000_000), both, *at_10k, 1,
    )  # fmt: skip
    yield contest(
        "to a spinning subscriber in Python at 10,000/s",
        delays(50, 2, *both), journal(python=True, spin_us=1), into_python, *at_10k, 1,
    )  # fmt: skip
    yield contest(
        "to a subscriber in Rust that spins 20 µs, at 100,000/s",
        delays(500, 30, "zeromq"), journal(spin_us=20), {"zeromq": zeromq()}, 100_000 // size, 100_000, 1,
    )  # fmt: skip
    yield contest(
        "to ten sleeping subscribers in Rust at 10,000/s",
        (Metric("p50", "µs", {"zeromq": 5}), Metric("p99", "µs", {"zeromq": 6})),
        journal(), {"zeromq": zeromq()}, *at_10k, 10,
    )  # fmt: skip
    much, less = 1_000_000 // size, 300_000 // size
    yield contest(
        f"to one subscriber in Rust as fast as it goes, {BATCH} records a message of ours",
        rates(zeromq=10, redis=150), journal(batch=BATCH), both, much, 0, 1,
    )  # fmt: skip
    yield contest(
        "to one subscriber in Rust as fast as it goes, one record a message",
        rates(zeromq=10, redis=150), journal(), {"zeromq": zeromq()}, much, 0, 1,
    )  # fmt: skip
    yield contest(
        f"to one subscriber in Python as fast as it goes, {BATCH} records a message of ours",
        rates(zeromq=10, redis=150), journal(batch=BATCH, python=True), into_python, much, 0, 1,
    )  # fmt: skip
    yield contest(
        f"to each of ten subscribers in Rust as fast as it goes, {BATCH} records a message of ours",
        rates(zeromq=10), journal(batch=BATCH), {"zeromq": zeromq()}, less, 0, 10,
    )  # fmt: skip
