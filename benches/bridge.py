"""Every message to 1,000 WebSocket clients on this machine, all read by one thread of one program: our
bridge beside a plain FastAPI loop under uvicorn, and picows. Ours reads from the journal, where a writer
appends; the peers make their messages themselves.

Goals: 50 times the plain loop's deliveries a second; a single message to all of them in a third of its
time (99th percentile).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benches import program
from benches.contest import AbsentError, Contest, Metric, Party, Run

Found = Mapping[str, Any]


def figures(said: Found) -> Mapping[str, float]:
    if said["closed"]:
        raise RuntimeError(f"{said['closed']} clients were closed")
    spread = said["record_to_client"]
    return {
        "rate": said["deliveries_per_s"],
        "p50": (spread["p50_us"] or 0) / 1e3,
        "p99": (spread["p99_us"] or 0) / 1e3,
    }


def ours(clients: int, rates: Sequence[int], seconds: int) -> Party:
    """At the first of these rates at which the crowd keeps up: who does not is cut off."""

    def once(rate: int) -> Found:
        words = {"rate": rate, "seconds": seconds, "clients": clients}
        command = [program.native("fanout_load"), "bridge"]
        command += [word for name, value in words.items() for word in (f"--{name}", str(value))]
        done = subprocess.run(command, capture_output=True, check=True, timeout=120)
        said: Found = json.loads(done.stdout)
        return said

    @contextmanager
    def open_() -> Iterator[Run]:
        left = list(rates)

        def run() -> Mapping[str, float]:
            said = once(left[0])
            while said["closed"] and len(left) > 1:
                left.pop(0)
                said = once(left[0])
            return figures(said)

        yield run

    return open_


def peer(kind: str, clients: int, rate: int, seconds: int) -> Party:
    @contextmanager
    def open_() -> Iterator[Run]:
        if importlib.util.find_spec(kind) is None:
            raise AbsentError(f"no package {kind}")

        def run() -> Mapping[str, float]:
            with program.started(
                [*program.python("peer.websocket"), kind, str(rate), str(seconds)]
            ) as server:
                port = json.loads(server.line())["port"]
                words = ["listen", "--port", str(port), "--clients", str(clients)]
                with program.started([program.native("fanout_load"), *words]) as crowd:
                    crowd.ready()
                    server.tell("go")
                    server.line()
                    crowd.tell("end")
                    return figures(crowd.result())

        yield run

    return open_


def contests(tiny: bool) -> Iterator[Contest]:
    clients, seconds, rounds = (20, 1, 1) if tiny else (1000, 4, 3)
    most = (100,) if tiny else (4_000, 3_000, 2_000, 1_000)

    def contest(name: str, metrics: tuple[Metric, ...], rates: Sequence[int], peers_rate: int) -> Contest:
        peers = {kind: peer(kind, clients, peers_rate, seconds) for kind in ("fastapi", "picows")}
        return Contest(name, metrics, ours(clients, rates, seconds), peers, rounds, warm=False)

    yield contest(
        f"one message at a time to {clients:,} clients",
        (Metric("p50", "ms"), Metric("p99", "ms", {"fastapi": 3})),
        (20,), 20,
    )  # fmt: skip
    yield contest(
        f"as many messages as they go to {clients:,} clients",
        (Metric("rate", "deliveries/s", {"fastapi": 50}, more=True),),
        most, 0,
    )  # fmt: skip
