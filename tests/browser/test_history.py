"""Everything that is stored, on one screen: it zooms down to single trades, and says what it shows."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screen
from tests.system.harness import until

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
ALL = "/charts?instrument=BTC-USD.sim-kraken&interval=1m&all=true"


def legend(page: Page) -> str:
    return page.get_by_role("region", name="History").locator(".legend-line").first.inner_text()


def trades_in_view(page: Page) -> float:
    found = re.search(
        r"([\d,.]+)( k| M)? trades in view", legend(page).replace("\u2009", " ").replace("\xa0", " ")
    )
    if not found:
        return -1
    return float(found[1].replace(",", "")) * {" k": 1e3, " M": 1e6}.get(found[2] or "", 1)


def drawn(page: Page) -> int:
    """Pixels of the canvas that differ from its corner."""
    count: int = page.locator(".history-box canvas").evaluate(
        """canvas => {
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          let different = 0;
          for (let i = 4; i < data.length; i += 4)
            if (data[i] !== data[0] || data[i + 1] !== data[1] || data[i + 2] !== data[2]) different++;
          return different;
        }"""
    )
    return count


def test_it_zooms_from_everything_to_single_trades_and_back(screen: Screen) -> None:
    page = screen.open("/charts?instrument=BTC-USD.sim-kraken&interval=1m").page
    page.get_by_label("Price chart").wait_for(timeout=30_000)
    page.get_by_role("button", name="All", exact=True).click()
    until(lambda: trades_in_view(page) > 0, "history is drawn", 30)
    assert "all=true" in page.url
    whole = trades_in_view(page)
    assert drawn(page) > 500
    box = page.locator(".history-box").bounding_box()
    assert box
    # The newest trades stand at the right: the platform's own, of the last minutes.
    page.mouse.move(box["x"] + (box["width"] - 74) * 0.985, box["y"] + 200)
    for _ in range(200):
        page.mouse.wheel(0, -300)
        if "single trades" in legend(page) or "10 ms" in legend(page):
            break
        page.wait_for_timeout(30)
    assert re.search("single trades|10 ms", legend(page)), legend(page)
    page.locator(".history-box").focus()
    page.keyboard.press("Home")
    until(lambda: trades_in_view(page) >= whole, "everything is shown again", 30)
    page.get_by_role("button", name="5m", exact=True).click()
    expect(page.get_by_role("region", name="History")).to_have_count(0)
    assert "all" not in page.url
    assert not screen.complaints


def test_its_address_brings_it_back_and_the_keyboard_moves_it(screen: Screen) -> None:
    page = screen.open(ALL).page
    until(lambda: trades_in_view(page) > 0, "history is drawn", 30)
    before = trades_in_view(page)
    page.locator(".history-box").focus()
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    until(lambda: 0 <= trades_in_view(page) < before, "fewer trades are in view", 30)
    page.keyboard.press("Alt+a")
    expect(page.get_by_role("region", name="History")).to_have_count(0)
    assert not screen.complaints


def test_a_platform_that_refuses_is_said_and_tried_again(screen: Screen) -> None:
    page = screen.page
    refuse = {"code": "store_unavailable", "category": "upstream", "message": "the store does not answer"}
    page.route("**/tiles?*", lambda route: route.fulfill(status=503, json=refuse))
    screen.open(ALL)
    region = page.get_by_role("region", name="History")
    expect(region.get_by_text("the store does not answer")).to_be_visible(timeout=30_000)
    page.unroute("**/tiles?*")
    until(lambda: trades_in_view(page) > 0, "it is drawn by itself", 30)
    expect(region.get_by_text("the store does not answer")).to_have_count(0)


@pytest.mark.parametrize("screen", [{"viewport": {"width": 360, "height": 760}}], indirect=True)
def test_it_fits_a_phone(screen: Screen) -> None:
    page = screen.open(ALL).page
    until(lambda: trades_in_view(page) > 0, "history is drawn", 30)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert drawn(page) > 200
