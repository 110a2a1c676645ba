"""Strategies written in the browser: offered words, marks, versions, a check and a run, kept and let go."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Screen
from tidemill import sandbox

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 60_000
BTC = "BTC-USD.sim-kraken"


@pytest.fixture
def written(screen: Screen) -> Iterator[Page]:
    """The page of a strategy that was made of a template, empty but for that; gone afterwards."""
    page = screen.open("/ide").page
    page.get_by_role("button", name="New strategy").click()
    page.get_by_label("Name").fill("browser_made")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url(re.compile("/ide/browser_made"), timeout=WAIT_MS)
    expect(page.locator(".view-line").first).to_be_visible(timeout=WAIT_MS)
    yield page
    assert screen.complaints == []


def end_of(page: Page, text: str) -> None:
    """Puts the cursor at the end of the line that has this text."""
    page.locator(".view-line", has_text=text).first.click()
    page.keyboard.press("End")


def test_it_offers_marks_saves_compares_and_brings_back(written: Page) -> None:
    page = written
    end_of(page, "return when")
    page.keyboard.press("Shift+Home")
    page.keyboard.type("return when(bars.close > bars.s")
    offered = page.get_by_role("listbox", name=re.compile("Suggest")).get_by_role("option")
    expect(offered.filter(has_text="sma").first).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("Escape")
    page.keyboard.type("mma(self.period), 1.0, 0.0)")
    page.get_by_role("tab", name="Problems").click()
    mark = page.get_by_role("button", name=re.compile("no column or indicator smma"))
    expect(mark).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("not saved").last).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.locator(".ide-head .chip")).to_have_text("v2", timeout=WAIT_MS)
    page.get_by_role("tab", name="Versions").click()
    page.locator(".ide-versions a", has_text="v1").click()
    expect(page.locator(".monaco-diff-editor .line-delete").first).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("button", name="Restore v1").click()
    expect(page.locator(".ide-head .chip")).to_have_text("v3", timeout=WAIT_MS)
    page.get_by_role("tab", name="Problems").click()
    expect(page.get_by_text("No problems.")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".ide-head .chip")).to_have_text("v4", timeout=WAIT_MS)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("browser_made was deleted.")).to_be_visible(timeout=WAIT_MS)


def test_what_is_in_the_editor_is_run_and_checked(screen: Screen) -> None:
    page = screen.open("/ide/sma_cross").page
    expect(page.locator(".view-line").first).to_be_visible(timeout=WAIT_MS)
    page.get_by_label("fast", exact=True).fill("1")
    expect(page.get_by_text("fast is out of its range.")).to_be_visible(timeout=WAIT_MS)
    page.get_by_label("fast", exact=True).fill("12")
    page.get_by_role("combobox", name="Instrument").fill(BTC)
    page.get_by_role("combobox", name="Interval").select_option("15m")
    page.locator(".view-line").first.click()
    page.keyboard.press("Control+Enter")
    report = page.get_by_role("link", name="Full report")
    expect(report).to_be_visible(timeout=WAIT_MS)
    status, told = screen.platform.get(
        f"/api/v1/backtests/{str(report.get_attribute('href')).split('/')[-1]}"
    )
    assert status == 200
    assert (told["strategy"], told["params"]) == ("sma_cross", {"fast": 12, "slow": 50})
    numbers = told["summary"]["numbers"]
    shown = f"{numbers['deflated_sharpe']:,.2f}".replace("-", "\u2212")
    expect(page.locator(".ide-numbers").get_by_text(shown, exact=True)).to_be_visible()
    expect(page.locator(".ide-numbers").get_by_text(re.compile("trial"))).to_be_visible()
    if sandbox.available().ok:
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.get_by_text("No look-ahead found")).to_be_visible(timeout=WAIT_MS)
    assert screen.complaints == []


@pytest.mark.parametrize("screen", [{"viewport": {"width": 360, "height": 760}}], indirect=True)
def test_on_a_phone_it_is_read_and_run(screen: Screen) -> None:
    page = screen.open("/ide/sma_cross").page
    expect(page.get_by_text("class SmaCross(Strategy):")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Backtest")).to_be_visible()
    assert page.locator(".monaco-editor").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto(page.url.replace("sma_cross", "nosuch"))
    expect(page.get_by_text("strategy_unknown")).to_be_visible(timeout=WAIT_MS)
