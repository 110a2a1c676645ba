"""Alerts on the screen: made by a form, fired by the platform, shown in the history."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 60_000
BTC = "BTC-USD.sim-kraken"


def test_an_alert_is_made_fires_and_is_told(screen: Screen) -> None:
    page = screen.open("/alerts").page
    page.get_by_label("Watch", exact=True).select_option("volume")
    page.get_by_role("combobox", name="Instrument").fill(BTC)
    page.get_by_role("textbox", name="Interval").fill("1s")
    page.get_by_label("Times the median").fill("0")
    expect(page.get_by_text("Times the median: a number above 1.")).to_be_visible()
    create = page.get_by_role("button", name="Create alert")
    expect(create).to_be_disabled()
    # A second with a little more than usual comes soon.
    page.get_by_label("Times the median").fill("1.01")
    page.get_by_label("Of the bars before").fill("2")
    page.get_by_label("Once: switched off by its first firing").check()
    create.click()
    row = page.get_by_role("listitem").filter(has_text=f"Volume of {BTC}")
    expect(row.first).to_be_visible(timeout=WAIT_MS)
    history = page.locator(".firings")
    expect(history.get_by_text(f"Volume of {BTC}").first).to_be_visible(timeout=WAIT_MS)
    expect(row.first.get_by_role("checkbox")).not_to_be_checked(timeout=WAIT_MS)
    row.first.get_by_role("button", name="Test volume").click()
    expect(history.get_by_text("A test of").first).to_be_visible(timeout=WAIT_MS)
    row.first.get_by_role("button", name="Delete volume").click()
    expect(page.get_by_text("Nothing is watched yet.")).to_be_visible(timeout=WAIT_MS)
    assert screen.complaints == []


def test_a_refused_alert_says_why_and_keeps_what_was_typed(screen: Screen) -> None:
    page = screen.open("/alerts?instrument=NO-NO.sim-kraken").page
    page.get_by_label("Level").fill("1")
    page.get_by_role("button", name="Create alert").click()
    expect(page.get_by_role("alert").get_by_text("NO-NO.sim-kraken")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_label("Level")).to_have_value("1")
