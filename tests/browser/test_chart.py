"""The chart shows what was asked for: to one who switches, scrolls back, waits a minute, comes by a link."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screen
from tests.browser.test_screen import LIVE_S, chart_text
from tests.system.harness import Platform, until

BTC, ETH, SOL = (f"{base}-USD.sim-kraken" for base in ("BTC", "ETH", "SOL"))
# Prices of the simulator stay within these for hours: which asset a number belongs to is never in doubt.
RANGE = {"BTC": (20_000, 200_000), "ETH": (600, 6_000), "SOL": (30, 450)}

# What a person could see in each frame: the words of the chart, its legend, the newest trade, their name.
WATCH = """() => {
  window.seen = new Set();
  const text = (of) => document.querySelector(of)?.textContent ?? '';
  const look = () => {
    const chart = document.querySelector('[aria-roledescription=chart]')?.getAttribute('aria-label') ?? '';
    window.seen.add(JSON.stringify([chart, text('.legend-line'), text('.picker'), text('.tape tbody tr')]));
    requestAnimationFrame(look);
  };
  look();
}"""


def number_after(text: str, words: str) -> float | None:
    found = re.search(rf"{words}\s*([\d,]+\.?\d*)", text)
    return float(found[1].replace(",", "")) if found else None


def fits(base: str, price: float | None) -> bool:
    low, high = RANGE[base]
    return price is None or low < price < high


def test_switching_quickly_never_shows_another_ones_numbers(screen: Screen) -> None:
    page = screen.open(f"/charts?instrument={BTC}&interval=1m").page
    until(lambda: number_after(chart_text(screen), "close"), "the chart has bars", 30)
    page.evaluate(WATCH)
    listed = page.get_by_role("region", name="Instruments")
    names = [listed.locator("tbody", has_text="sim-kraken").get_by_role("button", name=f"{base}-USD")
             for base in RANGE]  # fmt: skip
    for step in range(9):
        names[step % 3].click()
        page.get_by_role("button", name=("5m", "1h", "1s", "1m")[step % 4], exact=True).click()
    page.wait_for_timeout(1_500)
    until(lambda: number_after(chart_text(screen), "close"), "the last one asked for is shown", 30)
    seen = [tuple(item) for item in map(json.loads, page.evaluate("[...window.seen]"))]
    assert len(seen) > 9
    for chart, legend, picker, trade in seen:
        base = picker[:3]
        assert chart.startswith(f"{base}-USD.sim-kraken"), (chart, picker)
        assert legend.startswith(f"{base}-USD") or not legend, (legend, picker)
        assert fits(base, number_after(chart, "close")), (chart, picker)
        assert fits(base, number_after(legend, "C")), (legend, picker)
        price = re.search(r"(?:buy|sell|none) ([\d,.]+)", trade)
        # Price and size stand side by side in the text of a row: the price has one or two decimals.
        assert price is None or fits(base, float(re.sub(r"(\.\d\d?).*", r"\1", price[1].replace(",", "")))), (
            trade, picker,
        )  # fmt: skip
        drawn = re.match(r"\S+, (\w+) candles", chart)
        assert drawn, chart
        assert not legend or f"· {drawn[1]}" in legend, (chart, legend)
    assert screen.complaints == []


def stored(platform: Platform, instrument: str, interval: str) -> int:
    """Closed bars there are, page by page as the app reads them."""
    count, end = 0, ""
    while True:
        status, page = platform.get(f"/api/v1/data/{instrument}/bars?interval={interval}&limit=5000{end}")
        assert status == 200, page
        count += len(page["ts"])
        if page["next"] is None:
            return count
        end = f"&end={page['ts'][0]}"


def bars_loaded(page: Page) -> int:
    found = re.search(r"older of ([\d,]+)", page.get_by_role("region", name="Bars").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def test_scrolling_back_reaches_the_first_bar(screen: Screen) -> None:
    page = screen.open(f"/charts?instrument={ETH}&interval=1m").page
    until(lambda: number_after(chart_text(screen), "close"), "the chart has bars", 30)
    page.keyboard.press("Alt+v")
    first = until(lambda: bars_loaded(page), "the table counts its bars")
    assert first <= 5_001
    page.keyboard.press("Alt+v")
    whole = stored(screen.platform, ETH, "1m")
    assert whole > first, "there is more than one page"
    box = page.locator(".chart-box").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def scrolled() -> bool:
        for _ in range(8):
            page.mouse.wheel(-2_000, 0)
        page.wait_for_timeout(300)
        page.keyboard.press("Alt+v")
        loaded = bars_loaded(page)
        page.keyboard.press("Alt+v")
        return loaded >= whole

    until(scrolled, f"all {whole} bars are loaded", 90)
    assert screen.complaints == []


def row_of(page: Page, index: int) -> list[str]:
    cells = page.get_by_role("region", name="Bars").locator("tbody tr").nth(index).locator("td")
    return [text.replace(",", "") for text in cells.all_inner_texts()]


def test_a_live_candle_equals_the_stored_one_after_its_minute(screen: Screen) -> None:
    page = screen.open(f"/charts?instrument={BTC}&interval=1m").page
    until(lambda: number_after(chart_text(screen), "close"), "the chart has bars", 30)
    page.keyboard.press("Alt+v")
    began = time.time()
    page.wait_for_timeout(1000 * (60 - began % 60) + 1500)
    start = int(began // 60) * 60

    def closed() -> dict[str, Any] | None:
        _, answer = screen.platform.get(f"/api/v1/data/{BTC}/bars?interval=1m&limit=3&format=rows")
        found = {int(item["ts"]) // 10**9: item for item in answer["items"]}
        return found.get(start)

    until(closed, "the minute is stored", 60)

    def agrees() -> bool:
        # Within its grace a trade that was late is still taken in: what is stored is read again each time.
        bar = closed()
        assert bar is not None
        clock = time.strftime("%H:%M:00", time.gmtime(start))
        row = next(
            (row for row in (row_of(page, 0), row_of(page, 1), row_of(page, 2)) if clock in row[0]), None
        )
        if row is None:
            return False
        names = ("open", "high", "low", "close", "volume", "trades")
        return [float(text) for text in row[1:]] == [float(bar[name]) for name in names]

    until(agrees, f"the candle of {start} is the stored one", 20)


def test_links_and_the_back_button_restore_the_view(screen: Screen) -> None:
    page = screen.open(f"/charts?instrument={SOL}&interval=15m").page
    until(lambda: chart_text(screen).startswith(f"{SOL}, 15m"), "the link's chart", 30)
    listed = page.get_by_role("region", name="Instruments")
    listed.locator("tbody", has_text="sim-kraken").get_by_role("button", name="ETH-USD").click()
    page.get_by_role("button", name="1h", exact=True).click()
    until(lambda: chart_text(screen).startswith(f"{ETH}, 1h"), "another chart", 30)
    page.reload()
    until(lambda: chart_text(screen).startswith(f"{ETH}, 1h"), "the same after a reload", 30)
    page.go_back()
    page.go_back()
    until(lambda: chart_text(screen).startswith(f"{SOL}, 15m"), "the first one again", 30)
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="Collection")).to_be_visible(timeout=LIVE_S)
    page.keyboard.press("g")
    page.keyboard.press("c")
    until(lambda: chart_text(screen).startswith(f"{SOL}, 15m"), "the chart looked at last", 30)
    assert screen.complaints == []


# The ladder and the tape of an asset whose numbers are longest of all, and the names beside them.
CUT = """() => [...document.querySelectorAll(
  '.tape td, .tape th, .level span, .instruments .name')].filter((cell) => {
  const box = cell.getBoundingClientRect();
  const frame = cell.closest('section.tape, section.depth, section.instruments').getBoundingClientRect();
  if (box.width === 0 || box.top > frame.bottom) return false;
  return box.right > frame.right || cell.scrollWidth > cell.clientWidth + 1;
}).map((cell) => cell.textContent)"""


@pytest.mark.parametrize(
    "screen", [{"viewport": {"width": width, "height": 900}} for width in (1200, 1440, 2560)], indirect=True,
    ids=lambda o: str(o["viewport"]["width"]),
)  # fmt: skip
@pytest.mark.parametrize("instrument", ["MOTE-USD.sim-coinbase", "HEAP-USD.sim-kraken", "BTC-USD.sim-kraken"])
def test_no_price_or_size_is_cut(screen: Screen, instrument: str) -> None:
    page = screen.open(f"/charts?instrument={instrument}&interval=1m").page
    expect(page.get_by_role("region", name="Trades").locator("tbody tr").nth(5)).to_be_visible(
        timeout=3 * LIVE_S
    )
    expect(page.get_by_role("region", name="Depth").locator(".level").nth(8)).to_be_visible(timeout=LIVE_S)
    assert page.evaluate(CUT) == []
