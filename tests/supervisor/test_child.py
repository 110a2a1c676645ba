"""A child process: started, restarted with backoff, drained, killed when it will not go, gone with us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tidemill.errors import AuthError
from tidemill.supervisor.child import Child, same_process


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


SLEEPER = python("import sys; sys.stdin.read()")
STUBBORN = python(
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); sys.stdin.read()"
)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child("part", tmp_path / "part.jsonl")


async def until(condition: Callable[[], object], child: Child | None = None, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            if child:
                await child.reconcile(1)
            await asyncio.sleep(0.01)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_starts_and_drains(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = SLEEPER
        await child.reconcile(1)
        assert child.pid
        assert child.state == "running"
        await child.stop(5)
        assert child.pid is None
        assert child.last_exit == -signal.SIGTERM

    run(test)


def test_is_restarted_after_a_kill_and_waits_longer_each_time(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = python("raise SystemExit(3)")
        waits = []
        for n in (1, 2, 3):
            await until(lambda n=n: child.restarts == n, child)
            waits.append(child.retry_at - time.monotonic())
            assert child.last_exit == 3
            assert child.state == "failed"
        assert waits[0] < waits[1] < waits[2] <= 0.5
        assert "exit code 3" in child.log.read_text()
        await child.stop(1)

    run(test)


def test_one_without_a_key_is_not_started_again_until_somebody_asks(child: Child) -> None:
    said = AuthError("credential_missing", "no key", hint="set it").as_dict()
    tell = f"import json; print(json.dumps({{'level': 'error', 'error': {said!r}}}), flush=True);"

    async def test() -> None:
        child.wanted_argv = python(f"{tell} raise SystemExit(4)")
        await until(lambda: child.state == "failed", child)
        for _ in range(30):
            await child.reconcile(1)
            await asyncio.sleep(0.01)
        shown = child.describe()
        assert (shown["restarts"], shown["pid"], shown["retry_in_s"]) == (0, None, None)
        assert shown["error"] == said
        assert child.log.read_text().count("credential_missing") == 1
        child.retry()
        await until(lambda: child.log.read_text().count("credential_missing") == 2, child)
        await until(lambda: child.state == "failed", child)
        child.wanted_argv = SLEEPER  # another command line may have what the first one lacked
        await until(lambda: child.state == "running", child)
        assert child.describe()["error"] is None
        await child.stop(5)

    run(test)


def test_one_whose_configuration_is_at_fault_is_tried_again_and_says_why(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = python("raise SystemExit(3)")
        await until(lambda: child.restarts == 2, child)
        error = child.describe()["error"]
        assert error is None or (error["code"], error["category"]) == ("part_refused", "config")
        await until(lambda: child.describe()["error"] is not None, child)
        await child.stop(1)

    run(test)


def test_a_new_command_line_replaces_the_process(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = SLEEPER
        await child.reconcile(1)
        first = child.pid
        child.wanted_argv = [*SLEEPER, "again"]
        await child.reconcile(5)
        assert child.pid not in (None, first)
        assert child.restarts == 0
        await child.stop(5)

    run(test)


def test_other_instruments_do_not_restart_a_collector() -> None:
    running = ["collector", "kraken", "--instruments", "BTC-USD", "--url", "ws://a"]
    assert same_process(running, ["collector", "kraken", "--instruments", "ETH-USD", "--url", "ws://a"])
    assert not same_process(running, ["collector", "kraken", "--instruments", "BTC-USD", "--url", "ws://b"])
    assert not same_process(running, None)
    default = ["collector", "kraken", "--url", "ws://a"]
    assert same_process(default, running)
    assert not same_process(running, default)  # `configure` has no word for a venue's default set


COLLECTOR = """
import asyncio, sys
from pathlib import Path
from tidemill import control

told = sys.argv[sys.argv.index("--instruments") + 1].split(",")
answers = [{"error": {"code": "busy", "retryable": True}}]

async def configure(request):
    print("asked", *request["instruments"], flush=True)
    return answers.pop() if answers else {"instruments": request["instruments"]}

async def main():
    await asyncio.sleep(0.3)  # as long as nobody can be told
    await control.Server(Path(sys.argv[1]), {"configure": configure}).start()
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_collector_is_told_of_other_instruments_until_it_has_heard(child: Child, tmp_path: Path) -> None:
    def wanted(*names: str) -> list[str]:
        return [*python(COLLECTOR), str(child.control), "--instruments", ",".join(names)]

    async def test() -> None:
        child.control = tmp_path / "c.ctl"
        child.wanted_argv = wanted("BTC-USD")
        await child.reconcile(1)
        pid = child.pid
        child.wanted_argv = wanted("BTC-USD", "ETH-USD")
        await child.reconcile(1)
        assert child.argv == wanted("BTC-USD")  # it was not there yet
        await until(lambda: child.argv == child.wanted_argv, child)
        asked = child.log.read_text().splitlines()
        assert asked == ["asked BTC-USD ETH-USD"] * 2  # busy the first time
        await child.reconcile(1)
        assert child.log.read_text().splitlines() == asked
        assert (child.pid, child.restarts) == (pid, 0)
        await child.stop(5)

    run(test)


def test_one_that_ignores_the_request_is_killed(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = STUBBORN
        await child.reconcile(1)
        await until(lambda: "ready" in child.log.read_text())
        await child.stop(0.2)
        assert child.last_exit == -signal.SIGKILL
        assert "was killed" in child.log.read_text()

    run(test)


def test_no_orphan_stays_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from tidemill.supervisor.child import Child
async def main():
    child = Child("part", Path({str(tmp_path / "log.jsonl")!r}))
    child.wanted_argv = {SLEEPER!r}
    await child.reconcile(1)
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        pid = int(supervisor.stdout.readline())
        os.kill(pid, 0)
        supervisor.kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} outlived its supervisor")


def test_what_cannot_be_started_is_tried_again_and_not_in_a_loop(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = ["/nonexistent/program"]
        for failures in (1, 2, 3):
            await child.reconcile(1)
            assert (child.failures, child.state) == (failures, "failed")
            await child.reconcile(1)  # too early: nothing happens
            assert child.failures == failures
            child.retry_at = 0
        assert child.log.read_text().count("No such file or directory") == 3
        child.wanted_argv = SLEEPER
        await child.reconcile(1)
        assert child.state == "running"
        await child.stop(5)

    run(test)


def test_a_part_whose_log_cannot_be_written_runs_without_one(tmp_path: Path) -> None:
    async def test() -> None:
        child = Child("part", tmp_path / "nowhere" / "part.jsonl", SLEEPER)
        await child.reconcile(1)
        assert child.state == "running"
        await child.stop(5)

    run(test)


def test_only_a_part_that_answered_before_can_hang(child: Child) -> None:
    async def test() -> None:
        child.wanted_argv = SLEEPER
        await child.reconcile(1)
        pid = child.pid
        for _ in range(5):
            child.missed(3, 60)  # still starting
        assert child.pid == pid
        child.heard()
        child.missed(3, 60)
        child.missed(3, 60)
        child.heard()  # it was only busy
        child.missed(3, 60)
        child.missed(3, 60)
        assert child.pid == pid
        child.missed(3, 60)
        await until(lambda: child.pid not in (None, pid), child)
        assert child.restarts == 1
        assert "has not answered for 60 s" in child.log.read_text()
        await child.stop(5)

    run(test)
