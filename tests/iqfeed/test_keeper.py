"""The watchdog over a real program: the simulator as IQConnect, killed, stopped, crashing, logged out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.iqfeed import environment
from tests.system.harness import until
from tidemill import control
from tidemill.cli.net import free_block
from tidemill.home import Home
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.connection import get_history_connection

PASSWORD = "hunter2-is-no-password"
LOGIN = {"DTN_PRODUCT_ID": "TIDEMILL_TEST", "DTN_LOGIN": "474614", "DTN_PASSWORD": PASSWORD}
QUICK = (
    "--silence-s", "1.6", "--retry-s", "0.1", "--failures", "2", "--pause-s", "0.05", "--ready-s", "20"
)  # fmt: skip


class Keeper:
    """`tidemill iqfeed keep-alive` as a process, over a simulator that it starts itself."""

    def __init__(self, path: Path, *words: str, command: str | None = None, **variables: str) -> None:
        self.home = path / "home"
        self.simulated = path / "sim"
        base = free_block((9, 12, 13, 14, 15), str(path))
        self.control = f"http://127.0.0.1:{base + 9}"
        self.address = Address("127.0.0.1", base + 12, base + 13, base + 14, base + 15)
        self.log = path / "keeper.log"
        self.simulated.mkdir(parents=True)
        # Each start is one that knows nothing of the last.
        simulator = shlex.join(
            [
                "sh", "-c",
                f'exec {shlex.quote(sys.executable)} -m tidemill sim --providers iqfeed --port-base {base}'
                f' --home "$(mktemp -d {shlex.quote(str(self.simulated))}/XXXXXX)"',
            ]
        )  # fmt: skip
        self.words = [
            sys.executable, "-m", "tidemill", "iqfeed", "keep-alive", "--home", str(self.home),
            "--command", simulator if command is None else command, "--url", self.address.url,
            *QUICK, *words,
        ]  # fmt: skip
        self.environment = {**environment(), "XDG_STATE_HOME": str(path / "state"), **variables}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Keeper:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        return self

    @property
    def status(self) -> dict[str, Any]:
        assert self.process
        try:
            said = control.ask_now(Home(self.home).control("iqfeed"), "status", timeout_s=5)
        except control.Unreachable:
            return {}
        return said if said["pid"] == self.process.pid else {}

    def is_live(self) -> dict[str, Any]:
        said = self.status
        return said if said.get("state") == "live" else {}

    def live(self) -> int:
        """The pid of IQConnect, once it is connected."""
        pid = until(self.is_live, f"a live IQConnect\n{self.tale()}", 40)["iqconnect"]["pid"]
        assert isinstance(pid, int)
        return pid

    def error(self) -> str:
        return str((self.status.get("error") or {}).get("code"))

    def fault(self, name: str, **fields: Any) -> None:
        body = json.dumps({"venue": "sim-iqfeed", "fault": name, **fields}).encode()
        with urllib.request.urlopen(f"{self.control}/faults", data=body, timeout=5) as answer:
            assert answer.status == 200

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def tale(self) -> str:
        return self.log.read_text()[-3_000:] if self.log.exists() else ""

    def end(self) -> None:
        """Whatever state it is in, nothing of it stays."""
        pids = []
        with contextlib.suppress(OSError, ValueError):
            pids.append(json.loads((self.home / "run" / "iqfeed.json").read_text())["pid"])
        if self.process and self.process.poll() is None:
            self.kill()
        for pid in pids:
            if pid and is_ours(pid, self.simulated):
                os.kill(pid, signal.SIGKILL)


def is_ours(pid: int, home: Path) -> bool:
    with contextlib.suppress(OSError):
        return str(home).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@contextlib.contextmanager
def keeping(path: Path, *words: str, **options: Any) -> Iterator[Keeper]:
    keeper = Keeper(path, *words, **options)
    try:
        yield keeper.start()
    finally:
        keeper.end()


def answers(keeper: Keeper) -> bool:
    async def ask() -> bool:
        opened = await get_history_connection(keeper.address.url)
        if opened:
            await opened.close()
        return opened is not None

    return asyncio.run(ask())


def test_killed_it_comes_back_and_a_second_keeper_is_refused(tmp_path: Path) -> None:
    with keeping(tmp_path, **LOGIN) as keeper:
        first = keeper.live()
        assert answers(keeper)
        for home in (keeper.home, tmp_path / "other"):
            words = [str(home) if word == str(keeper.home) else word for word in keeper.words]
            second = subprocess.run(words, env=keeper.environment, capture_output=True, text=True, timeout=30)
            assert second.returncode == 6, second.stderr
            assert "is held by process" in " ".join(second.stderr.split())
        os.kill(first, signal.SIGKILL)
        until(lambda: keeper.is_live().get("iqconnect", {}).get("pid", first) != first, keeper.tale(), 30)
        said = keeper.status
        assert said["metrics"]["starts"] == 2
        assert answers(keeper)
        text = control.ask_now(Home(keeper.home).control("iqfeed"), "metrics")["text"]
        assert "tidemill_iqfeed_up 1\n" in text
        assert "tidemill_iqfeed_starts_total 2\n" in text
        shown = subprocess.run(
            [sys.executable, "-m", "tidemill", "iqfeed", "status", "--home", str(keeper.home), "--json"],
            env=keeper.environment, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)["iqconnect"]["connected"]
        pid = said["iqconnect"]["pid"]
        assert keeper.stop() == 0
        assert not is_ours(pid, keeper.simulated), "what it started ends with it"
        assert not Home(keeper.home).control("iqfeed").exists()


def test_hanging_it_is_started_anew(tmp_path: Path) -> None:
    with keeping(tmp_path) as keeper:
        first = keeper.live()
        os.kill(first, signal.SIGSTOP)
        begun = time.monotonic()
        until(lambda: keeper.is_live().get("iqconnect", {}).get("pid", first) != first, keeper.tale(), 40)
        assert time.monotonic() - begun < 30
        assert not is_ours(first, keeper.simulated)
        assert keeper.status["metrics"]["failures"] >= 2


def test_a_crash_loop_ends_with_the_budget(tmp_path: Path) -> None:
    with keeping(tmp_path, "--starts", "3", command="/bin/false") as keeper:
        until(lambda: keeper.error() == "iqconnect_crash_loop", keeper.tale(), 30)
        said = keeper.status
        assert said["state"] == "blocked"
        assert said["metrics"]["starts"] == 3
        assert said["iqconnect"]["next_start_in_s"] > 500
        # Nor does a keeper that is itself started again spend more.
        keeper.kill()
        keeper.start()
        until(lambda: keeper.error() == "iqconnect_crash_loop", keeper.tale(), 30)
        assert keeper.status["metrics"]["starts"] == 0
        assert keeper.stop() == 0


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("no-such-program --x", "no-such-program"),
        ("/bin/echo /no/such/iqconnect.exe", "/no/such/iqconnect.exe"),
        ("", "xvfb-run"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, command: str, missing: str) -> None:
    with keeping(tmp_path, command=command, PATH="/nonexistent", TIDEMILL_IQCONNECT="") as keeper:
        until(lambda: keeper.status.get("metrics", {}).get("attempts", 0) >= 2, keeper.tale(), 30)
        said = keeper.status
        assert said["error"]["code"] == "iqconnect_missing"
        assert missing in said["error"]["message"]
        assert "--command" in said["error"]["hint"]
        assert said["state"] == "blocked"
        assert said["metrics"]["starts"] == 0
        assert "(attempt 2)" in keeper.log.read_text()
        assert keeper.stop() == 0


def test_it_logs_in_and_no_secret_is_told(tmp_path: Path) -> None:
    with keeping(tmp_path, "--connect-after-s", "1", "--restart-after-s", "30", **LOGIN) as keeper:
        pid = keeper.live()
        keeper.fault("logout")
        until(lambda: keeper.status.get("metrics", {}).get("logins") == 1 and keeper.is_live(), "a login", 20)
        keeper.fault("expired", seconds=60)
        until(lambda: keeper.error() == "iqfeed_login_refused", keeper.tale(), 20)
        assert keeper.status["state"] == "blocked"
        assert keeper.status["metrics"]["starts"] == 1, "no login loop"
        command, variables = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        said = json.dumps(keeper.status) + keeper.log.read_text()
        said += "".join(file.read_text() for file in (keeper.home / "logs").iterdir())
        for secret in LOGIN.values():
            assert secret not in said
            assert secret.encode() not in command + variables
        assert keeper.stop() == 0


@pytest.mark.soak
def test_without_dtn_for_long_it_is_started_anew(tmp_path: Path) -> None:
    with keeping(tmp_path, "--connect-after-s", "0.5", "--restart-after-s", "2") as keeper:
        first = keeper.live()
        keeper.fault("disconnected", seconds=600)
        until(lambda: keeper.error() == "iqfeed_disconnected", keeper.tale(), 20)
        until(lambda: keeper.is_live().get("iqconnect", {}).get("pid", first) != first, keeper.tale(), 30)
        assert keeper.status["metrics"]["connects"] >= 1


@pytest.mark.soak
def test_it_is_held_open_and_taken_over(tmp_path: Path) -> None:
    """IQConnect ends with its last client: the keeper is one. A killed keeper leaves it to the next."""
    with keeping(tmp_path) as keeper:
        first = keeper.live()
        keeper.fault("leave")
        assert answers(keeper)
        time.sleep(0.6)
        assert answers(keeper), "others come and go"
        keeper.kill()
        time.sleep(0.8)  # the simulator closes its ports for good now, and its process stays
        assert is_ours(first, keeper.simulated)
        keeper.start()
        assert keeper.live() != first
        assert not is_ours(first, keeper.simulated), "the next one ends what the last one had started"
