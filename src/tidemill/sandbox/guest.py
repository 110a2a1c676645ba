"""The program inside the sandbox: takes orders from its socket, runs their task, answers through a pipe.

Until the first order it is ours; from then on it is the user's, and the runner believes nothing it says.
Started as `python -c "…; main()" RESULT_FD MODULES [trusted]`, with modules to import before anyone waits.
"""

from __future__ import annotations

import array
import contextlib
import json
import math
import mmap
import os
import resource
import socket
import sys
from typing import Any

from tidemill.sandbox import frame, task, user

DEPTH_MAX = 60


def main() -> None:
    """Serves orders until the runner goes."""
    results = int(sys.argv[1])
    os.set_inheritable(results, False)
    with socket.socket(fileno=os.dup(0)) as orders:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if "trusted" in sys.argv:
            _die_with_parent()
        for name in filter(None, sys.argv[2].split(",")):
            with contextlib.suppress(ImportError):
                __import__(name)
        frame.write(results, frame.READY, b"{}")
        kept: dict[str, Any] = {}
        while True:
            order, fds = _receive(orders)
            if order is None:
                os._exit(0)
            kind, answer, tables = _serve(order, fds, kept, results)
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except BaseException:  # noqa: S110 - the user's stream, if they put one there
                    pass
            frame.write(results, kind, answer)
            for body in tables:
                frame.write(results, frame.TABLE, body)


def _receive(orders: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next order and the memory of its fresh tables; None when the runner is gone."""
    fds = array.array("i")
    said, ancillary, _flags, _sender = orders.recvmsg(16, socket.CMSG_SPACE((frame.TABLES_MAX + 1) * 4))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if said != frame.ORDER or not fds:
        return None, []
    order: dict[str, Any] = json.loads(bytes(_mapped(fds[0])))
    return order, list(fds[1:])


def _mapped(fd: int) -> memoryview:
    size = os.fstat(fd).st_size
    whole = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    os.close(fd)
    return memoryview(whole)


def _serve(
    order: dict[str, Any], fds: list[int], kept: dict[str, Any], results: int
) -> tuple[bytes, bytes, list[bytes]]:
    def say(progress: dict[str, Any]) -> None:
        body = json.dumps(plain(progress)).encode()
        if len(body) > frame.PROGRESS_BYTES_MAX:
            raise ValueError(f"progress of {len(body)} bytes; at most {frame.PROGRESS_BYTES_MAX}")
        frame.write(results, frame.PROGRESS, body)

    try:
        _bound(order)
        tables = _tables(order, fds, kept)
        result, made = task.load(order["task"])(order["request"], tables, say)
        packed = [(str(name), _packed(table)) for name, table in made.items()]
        answer = {"result": plain(result), "tables": [name for name, _ in packed]}
        return frame.ANSWER, json.dumps(answer).encode(), [body for _, body in packed]
    except BaseException as error:
        return frame.FAILED, json.dumps(user.told(error)).encode(), []


def _bound(order: dict[str, Any]) -> None:
    """Limits of the system, beside the runner's own: the second line where there is no control group."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = math.ceil(used.ru_utime + used.ru_stime + order["cpu_s"])
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_DATA, order["memory_bytes"]),
        (resource.RLIMIT_NPROC, order["pids"]),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_MEMLOCK, 1 << 16),
    ):
        if kind == resource.RLIMIT_NPROC and order["trusted"]:
            continue  # it would count all that this user runs on the machine
        _soft, hard = resource.getrlimit(kind)
        last = value
        if kind == resource.RLIMIT_CPU:
            # It counts from the start: a guest that is asked again needs more each time.
            last = value + 1 if order["once"] else resource.RLIM_INFINITY
        if hard != resource.RLIM_INFINITY:
            value, last = min(value, hard), hard if last == resource.RLIM_INFINITY else min(last, hard)
        resource.setrlimit(kind, (value, last))


def _tables(order: dict[str, Any], fds: list[int], kept: dict[str, Any]) -> dict[str, Any]:
    """The order's tables by name: fresh ones are mapped, the others are those of an earlier order."""
    if not order["tables"]:
        return {}
    import pyarrow as pa

    fresh = iter(fds)
    for _name, key, is_fresh in order["tables"]:
        if is_fresh:
            kept[key] = pa.ipc.open_stream(pa.py_buffer(_mapped(next(fresh)))).read_all()
    wanted = {name: kept[key] for name, key, _ in order["tables"]}
    for key in set(kept) - {key for _, key, _ in order["tables"]}:
        del kept[key]
    return wanted


def _packed(table: Any) -> bytes:
    import pyarrow as pa

    if not isinstance(table, pa.Table):
        raise TypeError(f"a table of the answer is {type(table).__name__}, not pyarrow.Table")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON has it: NaN and infinities are null, numpy's numbers are numbers."""
    if depth > DEPTH_MAX:
        raise ValueError(f"the result is nested deeper than {DEPTH_MAX}")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return {str(key): plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one, depth + 1) for one in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), depth + 1)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if type(value).__name__ == "Decimal":
        return str(value)
    raise TypeError(f"a result cannot hold {type(value).__name__}; use numbers, text, lists and dicts")


def _die_with_parent() -> None:
    """Without a sandbox nothing else ends it when its runner is killed."""
    import ctypes
    import signal

    set_parent_death_signal = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
