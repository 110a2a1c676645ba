"""Looks at a file in a process of its own, bound in memory and time, whose death is an answer.

limited.preview(upload.path, upload.name)         # in the service, and before a job of the command line
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill import errors
from tidemill.importer import bound

MEMORY_BYTES = 1 << 30
SECONDS = 10
"""Of processor time; of the clock so many times as much, because others work here too."""
_PATIENCE = 6
_OUT_OF_MEMORY = 77
_ANSWER_BYTES_MAX = 8 << 20


def preview(
    path: Path,
    name: str,
    *,
    member: str | None = None,
    saved: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    memory_bytes: int = MEMORY_BYTES,
    seconds: int = SECONDS,
) -> dict[str, Any]:
    """As `preview.preview`. A file that takes more memory or time than it may, or that ends its decoder, is
    refused by name."""
    order = {
        "path": str(path), "name": name, "member": member, "saved": saved, "changes": dict(changes or {}),
        "memory_bytes": memory_bytes, "seconds": seconds, "now": time.time_ns(),
    }  # fmt: skip
    label = name.rpartition("/")[2]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "tidemill.importer.limited"],
            input=json.dumps(order).encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=seconds * _PATIENCE, check=False, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise bound.refused(label, f"looking at it took longer than {seconds * _PATIENCE} s") from None
    if ended.returncode == -signal.SIGXCPU:
        raise bound.refused(label, f"looking at it took more than {seconds} s of processor time")
    if ended.returncode == _OUT_OF_MEMORY or ended.returncode == -signal.SIGKILL:
        raise bound.refused(label, f"looking at it took more than {memory_bytes >> 20} MiB of memory")
    try:
        answer = json.loads(ended.stdout[:_ANSWER_BYTES_MAX])
    except ValueError:
        raise bound.unreadable(label, f"its decoder ended with {ended.returncode}") from None
    if "error" in answer:
        raise errors.from_dict(answer["error"])
    found: dict[str, Any] = answer["preview"]
    return found


def main() -> int:
    """The process: an order on stdin, an answer on stdout."""
    order = json.loads(sys.stdin.buffer.read())
    memory = int(order["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(order["seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    try:
        from tidemill.importer import preview as previews

        found = previews.preview(
            Path(order["path"]), order["name"], order["now"], member=order["member"], saved=order["saved"],
            changes=order["changes"],
        )  # fmt: skip
        answer: dict[str, Any] = {"preview": found}
    except MemoryError:
        return _OUT_OF_MEMORY
    except errors.TidemillError as error:
        answer = {"error": error.as_dict()}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    os._exit(main())  # no thread of a decoder holds it
