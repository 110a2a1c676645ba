"""Writes a journal at a steady rate until stdin closes: the collector's part in the recorder's kill test.

python -m tests.recorder.load HOME VENUE RECORDS_PER_S SECONDS_PER_RECORD
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import numpy as np

from tests.stores.make import START, mixed, writer


def main() -> None:
    home, venue, rate, step_ns = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    done = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    with writer(home, venue) as journal:
        print(journal.epoch, flush=True)
        chunk = max(1, rate // 50)
        while not done.is_set():
            began = time.monotonic()
            first = journal.next_sequence
            records = mixed(chunk, first_id=first, seed=first)
            records["ts_event"] = START + (first + np.arange(chunk)) * step_ns
            records["ts_recv"] = records["ts_event"] + 3_000_000
            records["instrument"] += np.uint32(int(venue != "sim-kraken") << 20)
            journal.append(records)
            done.wait(max(0.0, chunk / rate - (time.monotonic() - began)))
        print(journal.next_sequence - 1, flush=True)


if __name__ == "__main__":
    main()
