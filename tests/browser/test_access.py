"""What everybody can read and reach: contrast in both themes, named controls, targets for fingers."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen
from tests.browser.test_screen import LIVE_S
from tests.system.harness import until

PAGES = {"charts": "/charts?instrument=BTC-USD.sim-kraken&interval=1m", "collection": "/data/collect"}

# Text against the surfaces below it, by WCAG 2.2: what is at rest, not what flashes for 400 ms.
FAINT = """() => {
  const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const colour = (text) => {
    const v = (text.match(/[\\d.]+/g) ?? []).map(Number);
    const rgb = text.startsWith('color(srgb') ? v.slice(0, 3).map((x) => x * 255) : v.slice(0, 3);
    return [...rgb, v[3] ?? 1];
  };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3]));
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const layer = colour(getComputedStyle(e).backgroundColor);
      if (layer[3] > 0) layers.unshift(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const words = texts.currentNode.textContent.trim();
    const box = element.getBoundingClientRect();
    const moving = element.getAnimations().length > 0;
    if (!words || box.width < 2 || moving || element.closest(':disabled')) continue;
    const below = behind(element);
    const [a, b] = [light(over(colour(getComputedStyle(element).color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.add(`${words.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
}"""

NAMELESS = """() => [...document.querySelectorAll('a, button, input, [tabindex="0"]')].filter((control) => {
  const name = control.getAttribute('aria-label') ?? control.title;
  return control.getBoundingClientRect().width > 1 && !name && !control.textContent.trim();
}).map((control) => control.outerHTML.slice(0, 120))"""

# The mark of the chart library is a link in a canvas' corner, of the size that its licence gives.
SMALL = """(least) => [...document.querySelectorAll('button, input, nav a')].map((control) => {
  const { width, height } = control.getBoundingClientRect();
  return [control.getAttribute('aria-label') ?? control.textContent, Math.round(width), Math.round(height)];
}).filter(([, width, height]) => width > 1 && (width < least || height < least))"""


def shown(screen: Screen, page_name: str) -> Screen:
    screen.open(PAGES[page_name])
    until(lambda: "sim-kraken" in screen.page.content(), "the page shows its venue", 30)
    if page_name == "charts":
        expect(screen.page.get_by_label("Price chart")).to_be_visible(timeout=3 * LIVE_S)
    else:
        expect(screen.page.get_by_role("region", name="Log", exact=True)).to_be_visible(timeout=3 * LIVE_S)
    screen.page.wait_for_timeout(1_500)
    return screen


@pytest.mark.parametrize("screen", [{}], indirect=True, ids=["desk"])
@pytest.mark.parametrize("page_name", PAGES)
def test_every_text_stands_out_and_every_control_has_a_name(screen: Screen, page_name: str) -> None:
    page = shown(screen, page_name).page
    for theme in ("dark", "light"):
        until(
            lambda theme=theme: (
                page.evaluate("document.documentElement.dataset.theme") == theme
                or page.get_by_role("button", name="Theme:").click()
            ),
            f"the {theme} theme",
        )
        page.wait_for_timeout(300)
        assert page.evaluate(FAINT) == [], theme
        assert page.evaluate(NAMELESS) == []
    assert screen.complaints == []


@pytest.mark.parametrize(
    "screen", [{"viewport": {"width": 360, "height": 780}}], indirect=True, ids=["phone"]
)
@pytest.mark.parametrize("page_name", PAGES)
def test_fingers_find_their_targets(screen: Screen, page_name: str) -> None:
    page = shown(screen, page_name).page
    assert page.evaluate(SMALL, 44) == []
    assert page.evaluate(NAMELESS) == []


def test_the_chart_is_read_by_keyboard_alone(screen: Screen) -> None:
    page = shown(screen, "charts").page
    until(lambda: page.locator(".ohlc").inner_text().count(","), "the chart has bars", 30)
    chart = page.locator("[aria-roledescription=chart]")
    for _ in range(40):
        page.keyboard.press("Tab")
        if chart.evaluate("(element) => element === document.activeElement"):
            break
    expect(chart).to_be_focused()
    page.keyboard.press("ArrowLeft")  # the last bar
    page.keyboard.press("Shift+ArrowLeft")  # ten bars before it: closed, so its words stand still
    before = page.locator(".ohlc").inner_text()
    page.wait_for_timeout(1_500)
    assert page.locator(".ohlc").inner_text() == before
    page.keyboard.press("ArrowLeft")
    until(lambda: page.locator(".ohlc").inner_text() != before, "the bar before")
    page.keyboard.press("End")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    expect(page.get_by_role("combobox", name="Instrument")).to_have_value("e")
    page.keyboard.type("th kraken")
    page.keyboard.press("Enter")
    until(lambda: (chart.get_attribute("aria-label") or "").startswith("ETH-USD.sim-kraken"), "ETH", 30)
    assert screen.complaints == []
