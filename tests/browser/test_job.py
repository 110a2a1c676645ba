"""The jobs dock over real work: seen to go on through a reload and a cut, to be cancelled, to fail."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, StorageState, expect

from tests.browser.conftest import Screen, _screen
from tests.system.harness import Platform, running, until
from tidemill.cli.platform import page_url

ROOT = Path(__file__).parents[2]
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def worked(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, StorageState]]:
    """A platform that knows the kind of `tests/browser/paced.py`, and the cookies of a browser it let in."""
    path = tmp_path_factory.mktemp("jobs")
    known = path / "paced-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: paced\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text("[tidemill.jobs]\npaced = tests.browser.paced:plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(path), str(ROOT), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        with running(path / "home", rate=100, history=False) as platform:
            context = browser.new_context()
            page = context.new_page()
            page.goto(page_url(platform.home, platform.port))
            page.get_by_label("Price chart").wait_for(timeout=30_000)
            state = context.storage_state()
            context.close()
            yield platform, state


@pytest.fixture
def screen(
    browser: Browser, worked: tuple[Platform, StorageState], request: pytest.FixtureRequest
) -> Iterator[Screen]:
    """A page that was let in, with the dock open; an indirect parameter sets its context."""
    platform, state = worked
    opened = json.dumps({"state": {"open": True, "width_px": 368, "seen_ns": "0"}, "version": 1})
    for screen in _screen(browser, platform, state, getattr(request, "param", {})):
        screen.page.add_init_script(
            f"localStorage.getItem('tidemill.jobs') ?? localStorage.setItem('tidemill.jobs', {opened!r})"
        )
        yield screen
        for job in platform.get("/api/v1/jobs?state=running&kind=paced")[1]["items"]:
            platform.request("POST", f"/api/v1/jobs/{job['id']}/cancel")
        until(
            lambda: not platform.get("/api/v1/jobs?state=running&kind=paced")[1]["items"],
            "nothing runs any more",
        )


def submit(platform: Platform, **detail: Any) -> str:
    status, job = platform.request("POST", "/api/v1/jobs", {"kind": "paced", "detail": detail})
    assert status == 202, job
    return str(job["id"])


def item(screen: Screen, name: str) -> Locator:
    """The row of the job that was asked for with this name."""
    return screen.page.locator("li.job", has_text=f"name {name}")


def percent(row: Locator) -> int:
    return int(row.get_by_role("progressbar").get_attribute("aria-valuenow") or 0)


def test_a_job_is_seen_to_go_on_through_a_reload(screen: Screen) -> None:
    screen.open("/data/collect")
    expect(
        screen.page.get_by_role("complementary", name="Jobs").get_by_text("live", exact=True)
    ).to_be_visible(timeout=WAIT_MS)
    submit(screen.platform, steps=60, step_s=0.2, name="walk")
    row = item(screen, "walk")
    expect(row.get_by_role("progressbar")).to_be_visible(timeout=WAIT_MS)
    first = percent(row)
    until(lambda: percent(row) > first, "the bar moves by events")
    expect(row).to_contain_text(re.compile(r"step \d+.*of 60\s*steps"))
    expect(row).to_contain_text(re.compile(r"ETA\s*0:\d\d"), timeout=WAIT_MS)
    before = percent(row)
    screen.page.reload()
    expect(row.get_by_role("progressbar")).to_be_visible(timeout=WAIT_MS)
    assert percent(row) >= before, "a reload does not begin anew"
    middle = percent(row)
    until(lambda: percent(row) > middle, "it goes on after the reload")
    row.get_by_role("button", name="Paced, running").click()
    expect(row.get_by_label("Log lines")).to_contain_text("step 1 begins", timeout=WAIT_MS)
    expect(row.get_by_role("button", name="Paced, done")).to_be_visible(timeout=2 * WAIT_MS)
    expect(row.get_by_label("Log lines")).to_contain_text("step 60 begins")
    assert screen.complaints == []


def test_a_job_is_cancelled(screen: Screen) -> None:
    screen.open("/data/collect")
    job_id = submit(screen.platform, steps=600, step_s=0.1, name="long")
    row = item(screen, "long")
    expect(row.get_by_role("progressbar")).to_be_visible(timeout=WAIT_MS)
    row.get_by_role("button", name="Cancel Paced").click()
    expect(row.get_by_role("button", name="Paced, cancelling")).to_be_visible()
    expect(row.get_by_role("button", name="Paced, cancelled")).to_be_visible(timeout=WAIT_MS)
    assert screen.platform.get(f"/api/v1/jobs/{job_id}")[1]["state"] == "cancelled"
    assert screen.complaints == []


def test_a_failed_job_says_why_and_is_tried_anew(screen: Screen) -> None:
    screen.page.add_init_script("localStorage.removeItem('tidemill.jobs')")
    screen.open("/data/collect")
    button = screen.page.locator("#jobs-button")
    expect(button).to_be_visible(timeout=WAIT_MS)
    submit(screen.platform, steps=3, step_s=1, name="doomed", fails=True)
    expect(button).to_have_accessible_name(re.compile("1 running"), timeout=WAIT_MS)
    # It is shown for seconds; the button goes on saying it.
    expect(screen.page.get_by_text("Paced failed: the jobs list says why")).to_be_visible(timeout=WAIT_MS)
    expect(button).to_have_accessible_name(re.compile("failed since you last looked"), timeout=WAIT_MS)
    screen.page.keyboard.press("Alt+j")
    row = item(screen, "doomed")
    expect(row.get_by_text("the venue does not answer")).to_be_visible(timeout=WAIT_MS)
    expect(button).not_to_have_accessible_name(re.compile("failed"))
    row.get_by_role("button", name="Paced, failed").click()
    expect(row.get_by_text("venue_unreachable")).to_be_visible()
    expect(row.locator("code", has_text="tidemill doctor")).to_be_visible()
    row.get_by_role("button", name="Retry").click()
    expect(item(screen, "doomed")).to_have_count(2, timeout=WAIT_MS)
    screen.page.keyboard.press("Escape")
    expect(screen.page.get_by_role("complementary", name="Jobs")).to_have_count(0)
    assert screen.complaints == []


def test_numbers_are_not_called_live_while_the_service_hangs(screen: Screen) -> None:
    page = screen.open("/data/collect").page
    submit(screen.platform, steps=600, step_s=0.1, name="hung")
    row = item(screen, "hung")
    expect(row).to_contain_text("ETA", timeout=WAIT_MS)
    pid = until(lambda: screen.platform.pid("service"), "the service runs")
    os.kill(pid, signal.SIGSTOP)
    try:
        dock = page.get_by_role("complementary", name="Jobs")
        expect(dock.get_by_text(re.compile("^not live, attempt"))).to_be_visible(timeout=WAIT_MS)
        expect(row).not_to_contain_text("ETA")
        seen = percent(row)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(dock.get_by_text("live", exact=True)).to_be_visible(timeout=2 * WAIT_MS)
    until(lambda: percent(row) > seen, "it goes on where the work is by now")


@pytest.mark.parametrize(
    "screen",
    [
        {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
        for width, height, scheme in (
            (360, 780, "dark"),
            (360, 780, "light"),
            (900, 800, "dark"),
            (1280, 800, "light"),
            (2560, 1440, "dark"),
        )
    ],
    indirect=True,
    ids=lambda o: f"{o['viewport']['width']}-{o['color_scheme']}",
)
def test_the_dock_fits_every_size_and_theme(screen: Screen) -> None:
    as_the_system = json.dumps({"state": {"theme": "system"}, "version": 1})
    screen.page.add_init_script(f"localStorage.setItem('tidemill.settings', {as_the_system!r})")
    page = screen.open("/data/collect").page
    submit(screen.platform, steps=600, step_s=0.1, name="picture")
    rows = item(screen, "picture")
    expect(rows.get_by_role("progressbar").first).to_be_visible(timeout=WAIT_MS)
    size = page.viewport_size
    assert size
    theme = page.evaluate("document.documentElement.dataset.theme")
    screen.picture(f"jobs-{size['width']}-{theme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    # On a narrow screen the dock slides in.
    page.wait_for_function("() => document.getAnimations().every((one) => one.playState !== 'running')")
    edges = rows.first.evaluate(
        "(row) => { const r = row.getBoundingClientRect(); return [r.left, r.right]; }"
    )
    assert edges[0] >= 0
    assert edges[1] <= size["width"]
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, [role=progressbar], [role=separator]')]"
        ".filter((e) => !(e.ariaLabel || e.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    assert screen.complaints == []
