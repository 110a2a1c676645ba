"""`tidemill lab` as a process: who is let in, where it listens, what it tells, how it ends."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from tidemill.cli import main
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.lab import gallery, server, state

pytestmark = pytest.mark.timeout(300)
START_S = 200
DOORS = (
    "/", "/lab", "/lab/tree/1-live.ipynb", "/tree", "/api/contents", "/api/contents/1-live.ipynb",
    "/api/kernels", "/api/kernelspecs", "/api/sessions", "/api/terminals", "/api/status", "/api/me",
    "/files/1-live.ipynb", "/nbconvert/html/1-live.ipynb", "/lab/api/settings", "/lab/api/workspaces",
    "/lab/api/extensions", "/lsp/status", "/api/security/csp-report", "/metrics",
)  # fmt: skip
HOSTILE = {
    "ServerApp": {"ip": "0.0.0.0", "allow_origin": "*", "allow_remote_access": True,  # noqa: S104
                  "disable_check_xsrf": True},
    "IdentityProvider": {"token": ""},
}  # fmt: skip


class Lab:
    """A lab in a home of its own, started as a person would."""

    def __init__(self, home: Home, *words: str, env: dict[str, str]) -> None:
        self.home = home
        self.log = home.path / "lab-stderr"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidemill", "lab", "--no-browser", "--json", *words],
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "TIDEMILL_HOME": str(home.path), **env},
            )  # fmt: skip
        assert self.process.stdout
        watch = threading.Timer(START_S, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        assert line, f"it ended: {self.log.read_text()}"
        self.said: dict[str, Any] = json.loads(line)
        self.origin = f"http://127.0.0.1:{self.said['port']}"
        self.token = self.said["token"]

    def get(self, path: str, token: bool = False, **headers: str) -> httpx.Response:
        given = {"Authorization": f"token {self.token}"} if token else {}
        return httpx.get(self.origin + path, headers={**given, **headers}, timeout=60, trust_env=False)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    place = Home.at(tempfile.mkdtemp(prefix="tm-lab-"))
    place.create()
    yield place
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture(scope="module")
def lab(home: Home) -> Iterator[Lab]:
    """One JupyterLab for the module, of a person whose own Jupyter is open to everybody."""
    theirs = home.path / "theirs"
    for folder in (theirs, theirs / ".jupyter"):
        folder.mkdir()
        (folder / "jupyter_server_config.json").write_text(json.dumps(HOSTILE))
    found = Lab(home, env={"HOME": str(theirs), "JUPYTER_CONFIG_PATH": str(theirs), "JUPYTER_TOKEN": ""})
    yield found
    if found.process.poll() is None:
        found.end(signal.SIGKILL)


def test_nobody_is_let_in_without_the_token(lab: Lab) -> None:
    assert lab.get("/api/contents", token=True).status_code == 200
    for path in DOORS:
        assert lab.get(path).status_code in (302, 403, 404, 405), path
        assert lab.get(path, Authorization="token wrong").status_code in (302, 403, 404, 405), path


def test_only_its_own_page_and_name_count(lab: Lab) -> None:
    """Whoever holds the token may ask from anywhere; a browser that was let in goes by its cookie."""
    app = "http://127.0.0.1:8484"
    assert lab.get("/api/contents", token=True, Host="evil.example").status_code == 403
    with httpx.Client(base_url=lab.origin, timeout=60, trust_env=False, follow_redirects=True) as browser:
        assert browser.get(f"/lab?token={lab.token}").status_code == 200
        assert browser.get("/api/contents").status_code == 200
        seen = browser.get("/api/contents", headers={"Origin": app})
        assert seen.status_code in (403, 404)
        assert "access-control-allow-origin" not in seen.headers
        assert browser.post("/api/kernels", headers={"Origin": app}).status_code in (403, 404)
        assert browser.post("/api/kernels").status_code == 403  # without the word that only its page knows
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
    with pytest.raises(InvalidStatus) as refused:
        websocket(
            f"ws://127.0.0.1:{lab.said['port']}/api/events/subscribe", proxy=None, open_timeout=60,
            additional_headers={"Cookie": cookies, "Origin": app},
        )  # fmt: skip
    assert refused.value.response.status_code == 403


def test_it_listens_on_loopback_alone(lab: Lab) -> None:
    own = [host for host in {info[4][0] for info in _addresses()} if not host.startswith("127.")]
    for host in own:
        with pytest.raises(OSError), socket.create_connection((host, lab.said["port"]), timeout=5):
            pass
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    port = f":{lab.said['port']:04X}"
    found = [line.split()[1] for line in listening if line.split()[1].endswith(port) and " 0A " in line]
    assert found == [f"0100007F{port}"]


def _addresses() -> list[Any]:
    with contextlib.suppress(OSError):
        return socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    return []


def test_the_kernel_is_ready_and_the_notebooks_are_there(lab: Lab, home: Home) -> None:
    specs = lab.get("/api/kernelspecs", token=True).json()
    assert specs["default"] == "tidemill"
    spec = specs["kernelspecs"]["tidemill"]["spec"]
    assert spec["argv"][0] == sys.executable
    assert spec["env"] == {"TIDEMILL_HOME": str(home.path)}
    names = {one["name"] for one in lab.get("/api/contents", token=True).json()["content"]}
    assert {one.name for one in gallery.notebooks()} <= names


def test_the_token_is_told_to_nobody_else(lab: Lab, home: Home) -> None:
    assert lab.token not in lab.log.read_text()
    assert lab.token.encode() not in Path(f"/proc/{lab.process.pid}/cmdline").read_bytes()
    assert lab.token.encode() not in Path(f"/proc/{lab.process.pid}/environ").read_bytes()
    assert (home.run / "lab.json").stat().st_mode & 0o077 == 0


def test_a_second_one_names_the_first(lab: Lab, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--home", str(home.path), "--no-browser", "--json"]
    assert main(["lab", *words]) == 6
    said = json.loads(capsys.readouterr().err)["error"]
    assert said["code"] == "lab_running"
    assert lab.origin in said["message"]
    assert lab.token not in json.dumps(said)
    assert main(["lab", "--show", *words]) == 0
    assert json.loads(capsys.readouterr().out)["url"] == lab.said["url"]


def test_it_ends_in_order(lab: Lab, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The last test of the module: Ctrl+C ends it, and nothing is left that says it runs."""
    assert lab.end() == 0
    assert state.read(home) is None
    assert not (home.run / "lab.json").exists()
    assert main(["lab", "--show", "--home", str(home.path)]) == 5
    assert "lab_stopped" in capsys.readouterr().err


def test_marimo_asks_for_its_token_too(home: Home) -> None:
    found = Lab(home, "--marimo", env={})
    try:
        assert found.get("/").status_code in (302, 303, 307, 401)
        assert found.get("/api/status").status_code in (401, 403)
        with httpx.Client(trust_env=False, timeout=60, follow_redirects=True) as browser:
            page = browser.get(found.said["url"])
            assert page.status_code == 200
            assert "marimo" in page.text
        assert found.token not in found.log.read_text()
        assert found.token.encode() not in Path(f"/proc/{found.process.pid}/cmdline").read_bytes()
    finally:
        code = found.end()
    assert code in (0, 130)
    assert state.read(home) is None


@pytest.mark.parametrize(
    ("words", "hint"),
    [([], "pip install 'tidemill[notebook]'"), (["--marimo"], "pip install 'tidemill[marimo]'")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], hint: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert main(["lab", "--home", str(tmp_path / "home"), "--json", *words]) == ConfigError.exit_code
    said = json.loads(capsys.readouterr().err)["error"]
    assert (said["code"], said["hint"]) == ("extra_missing", hint)
    assert not (tmp_path / "home").exists()
    with pytest.raises(ConfigError):
        server.require("jupyter")
