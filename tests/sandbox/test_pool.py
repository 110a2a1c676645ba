"""Runs, sessions and pools: answers, limits, errors, owners kept apart, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from tests.sandbox.outside import ROOT, children
from tidemill import errors, sandbox

TABLE = pa.table({"close": np.arange(1000.0), "end": np.arange(1000)})
# Not pandas: it takes longer than all the rest.
MODULES = ("pyarrow.compute", "tidemill._native")
SUM = """
import pyarrow.compute as pc
import tidemill._native
calls = 0
def main(tables, times=1):
    global calls
    calls += 1
    print("call", calls)
    close = pc.sum(tables["bars"]["close"]).as_py() * times
    value = {"sum": close, "calls": calls, "nan": float("nan")}
    return value, {"out": tables["bars"].slice(0, 3)}
"""


@pytest.fixture(scope="module")
def pool(isolated: sandbox.Isolation) -> Iterator[sandbox.Pool]:
    with sandbox.Pool(1, modules=MODULES) as made:
        yield made


def failing(source: str, **limits: float) -> errors.TidemillError:
    with pytest.raises(errors.TidemillError) as caught:
        sandbox.run("call", {"source": source, "name": "mine.py"}, {}, limits=sandbox.Limits(**limits))  # type: ignore[arg-type]
    return caught.value


def test_a_run_answers_with_json_tables_and_its_log(isolated: sandbox.Isolation) -> None:
    answer = sandbox.run("call", {"source": SUM, "args": {"times": 2}}, {"bars": TABLE})
    assert answer.result == {"value": {"sum": 999000.0, "calls": 1, "nan": None}}
    assert answer.tables["out"].equals(TABLE.slice(0, 3))
    assert answer.log == "call 1\n"


def test_a_failure_is_told_by_the_codes_own_lines(isolated: sandbox.Isolation) -> None:
    error = failing("import json\n\ndef main(tables):\n    print('before')\n    return json.loads('{')")
    assert (error.code, error.category) == ("code_failed", "usage")
    assert "mine.py:5 in main: JSONDecodeError" in error.message
    assert "json/" not in str(error)
    assert sandbox.log_of(error) == "before\n"


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def main(tables:\n    return 1", "mine.py:1:9"),
        ("x = 1", "no function 'main'"),
        ("def main(tables):\n    return b'bytes'", "a result cannot hold bytes"),
        ("def main(tables):\n    return 0, {'t': 5}", "not pyarrow.Table"),
        ("raise SystemExit(4)", "mine.py:1 in <module>: SystemExit: 4"),
        ("def main(tables):\n    main(tables)", "RecursionError"),
        (
            "class Odd(Exception):\n    def __str__(self): raise Odd\ndef main(tables): raise Odd",
            "cannot be shown",
        ),
    ],
)
def test_what_is_wrong_is_said(isolated: sandbox.Isolation, source: str, word: str) -> None:
    error = failing(source)
    assert error.code in ("code_failed", "code_invalid")
    assert word in str(error)


def test_progress_and_cancelling(isolated: sandbox.Isolation) -> None:
    said: list[dict[str, object]] = []
    with pytest.raises(errors.CancelledError) as caught:
        sandbox.run(
            "call",
            {"source": "import time\ndef main(tables):\n    say({'done': 3})\n    time.sleep(30)"},
            {},
            progress=said.append,
            cancel=lambda: bool(said),
        )
    assert caught.value.code == "cancelled"
    assert said == [{"done": 3}]


def test_a_task_that_is_none_and_a_callers_own_error(isolated: sandbox.Isolation) -> None:
    with pytest.raises(errors.UsageError, match="no task is named 'os'"):
        sandbox.run("os", {}, {})
    before = children(os.getpid(), deep=False)

    def broken(_said: object) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        sandbox.run(
            "call", {"source": "import time\ndef main(t):\n say({})\n time.sleep(9)"}, {}, progress=broken
        )
    assert children(os.getpid(), deep=False) <= before


def test_a_session_keeps_its_module_and_its_tables(pool: sandbox.Pool) -> None:
    with pool.lease("me", SUM) as session:
        for number in range(1, 6):
            answer = session.run("call", {"source": SUM, "args": {"times": number}}, {"bars": TABLE})
            assert answer.result["value"]["sum"] == 499500.0 * number
            assert answer.result["value"]["calls"] == number
            assert answer.log == f"call {number}\n"
        other = TABLE.slice(0, 10)
        assert session.run("call", {"source": SUM}, {"bars": other}).result["value"]["sum"] == 45.0
        with pytest.raises(errors.ConflictError, match="another source"):
            session.run("call", {"source": SUM + "\n"}, {"bars": TABLE})
    assert not session.alive


def test_a_session_survives_an_exception_and_no_more(pool: sandbox.Pool) -> None:
    source = (
        "import time\ndef main(tables, how):\n    if how == 'raise': raise ValueError\n"
        "    if how == 'sleep': time.sleep(60)\n    return how"
    )
    limits = sandbox.Limits(wall_s=0.5)
    with pool.lease("me", source, limits=limits) as session:

        def ask(how: str) -> object:
            return session.run("call", {"source": source, "args": {"how": how}}, {}).result["value"]

        assert ask("one") == "one"
        with pytest.raises(errors.UsageError, match="ValueError"):
            ask("raise")
        assert ask("two") == "two"
        with pytest.raises(errors.DeadlineError):
            ask("sleep")
        assert not session.alive
        with pytest.raises(errors.ConflictError, match="gone"):
            ask("three")


def test_two_owners_see_nothing_of_each_other(pool: sandbox.Pool) -> None:
    leave = """
