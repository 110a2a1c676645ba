"""Seconds from `tidemill up` until its address answers, until the platform is ready, and until a candle
moves in a real browser that opened the printed address as soon as it answered; in a fresh home, and in
one that was used before.

Goal: the first live candle within 5 s.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches import program
from benches.contest import AbsentError, Contest, Metric, Party, Run
from tidemill.cli.platform import health, page_url
from tidemill.home import Home

WITHIN_S = 60.0
METRICS = (Metric("address", "s"), Metric("ready", "s"), Metric("moving candle", "s", limit=5))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
MOVES = """() => new Promise((resolve) => {
    let first = null;
    const look = () => {
        const label = document.querySelector('[aria-roledescription=chart]')?.getAttribute('aria-label');
        if (label && /\\d/.test(label)) {
            first ??= label;
            if (label !== first) return resolve(label);
        }
        requestAnimationFrame(look);
    };
    look();
})"""
"""Resolves when the words that describe the chart's newest bar change."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser that runs already, so that only our own start is measured."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise AbsentError("no Chromium on PATH; install Debian's `chromium` or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def up(home: Home, browser: Any) -> Mapping[str, float]:
    """Starts the platform of a home, watches a candle move, and stops it."""
    port = free_port()
    command = [sys.executable, "-m", "tidemill", "up", "--home", str(home.path), "--port", str(port)]
    page = browser.new_page()
    found: dict[str, float] = {}
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, "--no-browser"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=program.environment(),
    )  # fmt: skip

    def wait(name: str) -> None:
        while True:
            answer = health(home, port) if home.token.exists() else None
            if answer and (name == "address" or answer["ready"]):
                found[name] = time.monotonic() - started
                return
            if process.poll() is not None or time.monotonic() - started > WITHIN_S:
                raise RuntimeError(f"`tidemill up`: no {name} within {WITHIN_S:g} s; logs are in {home.logs}")
            time.sleep(0.01)

    try:
        wait("address")
        page.goto(page_url(home, port), wait_until="commit")
        # The page is loading meanwhile; asking for readiness costs it little.
        wait("ready")
        page.set_default_timeout(WITHIN_S * 1000)
        page.evaluate(MOVES)
        found["moving candle"] = time.monotonic() - started
    finally:
        page.close()
        process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)
    return found


def fresh() -> Iterator[Run]:
    with browsing() as browser:

        def run() -> Mapping[str, float]:
            with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
                return up(Home(Path(folder) / "home"), browser)

        yield run


def later() -> Iterator[Run]:
    with (
        browsing() as browser,
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
    ):
        home = Home(Path(folder) / "home")
        up(home, browser)
        yield lambda: up(home, browser)


def contests(tiny: bool) -> Iterator[Contest]:
    rounds = 1 if tiny else 3
    parties: dict[str, Party] = {
        "in a fresh home": contextmanager(fresh),
        "in a home used before": contextmanager(later),
    }
    for name, party in parties.items():
        yield Contest(f"`tidemill up` {name}", METRICS, party, rounds=rounds, warm=False)
