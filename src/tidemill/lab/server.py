"""Runs JupyterLab or marimo in this very process until it is told to stop.

Whatever a person's own Jupyter is configured to do, this one listens on loopback only, asks for its token,
answers to the loopback names only and to no other page.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib.util
import json
import os
import runpy
import secrets
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.lab import gallery, state
from tidemill.lab.gallery import Kind
from tidemill.lab.state import State

HOST = "127.0.0.1"
KERNEL = "tidemill"
PACKAGES: Mapping[Kind, tuple[str, ...]] = {
    "jupyter": ("jupyterlab", "ipykernel"),
    "marimo": ("marimo",),
}
EXTRAS = {"jupyter": "notebook", "marimo": "marimo"}
# Who answers without a token, that it is there and nothing else.
_ALIVE = {"jupyter": "/api", "marimo": "/health"}
LOOK_S = 0.1


def require(kind: Kind) -> None:
    """Raises `ConfigError` `extra_missing` where what `kind` needs is not installed."""
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            "extra_missing",
            f"the lab needs {' and '.join(missing)}, which this Python does not have",
            hint=f"pip install 'tidemill[{EXTRAS[kind]}]'",
        )


def folder(home: Home, named: str | Path | None = None) -> Path:
    """Where a person's notebooks are."""
    return Path(named).expanduser().absolute() if named else home.path / "notebooks"


def serve(
    home: Home,
    kind: Kind,
    *,
    port: int = 0,
    notebooks: Path,
    supervised: bool = False,
    ready: Callable[[State, list[str]], None] = lambda _state, _written: None,
) -> int:
    """Serves until SIGINT or SIGTERM, or with `supervised` until standard input ends; returns an exit code.

    `port` 0 is any free one. `ready` is called from a thread, with the names of notebooks that were written,
    once a browser would be let in. Raises `ConfigError` `extra_missing` and `notebooks_unwritable`, and
    `ConflictError` `lab_running`.
    """
    require(kind)
    lock = state.hold(home)
    try:
        state.remove(home)
        own = home.path / "lab"
        written = _prepare(home, own, notebooks)
        running = State(
            os.getpid(), kind, port or _free_port(), secrets.token_hex(32), str(notebooks), time.time_ns(),
            "platform" if supervised else "terminal",
        )  # fmt: skip
        state.write(home, running)
        if supervised:
            threading.Thread(target=_leave_with_stdin, daemon=True).start()
        threading.Thread(target=_tell, args=(home, running, written, ready), daemon=True).start()
        os.environ.update(_environment(home, own))
        return _run(running, own)
    finally:
        state.remove(home)
        lock.close()


def _run(running: State, own: Path) -> int:
    # The words are given within the process, so that the token is in no list of processes.
    before = sys.argv
    # Those endpoints ask for the token all the same, because `allow_unauthenticated_access` is False.
    warnings.filterwarnings("ignore", message="Extension endpoints without")
    sys.argv = jupyter_words(running) if running.kind == "jupyter" else _marimo_words(running, own)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.argv = before
    return 0


def jupyter_words(running: State) -> list[str]:
    """The command line of JupyterLab, which goes before every file of settings."""
    return [
        "jupyterlab",
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={running.port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.sock=",
        "--ServerApp.base_url=/",
        f"--ServerApp.root_dir={running.folder}",
        f"--IdentityProvider.token={running.token}",
        "--PasswordIdentityProvider.hashed_password=",
        "--ServerApp.identity_provider_class=jupyter_server.auth.identity.PasswordIdentityProvider",
        "--ServerApp.allow_unauthenticated_access=False",
        "--ServerApp.allow_remote_access=False",
        "--ServerApp.allow_origin=",
        "--ServerApp.allow_origin_pat=",
        "--ServerApp.allow_credentials=False",
        "--ServerApp.disable_check_xsrf=False",
        "--ServerApp.open_browser=False",
        "--ServerApp.answer_yes=True",
        "--ServerApp.log_level=ERROR",
        "--LabApp.log_level=ERROR",
        # Who runs a platform as root, as in a container, runs its notebooks so too.
        "--ServerApp.allow_root=True",
        f"--MultiKernelManager.default_kernel_name={KERNEL}",
        # Other users of this machine can reach a kernel's ports, and would else read what it prints.
        *(["--KernelManager.transport_encryption=auto"] if _has_curve() else []),
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _has_curve() -> bool:
    if importlib.util.find_spec("zmq") is None:
        return False
    import zmq

    return bool(zmq.has("curve"))


def _marimo_words(running: State, own: Path) -> list[str]:
    key = own / "marimo.token"
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(running.token)
    # Quiet, because it would print its address with the token in it.
    return [
        "marimo", "--quiet", "edit", "--headless", "--host", HOST, "--port", str(running.port),
        "--token-password-file", str(key), "--skip-update-check", "--no-sandbox", running.folder,
    ]  # fmt: skip


def _environment(home: Home, own: Path) -> dict[str, str]:
    """What its kernels find: this home, and a Jupyter of its own beside the one that a person may have."""
    path = [str(own / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
    return {
        "TIDEMILL_HOME": str(home.path),
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTER_PATH": os.pathsep.join(filter(None, path)),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
    }


def _prepare(home: Home, own: Path, notebooks: Path) -> list[str]:
    """Names of the notebooks that were copied. Raises `ConfigError` `notebooks_unwritable`."""
    try:
        written = gallery.copy(notebooks, own / "shipped.json")
        _make_kernel(home, own)
        _want_no_news(own)
    except OSError as error:
        raise ConfigError(
            "notebooks_unwritable",
            f"notebooks cannot be copied to {notebooks}: {error.strerror or error}",
            hint="name another folder with --notebooks DIR",
        ) from error
    return written


def _want_no_news(own: Path) -> None:
    """Nothing leaves this machine to ask what is new, and nobody is asked whether it may. Who wants it says
    so in JupyterLab's settings, which are then theirs."""
    path = own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text('{"fetchNews": "false", "checkForUpdates": false}\n')


def _make_kernel(home: Home, own: Path) -> None:
    """The kernel "Tidemill": the Python that runs this, which finds this home by `tm.connect()`."""
    if importlib.util.find_spec("ipykernel") is None:
        return  # marimo has no kernels of that kind
    from ipykernel.kernelspec import get_kernel_dict

    spec = own / "jupyter" / "kernels" / KERNEL / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    named = {"display_name": "Tidemill", "env": {"TIDEMILL_HOME": str(home.path)}}
    spec.write_text(json.dumps({**get_kernel_dict(), **named}, indent=1))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _leave_with_stdin() -> None:
    """Whoever started us holds the other end: when it is gone, however it went, we go too."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def _tell(home: Home, running: State, written: list[str], ready: Callable[[State, list[str]], None]) -> None:
    while not _answers(running):
        time.sleep(LOOK_S)
    running = dataclasses.replace(running, ready=True)
    state.write(home, running)
    ready(running, written)


def _answers(running: State) -> bool:
    connection = http.client.HTTPConnection(HOST, running.port, timeout=5)
    try:
        connection.request("GET", _ALIVE[running.kind])
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
