"""Backtests and studies on the screen: asked for, followed, and shown as the platform tells them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 60_000
BTC = "BTC-USD.sim-kraken"


def test_a_backtest_is_run_and_shown_with_its_doubts(screen: Screen) -> None:
    page = screen.open("/backtests").page
    page.get_by_label("fast", exact=True).fill("1")
    expect(page.get_by_text("A parameter is out of its range.")).to_be_visible(timeout=WAIT_MS)
    run = page.get_by_role("button", name="Run backtest")
    expect(run).to_be_disabled()
    page.get_by_label("fast", exact=True).fill("10")
    page.get_by_label("Instrument").first.fill(BTC)
    page.get_by_role("combobox", name="Interval").select_option("15m")
    run.click()
    page.wait_for_url(re.compile("/backtests/"), timeout=WAIT_MS)
    status, told = screen.platform.get(f"/api/v1/backtests/{page.url.rpartition('/')[2]}")
    assert status == 200
    assert told["params"] == {"fast": 10, "slow": 50}
    assert told["settings"]["costs"]["taker"] == "0.001"
    numbers = told["summary"]["numbers"]
    shown = f"{numbers['sharpe']:,.2f}".replace("-", "\u2212")
    expect(page.locator(".kpis").get_by_text(shown, exact=True).first).to_be_visible(timeout=WAIT_MS)
    doubts = page.get_by_role("note", name="Reasons to doubt").get_by_role("listitem")
    expect(doubts).to_have_count(len(told["summary"]["cautions"]))
    expect(page.get_by_role("img", name="Equity over time")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("tab", name=re.compile("^Trades")).click()
    expect(page.get_by_role("row")).to_have_count(min(numbers["trades"] + numbers["trades_open"], 1000) + 1)
    page.get_by_role("tab", name="Code and data").click()
    expect(page.get_by_text("class SmaCross")).to_be_visible()
    page.get_by_role("button", name="Run again exactly").click()
    expect(page.get_by_text("the same to the bit")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="Back to backtests").click()
    expect(page.get_by_role("link", name="sma_cross").first).to_be_visible(timeout=WAIT_MS)
    assert screen.complaints == []


def test_a_study_says_how_much_of_its_best_is_luck(screen: Screen) -> None:
    page = screen.open("/studies").page
    page.get_by_label("fast", exact=True).fill("5:15:5")
    page.get_by_label("slow", exact=True).fill("50:20:10")
    expect(page.get_by_text("slow: the range runs backwards.").first).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Start study")).to_be_disabled()
    page.get_by_label("slow", exact=True).fill("20, 40, 60")
    page.get_by_label("Instrument").first.fill(BTC)
    page.get_by_role("combobox", name="Interval").select_option("15m")
    page.get_by_role("button", name="Start study").click()
    page.wait_for_url(re.compile("/studies/"), timeout=WAIT_MS)
    expect(page.get_by_role("note", name="Verdict")).to_be_visible(timeout=WAIT_MS)
    status, told = screen.platform.get(f"/api/v1/studies/{page.url.rpartition('/')[2]}")
    assert status == 200
    assert told["trials"] == 9
    cells = page.get_by_role("img", name=re.compile("objective by fast and slow")).locator("title")
    expect(cells).to_have_count(9)
    best = told["result"]["best"]
    chosen = page.locator(".study-trials tr.chosen td")
    expect(chosen.nth(1)).to_have_text(str(best["params"]["fast"]))
    expect(chosen.nth(2)).to_have_text(str(best["params"]["slow"]))
    assert screen.complaints == []


@pytest.mark.parametrize("screen", [{"viewport": {"width": 360, "height": 760}}], indirect=True)
@pytest.mark.parametrize("path", ["/backtests", "/studies"])
def test_it_fits_a_phone(screen: Screen, path: str) -> None:
    page = screen.open(path).page
    expect(page.get_by_role("navigation", name="Backtests or studies")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("button", name=re.compile("Run backtest|Start study"))).to_be_visible(
        timeout=WAIT_MS
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_run_that_nobody_has_says_so(screen: Screen) -> None:
    page = screen.open("/backtests/nosuchrun").page
    expect(page.get_by_text("The run could not be loaded")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("run_unknown")).to_be_visible()
