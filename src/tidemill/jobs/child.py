"""The process of one job: takes its order from stdin, does the work, tells its worker on stdout.

Lines of JSON both ways. It never outlives what stands behind it: at end-of-file on stdin (its worker is
gone) and when the lease ends that its worker last told (its worker is stopped, and the job may be another's
soon), it kills its own process group. What it prints is its log.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from tidemill import errors
from tidemill.home import Home
from tidemill.jobs import tree
from tidemill.jobs.kind.api import Stopped

TELL_S = 0.1
OUT_OF_MEMORY = 77
_READ_BYTES = 1 << 16


def main() -> int:
    """Does one job; the worker reads from the exit code only whether it died."""
    line = Channel.first_line()
    if not line:
        return 1
    order = json.loads(line)
    _bound(int(order["memory_bytes"]))
    channel = Channel(order)
    context = _Context(order, channel)
    try:
        from tidemill.jobs import kind

        result = kind.load(order["kind"]).run(context, order["detail"])
        last = {"op": "cancelled"} if context.told else {"op": "done", "result": result}
        json.dumps(last, allow_nan=False)
    except Stopped:
        last = {"op": "cancelled" if context.told else "stopped"}
    except MemoryError:
        channel.send({"op": "log", "level": "error", "text": "it ran out of memory"})
        channel.leave(OUT_OF_MEMORY)
    except errors.TidemillError as error:
        last = {"op": "failed", "error": error.as_dict()}
    except Exception as error:
        channel.send({"op": "log", "level": "error", "text": traceback.format_exc()[-4000:]})
        known = errors.InternalError("internal", f"{type(error).__name__}: {error}"[:1000])
        last = {"op": "failed", "error": known.as_dict()}
    context.flush()
    channel.send(last)
    channel.leave(0)
    return 0


def _bound(memory_bytes: int) -> None:
    """No single process beyond the bound, whatever the worker's watch would still let pass; and when the
    machine itself runs short, a job goes before anything that collects."""
    if memory_bytes:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes * 2, memory_bytes * 2))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


class Channel:
    """The two pipes to the worker."""

    _left = b""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        # What the work prints goes to stderr, which the worker keeps as the log; stdout stays ours.
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._until = float(order["until"])
        self._kept = 0
        self.cancel = False
        self.stop = False
        threading.Thread(target=self._listen, daemon=True, name="listen").start()

    @classmethod
    def first_line(cls) -> bytes:
        """The order; empty where there is none."""
        while b"\n" not in cls._left:
            read = os.read(0, _READ_BYTES)
            if not read:
                return b""
            cls._left += read
        line, _, cls._left = cls._left.partition(b"\n")
        return line

    def send(self, message: dict[str, Any]) -> None:
        """One line to the worker; waits while it takes none."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            while data:
                data = data[os.write(self._out, data) :]

    def wait_kept(self, number: int) -> None:
        """Returns once the checkpoint of that number is kept; raises `Stopped` when this attempt is over."""
        with self._news:
            self._news.wait_for(lambda: self._kept >= number)
            if self.stop:
                raise Stopped

    def leave(self, code: int) -> None:
        """Ends the process at once: no thread of the work can hold it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)

    def _listen(self) -> None:
        left = Channel._left
        while True:
            *lines, left = left.split(b"\n")
            for line in lines:
                self._take(json.loads(line))
            if not select.select([0], [], [], max(0.0, self._until - time.monotonic()))[0]:
                if time.monotonic() >= self._until:
                    self._die()
                continue
            read = os.read(0, _READ_BYTES)
            if not read:
                self._die()
            left += read

    def _take(self, said: dict[str, Any]) -> None:
        with self._news:
            match said["op"]:
                case "lease":
                    self._until = float(said["until"])
                case "kept":
                    self._kept = int(said["number"])
                case "cancel":
                    self.cancel = True
                case "stop":
                    self.stop = True
            self._news.notify_all()

    def _die(self) -> None:
        tree.end(self._order["mark"], token=self._order["token"], spare=os.getpid())
        tree.end_group(os.getpid())
        os._exit(1)


class _Context:
    """What the work sees of all this."""

    def __init__(self, order: dict[str, Any], channel: Channel) -> None:
        self.home = Home.at(order["home"])
        self.job_id = str(order["id"])
        self.resumed = order["checkpoint"]
        self.own = bool(order.get("own"))
        self.told = False
        self._channel = channel
        self._number = 0
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._last: dict[str, Any] | None = None
        self._moved = threading.Event()
        threading.Thread(target=self._tell, daemon=True, name="tell").start()

    def progress(
        self, done: int, total: int | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        self._last = {
            "op": "progress",
            "done": int(done),
            "total": total and int(total),
            "unit": unit,
            "note": note,
        }
        self._moved.set()

    def checkpoint(self, value: Any) -> None:
        self.flush()
        json.dumps(value, allow_nan=False)  # PostgreSQL takes no NaN: here is who can mend it
        with self._lock:
            self._number += 1
            number = self._number
            self._channel.send({"op": "checkpoint", "number": number, "value": value})
        self._channel.wait_kept(number)

    def log(self, text: str, level: str = "info") -> None:
        self._channel.send({"op": "log", "level": level, "text": str(text)})

    def cancelled(self) -> bool:
        self.told = self.told or self._channel.cancel
        return self.told

    def flush(self) -> None:
        """Sends the newest progress, if it was not sent yet."""
        with self._telling:
            last, self._last = self._last, None
            if last is not None:
                self._channel.send(last)

    def _tell(self) -> None:
        while True:
            self._moved.wait()
            self._moved.clear()
            self.flush()
            time.sleep(TELL_S)
