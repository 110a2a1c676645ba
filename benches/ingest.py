"""The live path beside a recorder: a writer appends 10,000 records a second to a journal, a subscriber reads
them in place, and a recorder keeps them: on the lake (ours), on TimescaleDB, or there is none.

Goals: every record kept at the rate it comes, 10,000 rows a second; the subscriber's p99 with a recorder
as without one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from benches import program
from benches.contest import AbsentError, Contest, Metric, Party, Run
from tidemill import _native, wire

VENUE = "bench"
RATE = 10_000
FRAME = 10
"""Records a message: a thousand messages a second."""
STORED_S = 120.0


def write(home: str, seconds: float) -> None:
    """The collector's part: messages of trades and levels as they would arrive, each at its time."""
    with _native.JournalWriter(home, VENUE, "kraken") as writer:
        number = writer.instrument(
            f"BTC-USD.{VENUE}", symbol="BTC/USD", base="BTC", quote="USD", tick="0.1", lot="0.00000001",
            price_scale=1, size_scale=8,
        )  # fmt: skip
        records = np.zeros(FRAME, wire.RECORD)
        records["kind"] = [wire.KIND_TRADE, *[wire.KIND_LEVEL] * (FRAME - 1)]
        records["flags"], records["instrument"] = wire.FLAG_BUY, number
        records["price"], records["price_scale"], records["size_scale"] = 642_315, 1, 8
        records["size"] = np.arange(1, FRAME + 1) * 10_000
        records["flags"][-1] |= wire.FLAG_LAST
        began = time.monotonic()
        for at in range(int(seconds * RATE / FRAME)):
            wait = began + at * FRAME / RATE - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            now = time.time_ns()
            records["ts_event"] = records["ts_recv"] = now
            writer.append(records)
        print(json.dumps({"epoch": writer.epoch, "sequence": writer.next_sequence - 1}), flush=True)


def subscribed(home: Path, seconds: float, stored: Callable[[], tuple[int, int]] | None) -> dict[str, float]:
    """One round: latencies of every message, and how many rows were kept a second."""
    writer = subprocess.Popen(
        [*program.python("ingest"), str(home), str(seconds)],
        stdout=subprocess.PIPE, env=program.environment(), text=True,
    )  # fmt: skip
    found: list[np.ndarray] = []
    reader = None
    while reader is None:
        try:
            reader = _native.JournalReader(str(home), VENUE)
        except RuntimeError:
            time.sleep(0.01)
    reader.seek("newest")
    began, count = time.monotonic(), 0
    while count < seconds * RATE and time.monotonic() < began + seconds + 30:
        batch = reader.read(1 << 12, 200)
        now = time.time_ns()
        if batch is None:
            if writer.poll() is not None:
                break
            continue
        view = wire.view(batch)
        if not count:
            began = time.monotonic()
        count += len(view)
        found.append(now - view["ts_recv"])
    said = json.loads(writer.stdout.readline()) if writer.stdout else {}
    writer.wait()
    latencies = np.concatenate(found) / 1e3
    rate = count / (time.monotonic() - began)
    if stored:
        last = said["epoch"], said["sequence"]
        deadline = time.monotonic() + STORED_S
        while stored() < last:
            if time.monotonic() > deadline:
                raise RuntimeError(f"stored up to {stored()} of {last}")
            time.sleep(0.02)
        rate = count / (time.monotonic() - began)
    return {
        "latency p50": float(np.percentile(latencies, 50)),
        "latency p99": float(np.percentile(latencies, 99)),
        "records": rate,
    }


def recorded(seconds: float, store: Callable[[ExitStack], list[str] | None]) -> Party:
    """A home with a recorder; `store` opens its store and gives its words, None for no recorder."""

    @contextmanager
    def open_() -> Iterator[Run]:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ingest-")))
            words = store(stack)
            offset = home / "run" / "offsets" / f"{VENUE}.json"

            def stored() -> tuple[int, int]:
                if not offset.exists():
                    return (0, 0)
                said = json.loads(offset.read_text())
                return said["epoch"], said["sequence"]

            if words is not None:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tidemill", "recorder", "--home", home, "--commit-s", "1", *words],
                    env=program.environment(), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                )  # fmt: skip
                stack.callback(process.wait, 60)
                stack.callback(process.terminate)
            yield lambda: subscribed(home, seconds, stored if words is not None else None)

    return open_


def timescale(stack: ExitStack) -> list[str]:
    from tests.servers.postgres import Postgres, with_timescale

    programs = with_timescale()
    if programs is None:
        raise AbsentError("TimescaleDB could not be unpacked: see .cache/timescaledb.log")
    return ["--store", stack.enter_context(Postgres(programs, timescale=True)).database()]


def contests(tiny: bool) -> Iterator[Contest]:
    seconds = 1.0 if tiny else 10.0
    metrics = (
        Metric("latency p50", "µs"),
        Metric("latency p99", "µs"),
        Metric("records", "records/s", limit=RATE * 0.85, more=True),
    )
    peers = {
        "recorder on TimescaleDB": recorded(seconds, timescale),
        "no recorder": recorded(seconds, lambda _: None),
    }
    yield Contest(
        f"{RATE:,} records/s beside a recorder on the lake",
        metrics,
        recorded(seconds, lambda _: []),
        peers,
        rounds=1 if tiny else 5,
    )


if __name__ == "__main__":
    write(sys.argv[1], float(sys.argv[2]))
