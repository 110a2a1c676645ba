"""Datasets on the screen: found, followed, stopped and looked into; and ten thousand of them scrolled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Screen

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 60_000
TRADES = "BTC-USD.sim-kraken:trades"
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, each as its rule and the first element it is about."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document).then(({violations}) => violations)")
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found]


def test_a_dataset_is_found_followed_and_looked_into(screen: Screen) -> None:
    page = screen.open("/data").page
    cards = page.get_by_role("article")
    expect(cards.first).to_be_visible(timeout=WAIT_MS)
    assert page.title() == "Datasets \u00b7 Tidemill"
    assert violations(page) == []
    page.get_by_label("Search datasets").fill("btc sim-kraken trades")
    expect(page).to_have_url(re.compile("q=btc"), timeout=WAIT_MS)
    expect(cards).to_have_count(1, timeout=WAIT_MS)
    bell = page.get_by_role("button", name="Be told when BTC-USD trades of sim-kraken grows")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    _wait_told(screen, subscribed=True)
    bell.click()
    _wait_told(screen, subscribed=False)
    page.reload()  # the address says what was looked for
    expect(cards).to_have_count(1, timeout=WAIT_MS)
    page.get_by_role("link", name="View BTC-USD trades, sim-kraken").click()
    expect(page.get_by_role("heading", name="BTC-USD trades")).to_be_visible(timeout=WAIT_MS)
    for tab, shown in (
        ("Schema", "aggressor"), ("Coverage", "Coverage by day"), ("Quality", "Repeated ids"),
        ("Use it", "td.trades(\"BTC-USD.sim-kraken\""), ("Lineage", "collected live"),
    ):  # fmt: skip
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_text(shown).first).to_be_visible(timeout=WAIT_MS)
        assert violations(page) == [], tab
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name="Datasets")).to_be_visible(timeout=WAIT_MS)
    assert screen.complaints == []


def _wait_told(screen: Screen, *, subscribed: bool) -> None:
    for _ in range(100):
        if screen.platform.get(f"/api/v1/datasets/{TRADES}")[1]["subscribed"] is subscribed:
            return
        screen.page.wait_for_timeout(100)
    raise AssertionError(f"the platform does not know that subscribed is {subscribed}")


def test_what_the_platform_refuses_is_taken_back(screen: Screen) -> None:
    page = screen.page
    page.route("**/collection/stop*", _refuse)
    screen.open("/data?q=btc+sim-kraken+trades")
    switch = page.get_by_role("switch", name="Collect sim-kraken, for BTC-USD trades")
    expect(switch).to_have_attribute("aria-checked", "true", timeout=WAIT_MS)
    switch.click()
    expect(page.get_by_text("sim-kraken was not stopped: not today")).to_be_visible(timeout=WAIT_MS)
    expect(switch).to_have_attribute("aria-checked", "true")
    page.get_by_label("Search datasets").fill("nobody has this")
    page.get_by_role("button", name="Clear filters").last.click(timeout=WAIT_MS)
    expect(page.get_by_role("article").nth(2)).to_be_visible(timeout=WAIT_MS)


def _refuse(route: Route) -> None:
    body = {"code": "x", "category": "conflict", "message": "not today", "retryable": False}
    route.fulfill(status=409, json=body)


@pytest.mark.parametrize("screen", [{"viewport": {"width": 360, "height": 760}}], indirect=True)
@pytest.mark.parametrize("path", ["/data", f"/data/{TRADES}?tab=coverage"])
def test_it_fits_a_phone(screen: Screen, path: str) -> None:
    page = screen.open(path).page
    expect(page.locator(".data-card .data-facts, .dataset-kpis").first).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []


def generated(row: dict[str, Any], many: int) -> list[dict[str, Any]]:
    """So many datasets, each with sixty days of its own."""
    found = []
    for at in range(many):
        rows = [(at * 37 + day * 101) % 900 + 50 for day in range(60)]
        share = [0.97 if (at + day) % 41 == 0 else 1.0 for day in range(60)]
        found.append(
            {**row, "id": f"N{at:05}.made:trades", "name": f"N{at:05} trades", "instrument": f"N{at:05}.made",
             "recent": {"first": "2026-09-01", "rows": rows, "completeness": share}}
        )  # fmt: skip
    return found


def test_ten_thousand_cards_scroll(screen: Screen) -> None:
    page = screen.page
    row = screen.platform.get(f"/api/v1/datasets/{TRADES}")[1]
    rows, told = generated(row, 10_000), {"total": 10_000, "facets": {}}

    def answer(route: Route) -> None:
        asked = dict(pair.split("=") for pair in route.request.url.partition("?")[2].split("&"))
        begin, limit = int(asked.get("cursor", 0)), int(asked["limit"])
        end = begin + limit if begin + limit < len(rows) else None
        body = {**told, "items": rows[begin : begin + limit], "next": end and str(end)}
        route.fulfill(body=json.dumps(body), content_type="application/json")

    page.route("**/api/v1/datasets?*", answer)
    screen.open("/data?at=9000")  # a deep link far down
    expect(page.get_by_text("N09000 trades", exact=True).first).to_be_visible(timeout=WAIT_MS)
    assert page.get_by_role("article").count() < 100
    found = page.evaluate(SCROLL)
    frames = [round(one, 1) for one in sorted(found["frames"])]
    print(f"{len(frames)} frames in {found['took_ms']:.0f} ms, tasks over 50 ms: {found['long']}")
    assert len(frames) > 20
    expect(page.get_by_role("article").first).to_be_visible()
    assert page.get_by_role("article").count() < 100


SCROLL = """async () => {
  const box = document.querySelector('.data-scroll');
  const long = [];
  new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: 'longtask' });
  const frames = [];
  const began = performance.now();
  let last = began;
  while (last - began < 4000) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    box.scrollTop -= 120;
  }
  return { frames: frames.slice(1), took_ms: last - began, long };
}"""
