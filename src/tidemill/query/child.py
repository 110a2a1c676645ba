"""The process in which queries run, one after the other: an order per line of stdin, an answer on stdout.

It leaves at end-of-file (whoever asked is gone, whatever runs), and when nobody has asked for a minute. An
answer is a line of JSON, and the bytes that the line counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.query.session import Session

IDLE_S = 60.0
PREVIEW_ROWS = 1_000


def main() -> int:
    """Serves until it is left alone."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), name="listen", daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")
    from tidemill.query import encode, session  # noqa: F401 - the second that they take is not the query's

    _say(out, {"ready": True})
    sessions: dict[str, Session] = {}
    while True:
        try:
            order = orders.get(timeout=IDLE_S)
        except queue.Empty:
            os._exit(0)
        header, body = _answer(order, sessions)
        _say(out, header, body)


def _listen(orders: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    os._exit(1)


def _answer(order: dict[str, Any], sessions: dict[str, Session]) -> tuple[dict[str, Any], bytes]:
    from tidemill import errors
    from tidemill.query.limit import Limits
    from tidemill.query.session import Session as Made

    limits = Limits(**order["limits"])
    _bound(limits.process_bytes)
    try:
        session = sessions.get(order["home"]) or Made(Path(order["home"]), limits)
        sessions[order["home"]] = session  # it holds the tables' logs, which take long to read anew
        session.limits = limits
        return _run(session, order)
    except errors.TidemillError as error:
        return {"error": error.as_dict(), "status": error.http_status}, b""
    except MemoryError:
        known: errors.TidemillError = errors.ResourceError(
            "query_memory", "the answer does not fit in memory", hint="ask for fewer rows", http_status=507
        )
        return {"error": known.as_dict(), "status": known.http_status}, b""
    except Exception as error:
        known = errors.InternalError("internal", f"{type(error).__name__}: {error}"[:1000])
        return {"error": known.as_dict(), "status": known.http_status}, b""


def _run(session: Session, order: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from tidemill.query import encode

    started = time.monotonic()
    limit, form = int(order["limit"]), str(order["format"])
    if form == "none":
        with session.run(order["sql"], 0) as bound:
            return {"facts": {"names": bound.schema.names, "types": bound.types, "reads": bound.reads}}, b""
    if order["preview"]:
        facts = _preview(session, order["sql"])
        return {"facts": {**facts, "elapsed_ms": _since(started)}}, b""
    table, truncated, result = session.fetch(order["sql"], limit)
    facts = {
        "names": table.column_names, "types": result.types, "rows": len(table), "truncated": truncated,
        "reads": result.reads, "elapsed_ms": _since(started),
    }  # fmt: skip
    return {"facts": facts}, encode.encode(table, facts, form, order["time"])


def _preview(session: Session, sql: str) -> dict[str, Any]:
    """How large the whole answer is: its rows are counted, its bytes are those of the first rows times as
    many."""
    some, more, result = session.fetch(sql, PREVIEW_ROWS)
    rows = len(some)
    if more:
        asked = sql.strip().rstrip(";")
        counted, _, _ = session.fetch(f"SELECT count(*) FROM (\n{asked}\n)", 1)  # noqa: S608 - it was read
        rows = int(counted.column(0)[0].as_py())
    size = some.nbytes if not more else round(some.nbytes / max(1, len(some)) * rows)
    return {
        "names": some.column_names, "types": result.types, "rows": rows, "bytes": size,
        "reads": result.reads,
    }  # fmt: skip


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _bound(process_bytes: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (process_bytes * 2, process_bytes * 2))


def _say(out: int, header: dict[str, Any], body: bytes = b"") -> None:
    data = memoryview(json.dumps({**header, "bytes": len(body)}).encode() + b"\n" + body)
    while data:
        data = data[os.write(out, data) :]


if __name__ == "__main__":
    sys.exit(main())
