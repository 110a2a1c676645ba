"""A worker process of a study: told on stdin what to try, answers on stdout, one line and its returns each.

It shares the history with all others by mapped files, and ends with whoever started it.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import BinaryIO

import orjson

from tidemill.research import source
from tidemill.research.bench import TRADES, Bench


def main() -> int:
    """Until end-of-file."""
    # What the strategy prints is no answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, orders), daemon=True).start()
    order = orjson.loads(orders.get())
    bench = Bench(source.load(order["strategy"]), order)
    out.write(b'{"op":"ready"}\n')
    out.flush()
    while True:
        asked = orjson.loads(orders.get())
        for item in asked["items"]:
            tried = bench.tried(asked["stage"], asked.get("first"), item)
            said, payload = dict(tried.said), tried.returns.tobytes()
            if tried.outcome is not None:
                said["trades"] = tried.outcome.trades.select(TRADES).to_pydict()
            out.write(orjson.dumps(said | {"key": item["key"], "bytes": len(payload)}) + b"\n" + payload)
            out.flush()


def _listen(given: BinaryIO, orders: queue.SimpleQueue[bytes]) -> None:
    """Lines for the work; at end-of-file whoever asked is gone, and nobody waits for what is at work."""
    for line in given:
        orders.put(line)
    os._exit(0)


if __name__ == "__main__":
    os._exit(main())  # no thread of the work holds it
