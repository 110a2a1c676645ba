"""What the supervisor holds on to when something around it fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tidemill import control
from tidemill.home import Home
from tidemill.log import Log
from tidemill.model.collector import Collector
from tidemill.supervisor import plan
from tidemill.supervisor.child import Child
from tidemill.supervisor.supervisor import Steady, Supervisor


def test_a_database_that_fails_for_a_while_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = [Collector("kraken", "kraken")], [Collector("binance", "binance")]
    answers = [first, OSError("disk I/O error"), OSError("disk I/O error"), second, OSError("disk I/O error")]

    def read() -> list[Collector]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wanted = Steady(read, Log("supervisor"))
    assert [wanted(), wanted()] == [first, first]
    # Said once for as long as it lasts, and again when it comes again.
    assert [json.loads(line)["cause"] for line in capsys.readouterr().err.splitlines()] == [
        "OSError: disk I/O error"
    ]
    assert [wanted(), wanted()] == [second, second]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_nothing_starts_on_what_was_never_read() -> None:
    def read() -> list[Collector]:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        Steady(read, Log("supervisor"))


def test_who_keeps_data_and_does_not_end_in_order_is_named(tmp_path: Path) -> None:
    async def test() -> list[str]:
        home = Home.at(tmp_path)
        home.create()
        supervisor = Supervisor(home, plan.Settings(str(home.path)), lambda: lambda: [])
        leaving = (
            "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit({})); print(flush=True);"
        )
        for name, code in (("collector-a", 0), ("collector-b", 1), ("recorder", 1), ("relay", 1)):
            child = Child(
                name, home.log(name), [sys.executable, "-c", leaving.format(code) + "sys.stdin.read()"]
            )
            supervisor._children[name] = child
            await child.reconcile(1)
        dead = Child("collector-c", home.log("collector-c"), [sys.executable, "-c", "raise SystemExit(2)"])
        supervisor._children["collector-c"] = dead
        await dead.reconcile(1)
        while not all(c.log.read_bytes() for c in supervisor._children.values() if c is not dead):
            await asyncio.sleep(0.05)
        assert dead.process
        await dead.process.wait()
        return await supervisor._stop_all()

    assert asyncio.run(test()) == ["collector-b", "collector-c", "recorder"]


def test_a_collector_without_its_key_is_left_alone_and_the_status_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real collector, started by the real supervisor; nothing else of the platform."""
    for name in ("ALPACA_API_KEY", "ALPACA_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    every = plan.parts

    def only(*given: Any) -> dict[str, list[str]]:
        found = {name: argv for name, argv in every(*given).items() if name == "collector-alpaca"}
        return {"service": [sys.executable, "-c", "import sys; sys.stdin.read()"], **found}

    monkeypatch.setattr(plan, "parts", only)

    async def test() -> None:
        home = Home.at(tmp_path)
        home.create()
        wanted = [Collector("alpaca", "alpaca", ("AAPL",))]
        supervisor = Supervisor(home, plan.Settings(str(home.path), hung_s=0), lambda: lambda: wanted)
        running = asyncio.create_task(supervisor.run())

        async def seen(starts: int) -> dict[str, Any]:
            log = home.log("collector-alpaca")
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(control.Unreachable, OSError):
                        status = await control.ask(home.control("supervisor"), "status")
                        rows = {row["part"]: row for row in status["parts"]}
                        row = rows.get("collector-alpaca", {})
                        if row.get("error") and log.read_text().count("credential_missing") == starts:
                            return dict(row)
                    await asyncio.sleep(0.05)

        row = await seen(1)
        assert row["error"]["code"] == "credential_missing"
        assert "ALPACA_API_KEY" in row["error"]["message"]
        assert "keyring set" in row["error"]["hint"]
        assert (row["state"], row["restarts"], row["retry_in_s"]) == ("failed", 0, None)
        lacks = await control.ask(home.control("supervisor"), "lacks", provider="alpaca", timeout_s=10)
        assert lacks["error"]["code"] == "credential_missing"
        await asyncio.sleep(1.2)  # twice what it takes to look again: it is not started
        assert (await seen(1))["restarts"] == 0
        await control.ask(home.control("supervisor"), "reconcile")  # somebody asks
        assert (await seen(2))["restarts"] == 0
        supervisor.stop()
        await running

    asyncio.run(test())
