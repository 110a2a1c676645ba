"""The lab over REST: told, started, ended, and never a page of the app."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.service.conftest import Service
from tidemill.home import Home, Lock
from tidemill.service import lab as schema

pytestmark = pytest.mark.timeout(300)
LAB = "/api/v1/lab"
START_S = 200


def until(service: Service, wanted: str) -> dict[str, Any]:
    deadline = time.monotonic() + START_S
    while True:
        told: dict[str, Any] = service.client.get(LAB).json()
        schema.LabTold.model_validate(told)
        if told["state"] == wanted:
            return told
        assert told["state"] == "starting", told
        assert time.monotonic() < deadline, told
        time.sleep(0.2)


def test_it_is_started_told_and_ended(home: Home, start: Callable[..., Service]) -> None:
    service = start()
    told = until(service, "stopped")
    assert told["kinds"] == ["jupyter", "marimo"]
    assert len(told["notebooks"]) == 10
    assert not any(one["url"] for one in told["notebooks"])
    assert service.stranger.get(LAB).status_code == 401
    assert service.stranger.post(LAB).status_code == 401

    answer = service.client.post(LAB)
    assert answer.status_code == 202
    assert answer.json()["state"] == "starting"
    assert service.client.post(LAB).status_code == 202  # the same one
    refused = service.client.post(LAB, json={"kind": "marimo"})
    assert (refused.status_code, refused.json()["code"]) == (409, "lab_running")
    told = until(service, "running")
    assert (told["kind"], told["by"]) == ("jupyter", "platform")
    assert told["port"] != service.port
    with httpx.Client(timeout=60, trust_env=False, follow_redirects=True) as tab:
        one = next(one for one in told["notebooks"] if one["name"] == "3-event-study.ipynb")
        assert tab.get(one["url"]).status_code == 200
        assert tab.get(one["url"].split("?")[0].replace("lab/tree", "api/contents")).status_code == 200
    token = told["url"].partition("token=")[2]
    assert len(token) == 64

    # What runs in its tab has this host's cookies and still gets nothing of the app.
    browser = service.browser()
    lab = f"http://127.0.0.1:{told['port']}"
    assert browser.get("/api/v1/config").status_code == 200
    assert browser.get("/api/v1/config", headers={"Origin": lab}).status_code == 403
    assert browser.get("/api/v1/config", headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    assert browser.post(LAB, headers={"Origin": lab}).status_code == 403

    assert service.client.delete(LAB).json()["state"] == "stopped"
    assert Lock.holder(home.run / "lab.lock") is None
    logs = "".join(path.read_text(errors="replace") for path in home.logs.glob("*"))
    assert token not in logs + str(service.lines)


def test_it_ends_with_the_service_however_that_ends(home: Home, start: Callable[..., Service]) -> None:
    service = start()
    service.client.post(LAB, json={"kind": "marimo"})
    pid = until(service, "running")["pid"]
    service.process.kill()
    deadline = time.monotonic() + 60
    while Lock.holder(home.run / "lab.lock") == pid:
        assert time.monotonic() < deadline, "the lab outlived its service"
        time.sleep(0.1)


def test_a_team_starts_none(home: Home, start: Callable[..., Service]) -> None:
    service = start({"TIDEMILL_LAKE_URL": "s3://bucket/lake"})
    told = service.client.get(LAB).json()
    assert told["state"] == "refused"
    assert told["error"]["code"] == "lab_refused"
    answer = service.client.post(LAB)
    assert (answer.status_code, answer.json()["code"]) == (403, "lab_refused")


def test_one_that_cannot_start_says_why(home: Home, start: Callable[..., Service]) -> None:
    service = start()
    (home.path / "notebooks").write_text("in the way")
    service.client.post(LAB, json={"kind": "marimo"})
    told = until(service, "failed")
    assert told["error"]["code"] == "notebooks_unwritable"
    assert str(home.path / "notebooks") in told["error"]["message"]


def test_one_of_a_terminal_is_found_and_ended(home: Home, start: Callable[..., Service]) -> None:
    """Any process that holds the lock stands for it here: what is told is what its file says."""
    import subprocess
    import sys

    code = (
        "import sys, os, time; from tidemill.home import Home; from tidemill.lab import state\n"
        "home = Home.at(sys.argv[1]); lock = state.hold(home)\n"
        "made = state.State(os.getpid(), 'jupyter', 1, 'secret', '/x', time.time_ns(), 'terminal', True)\n"
        "state.write(home, made); print('held', flush=True); time.sleep(600)"
    )
    service = start()
    process = subprocess.Popen([sys.executable, "-c", code, str(home.path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        told = until(service, "running")
        assert (told["by"], told["url"]) == ("terminal", "http://127.0.0.1:1/lab?token=secret")
        assert service.client.delete(LAB).json()["state"] == "stopped"
        assert process.wait(10) == -signal.SIGTERM
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
