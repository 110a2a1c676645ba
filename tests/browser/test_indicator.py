"""Indicators on the chart say what the platform says, over history and as bars move."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from playwright.sync_api import Page, expect

from tests.browser.conftest import Screen
from tests.browser.test_screen import chart_text
from tests.system.harness import until

BTC = "BTC-USD.sim-kraken"
ASKED: list[dict[str, Any]] = [
    {"indicator": "rsi", "params": {"period": 14}}, {"indicator": "ema", "params": {"period": 50}},
]  # fmt: skip


def add(page: Page, name: str, **params: int) -> None:
    """By keyboard, as one would who knows the keys."""
    page.keyboard.press("/")
    page.keyboard.type(name)
    chosen = page.get_by_role("option", selected=True).locator(".cut")
    expect(chosen).to_have_text(name, timeout=20_000)
    page.keyboard.press("Enter")
    for key, value in params.items():
        page.locator(f".indicator-form input[name={key}]").fill(str(value))
    page.keyboard.press("Enter")


def value_of(page: Page, name: str) -> float | None:
    found = page.locator(f"[data-indicator={name}] .indicator-value")
    text = found.first.inner_text() if found.count() else "—"
    return None if text == "—" else float(text.replace(",", "").replace("\u2212", "-"))


def pointed(page: Page) -> tuple[float, ...] | None:
    """Open, high, low and close of the bar under the crosshair."""
    text = page.locator(".ohlc").inner_text().replace("\n", " ")
    found = re.match(r"O ([\d,.]+) ?H ([\d,.]+) ?L ([\d,.]+) ?C ([\d,.]+)", text)
    return tuple(float(one.replace(",", "")) for one in found.groups()) if found else None


def calculated(screen: Screen) -> dict[tuple[float, ...], tuple[float, float]]:
    """RSI and EMA of every closed bar, by its prices."""
    status, bars = screen.platform.get(f"/api/v1/data/{BTC}/bars?interval=1m&limit=300")
    assert status == 200
    status, found = screen.platform.request(
        "POST",
        "/api/v1/indicators/calculate",
        {"instrument": BTC, "interval": "1m", "indicators": ASKED, "limit": 300},
    )
    assert status == 200, found
    rsi, ema = (one["values"][one["indicator"]] for one in found["indicators"])
    by_ts = dict(zip(found["ts"], zip(rsi, ema, strict=True), strict=True))
    prices = zip(*(bars[name] for name in ("open", "high", "low", "close")), strict=True)
    return {bar: by_ts[ts] for ts, bar in zip(bars["ts"], prices, strict=True) if ts in by_ts}


def test_rsi_and_ema_are_those_of_the_platform(screen: Screen) -> None:
    page = screen.open(f"/charts?instrument={BTC}&interval=1m").page
    until(lambda: "close" in chart_text(screen), "the chart has bars", 30)
    add(page, "rsi")
    add(page, "ema", period=50)
    shown = page.get_by_role("list", name="Indicators on the chart").get_by_role("listitem")
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text("RSI 14")
    expect(shown.last).to_contain_text("EMA 50")
    until(lambda: value_of(page, "rsi") and value_of(page, "ema"), "they have values", 20)
    assert "indicators=rsi(period:14);ema(period:50)" in unquote(page.url)

    page.locator(".chart-box").focus()
    seen = []
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(150)
        seen.append((pointed(page), value_of(page, "rsi"), value_of(page, "ema")))
    platform = calculated(screen)
    closed = [one for one in seen if one[0] in platform]
    assert len(closed) >= 6, "all but the open one"
    for bar, rsi, ema in closed:
        assert bar is not None
        expected = platform[bar]
        assert (rsi, ema) == (round(expected[0], 2), round(expected[1], 1)), bar

    page.keyboard.press("End")
    page.mouse.move(5, 5)
    before = value_of(page, "ema")
    until(lambda: value_of(page, "ema") != before, "it moves with the open bar", 20)

    page.reload()
    expect(shown).to_have_count(2)
    until(lambda: value_of(page, "rsi"), "they are here again", 20)
    page.get_by_role("button", name="Hide RSI 14").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Show RSI 14")).to_be_visible()
    page.get_by_role("button", name="Remove EMA 50").focus()
    page.keyboard.press("Enter")
    expect(shown).to_have_count(1)
    expect(page).to_have_url(re.compile(r"indicators=rsi%28period%3A14%29$"))
    assert screen.complaints == []
