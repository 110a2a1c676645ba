"""Real Chromium over a real platform. Without one these tests are skipped, visibly; in CI that fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState, sync_playwright

from tests.system.harness import Platform, running
from tidemill.cli.platform import page_url

PICTURES = Path(__file__).parents[2] / ".cache" / "pictures"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--font-render-hinting=none",
]  # fmt: skip
VENUES = ("sim-kraken", "sim-coinbase", "sim-binance")


def chromium() -> str | None:
    """A Chromium on this machine: CHROMIUM, or one on PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
    )


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        message = "no Chromium on PATH; install Debian's `chromium` or set CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="package")
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One for all screens; its home goes with it, unless one of the tests failed."""
    path = tmp_path_factory.mktemp("browser")
    before = request.session.testsfailed
    with running(path / "home", rate=300) as found:
        for venue in VENUES:
            found.wait_trades(venue, 100)
        yield found
    if request.session.testsfailed == before:
        shutil.rmtree(path, ignore_errors=True)


class Screen:
    """A page, and everything its console complained about."""

    def __init__(self, page: Page, platform: Platform) -> None:
        self.page = page
        self.platform = platform
        self.complaints: list[str] = []
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str = "/charts?instrument=BTC-USD.sim-kraken&interval=1m") -> Screen:
        self.page.goto(f"http://127.0.0.1:{self.platform.port}{path}")
        return self

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(PICTURES / f"{name}.png"))


@pytest.fixture(scope="package")
def let_in(browser: Browser, platform: Platform) -> StorageState:
    """Cookies of a browser that came by the printed address: keys are few a minute, one serves all."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_url(platform.home, platform.port))
    page.wait_for_function("!location.hash.includes('key=')")
    page.get_by_label("Price chart").wait_for(timeout=30_000)
    state = context.storage_state()
    context.close()
    return state


def _screen(
    browser: Browser, platform: Platform, state: StorageState | None, asked: dict[str, Any]
) -> Iterator[Screen]:
    options = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark", **asked}
    context = browser.new_context(storage_state=state, **options)
    yield Screen(context.new_page(), platform)
    context.close()


@pytest.fixture
def screen(
    browser: Browser, platform: Platform, let_in: StorageState, request: pytest.FixtureRequest
) -> Iterator[Screen]:
    """A page that was let in, in a fresh profile; an indirect parameter sets its context."""
    yield from _screen(browser, platform, let_in, getattr(request, "param", {}))


@pytest.fixture
def stranger(browser: Browser, platform: Platform) -> Iterator[Screen]:
    """A page that nobody let in."""
    yield from _screen(browser, platform, None, {})
