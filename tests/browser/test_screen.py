"""What a person sees: live candles, trades and books, faults told in words, every size and theme."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import VENUES, Screen
from tests.system.harness import until

LIVE_S = 10_000
OTHER_THEMES = {(768, "light"), (1920, "dark"), (2560, "light")}


def chart_text(screen: Screen) -> str:
    """What the chart says of its newest bar to those who cannot see it."""
    return screen.page.locator("[aria-roledescription=chart]").get_attribute("aria-label") or ""


@pytest.mark.parametrize("venue", VENUES)
def test_a_live_candle_trades_and_book(screen: Screen, venue: str) -> None:
    quote = "USDT" if venue.endswith("binance") else "USD"
    screen.open(f"/charts?instrument=BTC-{quote}.{venue}&interval=1m")
    page = screen.page
    expect(page.get_by_role("region", name="Trades").locator("tbody tr").nth(5)).to_be_visible(timeout=LIVE_S)
    expect(page.get_by_role("region", name="Depth").locator(".level").nth(8)).to_be_visible(timeout=LIVE_S)
    first = until(lambda: chart_text(screen), "the chart says its bar")
    until(lambda: chart_text(screen) != first, "the newest bar moves", 15)
    expect(page.get_by_text("SIMULATED").first).to_be_visible()
    assert screen.complaints == []


def test_the_screen_and_the_answer_agree_to_the_digit(screen: Screen) -> None:
    screen.open("/charts?instrument=BTC-USD.sim-kraken&interval=1s")
    expect(screen.page.get_by_role("region", name="Trades").locator("tbody tr").nth(5)).to_be_visible(
        timeout=LIVE_S
    )
    row = screen.page.get_by_role("region", name="Trades").locator("tbody tr").first
    price = row.locator("td").nth(1).inner_text().split()[-1].replace(",", "")
    status, answer = screen.platform.get("/api/v1/data/BTC-USD.sim-kraken/ticks?limit=500&format=rows")
    assert status == 200, answer
    assert price in {item["price"] for item in answer["items"]}


@pytest.mark.parametrize("interval", ["1s", "1m", "1h", "1d"])
def test_every_interval_has_history(screen: Screen, interval: str) -> None:
    screen.open(f"/charts?instrument=ETH-USD.sim-coinbase&interval={interval}")
    until(lambda: re.search(r"\d", chart_text(screen)), f"{interval} bars are drawn", 15)
    assert screen.complaints == []


def test_a_cut_is_told_and_heals(screen: Screen) -> None:
    screen.open()
    page = screen.page
    expect(page.locator("footer").get_by_text("sim-kraken").first).to_be_visible(timeout=LIVE_S)
    expect(page.get_by_role("region", name="Trades").locator("tbody tr").nth(3)).to_be_visible(timeout=LIVE_S)
    screen.platform.fault("sim-kraken", "refuse", seconds=4)
    screen.platform.fault("sim-kraken", "cut")
    expect(page.get_by_text(re.compile("reconnecting|connecting|stale", re.I)).first).to_be_visible(
        timeout=LIVE_S
    )
    screen.picture("cut")
    until(
        lambda: screen.platform.collector("sim-kraken").get("state") == "live", "the venue is live again", 40
    )
    expect(page.locator("header").get_by_text(re.compile("3 of 3")).first).to_be_visible(timeout=20_000)


def test_collection_stops_and_starts_a_venue(screen: Screen) -> None:
    screen.open("/data/collect")
    page = screen.page
    expect(page.get_by_role("region", name="Feeds").get_by_text("sim-binance").first).to_be_visible(
        timeout=LIVE_S
    )
    page.get_by_role("button", name="Stop sim-binance").first.click()
    until(lambda: screen.platform.pid("collector-sim-binance") is None, "the collector stopped")
    page.get_by_role("button", name="Start sim-binance").first.click()
    until(
        lambda: screen.platform.collector("sim-binance").get("state") == "live", "the collector is live again"
    )
    assert screen.complaints == []


def test_a_bridge_that_dies_is_told_and_comes_back(screen: Screen) -> None:
    screen.open()
    page = screen.page
    rows = page.get_by_role("region", name="Trades").locator("tbody tr")
    expect(rows.nth(3)).to_be_visible(timeout=LIVE_S)
    screen.platform.kill_part("bridge")
    until(screen.platform.is_ready, "the platform is ready again")
    newest = rows.first.inner_text()
    until(lambda: rows.first.inner_text() != newest, "trades go on", 20)


def test_a_service_that_hangs_is_not_called_live(screen: Screen) -> None:
    page = screen.open("/data/collect").page
    feeds = page.get_by_role("region", name="Feeds")
    expect(feeds.get_by_text("live", exact=True)).to_have_count(3, timeout=3 * LIVE_S)
    pid = until(lambda: screen.platform.pid("service"), "the service runs")
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(feeds.get_by_text("not known")).to_have_count(3, timeout=2 * LIVE_S)
        expect(page.get_by_text(re.compile("old: the platform does not answer"))).to_be_visible()
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(feeds.get_by_text("live", exact=True)).to_have_count(3, timeout=4 * LIVE_S)


def test_the_chosen_instrument_is_seen_in_the_list(screen: Screen) -> None:
    page = screen.open("/charts?instrument=SOL-USD.sim-kraken&interval=1m").page
    chosen = page.get_by_role("region", name="Instruments").locator("tr.selected")
    expect(chosen).to_contain_text("SOL-USD", timeout=LIVE_S)
    expect(chosen).to_be_in_viewport(ratio=0.9)


def test_prices_in_the_list_stand_still_when_their_change_is_known(screen: Screen) -> None:
    page = screen.page
    held: list[Route] = []
    days = re.compile(r"/bars\?interval=1d")
    page.route(days, lambda route: held.append(route))
    with page.expect_request(days):
        screen.open()
    cells = (
        page.get_by_role("region", name="Instruments").locator("tbody", has_text="sim-coinbase").locator("td")
    )
    expect(cells.nth(1)).to_contain_text(re.compile(r"\d"), timeout=LIVE_S)
    expect(cells.nth(2)).to_have_text("\u2014")
    edge = "(cell) => cell.getBoundingClientRect().right"
    before = cells.nth(1).evaluate(edge)
    for one in held:  # the list may have asked for another instrument first
        one.continue_()
    page.unroute(days)
    expect(cells.nth(2)).to_contain_text("%", timeout=2 * LIVE_S)
    assert cells.nth(1).evaluate(edge) == before


def test_a_platform_that_does_not_answer_yet_is_waited_for(screen: Screen) -> None:
    page = screen.page
    held: list[Route] = []
    page.route("**/api/v1/session", lambda route: held.append(route))
    screen.open()
    expect(page.get_by_role("status")).to_have_text("Waiting for the platform to answer.", timeout=LIVE_S)
    held[0].continue_()
    expect(page.get_by_label("Price chart")).to_be_visible(timeout=LIVE_S)


def test_without_a_key_nobody_is_let_in(stranger: Screen) -> None:
    stranger.open("/charts")
    expect(stranger.page.get_by_text("tidemill open").first).to_be_visible(timeout=LIVE_S)


def test_a_key_works_once(screen: Screen) -> None:
    from tidemill.cli.platform import page_url

    url = page_url(screen.platform.home, screen.platform.port)
    key = url.split("#key=")[1]
    assert screen.platform.request("POST", "/api/v1/session", {"key": key}, token="")[0] in (200, 201)
    assert screen.platform.request("POST", "/api/v1/session", {"key": key}, token="")[0] == 401


@pytest.mark.parametrize(
    "screen",
    [
        pytest.param(
            {"viewport": {"width": width, "height": height}, "color_scheme": scheme},
            # A theme changes colours, not sizes: two sizes have both, the others take turns.
            marks=pytest.mark.soak if (width, scheme) in OTHER_THEMES else (),
        )
        for width, height in ((360, 780), (768, 1024), (1440, 900), (1920, 1080), (2560, 1440))
        for scheme in ("dark", "light")
    ],
    indirect=True,
    ids=lambda o: f"{o['viewport']['width']}-{o['color_scheme']}",
)
@pytest.mark.parametrize("path", ["/charts?instrument=BTC-USD.sim-kraken&interval=1m", "/data/collect"])
def test_no_page_overflows_in_any_size_or_theme(screen: Screen, path: str) -> None:
    as_the_system = json.dumps({"state": {"theme": "system"}, "version": 1})
    screen.page.add_init_script(f"localStorage.setItem('tidemill.settings', {as_the_system!r})")
    page = screen.open(path).page
    try:
        until(lambda: "sim-kraken" in page.content(), "the page shows its venue", 15)
    except AssertionError:
        screen.picture("failed")
        raise AssertionError(page.locator("body").inner_text()[:500]) from None
    time.sleep(1)
    size = page.viewport_size
    assert size
    wide = page.evaluate("document.documentElement.scrollWidth")
    name = path.split("?")[0].strip("/").replace("/", "-")
    theme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    screen.picture(f"{name}-{size['width']}-{theme}")
    assert wide <= size["width"], f"{wide} px of content in {size['width']} px"
    assert screen.complaints == []