import builtins, os, socket, sys
def main(tables):
    for folder in ("/tmp", "/dev/shm"):
        with open(folder + "/left", "w") as file: file.write("secret")
    builtins.left = sys.left = "secret"
    global line
    line = socket.socket(socket.AF_UNIX); line.bind("\\0left"); line.listen()
    return os.getpid()
"""
    look = """
import builtins, os, socket, sys
def main(tables):
    seen = [f for f in ("/tmp/left", "/dev/shm/left") if os.path.exists(f)]
    seen += [n for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]
    seen += [m for m in (builtins, sys) if hasattr(m, "left")]
    try:
        socket.socket(socket.AF_UNIX).connect("\\0left")
    except OSError:
        return seen
    return seen + ["abstract"]
"""
    with pool.lease("one", leave) as one, pool.lease("two", look) as two:
        assert one.run("call", {"source": leave}, {}).result["value"] == 1
        assert two.run("call", {"source": look}, {}).result["value"] == []
    with pool.lease("two", look) as again:
        assert again.run("call", {"source": look}, {}).result["value"] == []


def test_a_leased_guest_is_replaced(pool: sandbox.Pool) -> None:
    assert pool.wait()
    with pool.lease("me", "def main(t): return 1") as session:
        assert session.alive
        assert pool.wait()


def test_the_same_code_gives_the_same_answer(isolated: sandbox.Isolation) -> None:
    source = "def main(tables):\n    return [hash('x'), list({'a', 'b', 'c', 'd'})]"
    first, second = (sandbox.run("call", {"source": source}, {}).result for _ in range(2))
    assert first == second


def test_a_guest_outlives_the_thread_that_asked_for_it(isolated: sandbox.Isolation) -> None:
    made: list[sandbox.Pool] = []
    thread = threading.Thread(target=lambda: made.append(sandbox.Pool(1, modules=MODULES)))
    thread.start()
    thread.join()
    with made[0] as pool:
        pool.wait()
        time.sleep(0.1)
        with pool.lease("me", "def main(t): return 1") as session:
            assert session.run("call", {"source": "def main(t): return 1"}, {}).result == {"value": 1}


RUNNER = """
import sys, threading
from tidemill import sandbox
source = "import os, time\\ndef main(tables):\\n    for _ in range(3):\\n        if os.fork() == 0:\\n            os.setsid()\\n            time.sleep(60)\\n    say({})\\n    time.sleep(60)"
def run():
    sandbox.run("call", {"source": source}, {}, progress=lambda _: sys.stdout.write("running\\n") and sys.stdout.flush())
for _ in range(GUESTS):
    threading.Thread(target=run).start()
"""  # noqa: E501
GUESTS = 5


def killed(count: int) -> None:
    """Kills so many runners, each in the midst of five runs; each time all that they started goes."""
    for _ in range(count):
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER.replace("GUESTS", str(GUESTS))], stdout=subprocess.PIPE, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
        assert runner.stdout is not None
        assert [runner.stdout.readline() for _ in range(GUESTS)] == [b"running\n"] * GUESTS
        below = children(runner.pid)
        assert len(below) >= 5 * GUESTS  # bubblewrap, the guest, its three
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        runner.stdout.close()
        deadline = time.monotonic() + 5
        while (left := {pid for pid in below if _lives(pid)}) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left == set()


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_kill_9_of_the_runner_leaves_no_process(isolated: sandbox.Isolation) -> None:
    killed(4)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_kill_9_of_the_runner_leaves_no_process_in_200(isolated: sandbox.Isolation) -> None:
    killed(40)
