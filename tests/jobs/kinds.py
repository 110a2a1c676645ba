"""Kinds that only tests have: they step, sleep, hunger, breed and fail. Entry points name them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from tidemill import errors
from tidemill.jobs.kind.api import Context, Kind


class _Any:
    """Takes whatever is asked."""

    summary: ClassVar[str] = "a test"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        return detail


def _append(file: str, line: str) -> None:
    with Path(file).open("a") as out:
        out.write(line + "\n")


class Steps(_Any):
    """`steps` steps of `step_s`, each a line in `file`; the result is made of all of them, resumed or not."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        done, total = context.resumed or [0, 0]
        while done < detail["steps"]:
            context.progress(done, detail["steps"], "steps", f"step {done}")
            _append(detail["file"], str(done))
            time.sleep(detail.get("step_s", 0.05))
            total += done * done
            done += 1
            context.checkpoint([done, total])
            if context.cancelled():
                return {}
        context.progress(done, detail["steps"], "steps")
        context.log("all steps are done")
        return {"sum": total}


class Deaf(_Any):
    """Sleeps `sleep_s` and listens to nobody."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        _append(detail["file"], "begins")
        time.sleep(detail["sleep_s"])
        _append(detail["file"], "ends")
        return {}


class Hungry(_Any):
    """Takes more and more memory."""

    memory_bytes: ClassVar[int] = 128 << 20

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        _append(detail["file"], "begins")
        held = []
        while True:
            held.append(bytearray(b"x" * (4 << 20)))
            time.sleep(0.01)


class Family(_Any):
    """Has a child and a grandchild in a session of its own, and waits for neither."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        code = (
            "import subprocess, sys, time\n"
            "words = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
            "subprocess.Popen(words, start_new_session=True)\n"
            "time.sleep(300)"
        )
        subprocess.Popen([sys.executable, "-c", code])
        context.progress(1, 2, "children", "both live")
        time.sleep(detail.get("sleep_s", 300))
        return {}


class Fails(_Any):
    """Fails in an orderly way: for good, or `times` times in one that may pass."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        _append(detail["file"], "tries")
        tries = len(Path(detail["file"]).read_text().splitlines())
        if tries <= detail.get("times", 0):
            raise errors.UpstreamError("venue_unreachable", "it may pass", hint="wait")
        if "times" in detail:
            return {"tries": tries}
        print("about to fail")
        raise errors.UsageError("detail_unfit", "it makes no sense", hint="ask something else")


class Quick(_Any):
    """Ends at once."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        return {"got": detail}


class Odd(_Any):
    """Says what no column takes: NUL, halves of pairs, numbers beyond 64 bits, ten megabytes at once."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        context.progress(2**70, 2**71, "\ud800", "a\0b")
        context.log("x" * (10 << 20), "\0" * 100)
        context.log("half \ud800 of a pair\0")
        return {"number": float("nan")} if detail.get("nan") else {"text": "\ud800\0"}


class Babbles(_Any):
    """Writes into the pipe between process and worker what is no message."""

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        os.write(context._channel._out, b"Segmentation fault, or so\n")  # type: ignore[attr-defined]
        time.sleep(60)
        return {}


KINDS: dict[str, type[Kind]] = {
    "t-steps": Steps, "t-deaf": Deaf, "t-hungry": Hungry, "t-family": Family,
    "t-fails": Fails, "t-quick": Quick, "t-odd": Odd, "t-babbles": Babbles,
}  # fmt: skip
