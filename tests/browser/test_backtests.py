"""Backtests and studies on the screen: asked for, followed, and shown as the platform tells them."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import violations
from tests.browser.conftest import Screen
from tests.system.harness import until

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 60_000
BTC = "BTC-USD.sim-kraken"


def ran(screen: Screen, **params: int) -> str:
    """The id of a backtest that is done."""
    asked = {"strategy": "sma_cross", "instruments": [BTC], "interval": "15m", "params": params}
    status, told = screen.platform.request("POST", "/api/v1/backtests", asked)
    assert status in (200, 202), told
    if told["run"] is not None:
        return str(told["run"]["id"])
    path = f"/api/v1/jobs/{told['job_id']}"
    job = until(lambda: ended if (ended := screen.platform.get(path)[1])["ended"] else None, path, 60)
    return str(job["result"]["run"])


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
    # First the page of the job, then that of the run which it made.
    expect(page.locator(".kpis").first).to_be_visible(timeout=WAIT_MS)
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
    page.get_by_role("button", name=re.compile("trade 1 on the chart")).click()
    expect(page.get_by_role("img", name="Price around trade 1")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("tab", name="Robustness").click()
    expect(page.get_by_role("img", name="Where a thousand other paths went")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("tab", name="Code and data").click()
    expect(page.get_by_text("class SmaCross")).to_be_visible()
    page.get_by_role("button", name="Run again exactly").click()
    expect(page.get_by_text("the same to the bit")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="Back to backtests").click()
    expect(page.get_by_role("link", name="sma_cross").first).to_be_visible(timeout=WAIT_MS)
    assert screen.complaints == []


def test_a_list_is_narrowed_and_its_runs_are_compared(screen: Screen) -> None:
    ids = [ran(screen, fast=fast) for fast in (6, 7)]
    page = screen.open("/backtests?where=strategy:sma*").page
    filter_ = page.get_by_role("searchbox", name="Filter")
    expect(filter_).to_have_value("strategy:sma*", timeout=WAIT_MS)
    filter_.fill("param:fast=6")
    page.wait_for_url(re.compile("where=param"), timeout=WAIT_MS)
    expect(page.get_by_role("checkbox", name=re.compile("^Compare sma_cross fast 6"))).to_be_visible()
    expect(page.get_by_role("checkbox", name=re.compile("^Compare sma_cross fast 7"))).to_have_count(0)
    filter_.fill("sharp>1")
    expect(page.get_by_text("'sharp' in the filter")).to_be_visible(timeout=WAIT_MS)
    filter_.fill("")
    page.get_by_role("button", name="Sharpe").click()
    page.wait_for_url(re.compile("sort=sharpe"), timeout=WAIT_MS)
    for fast in (6, 7):
        page.get_by_role("checkbox", name=re.compile(f"^Compare sma_cross fast {fast}")).first.check()
    page.get_by_role("button", name="Compare (2)").click()
    page.wait_for_url(re.compile("/backtests/compare"), timeout=WAIT_MS)
    assert all(one in page.url for one in ids)
    expect(page.get_by_role("img", name="Growth of 100 of each run")).to_be_visible(timeout=WAIT_MS)
    row = page.get_by_role("row", name=re.compile("^Parameters fast"))
    assert sorted(row.get_by_role("cell").all_inner_texts()) == ["6", "7"]
    # A filter that the platform does not take is a refused request: the console tells of that one.
    assert [text for text in screen.complaints if "422" not in text] == []


@pytest.mark.parametrize(
    "screen", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True, ids=["dark", "light"]
)
def test_nothing_is_hidden_from_those_who_hear_the_pages(screen: Screen) -> None:
    as_the_system = json.dumps({"state": {"theme": "system"}, "version": 1})
    screen.page.add_init_script(f"localStorage.setItem('tidemill.settings', {json.dumps(as_the_system)})")
    one, other = ran(screen, fast=6), ran(screen, fast=7)
    for path, name in (
        ("/backtests", "CSV"),
        (f"/backtests/compare?ids={one},{other}", "Copy as Python"),
        (f"/backtests/{one}", "Clone"),
        (f"/backtests/{one}?tab=trades", "Clone"),
        ("/studies", "Start study"),
    ):
        page = screen.open(path).page
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=WAIT_MS)
        expect(page.locator("main .skeleton")).to_have_count(0, timeout=WAIT_MS)
        assert violations(page) == [], path


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
    cells = page.get_by_role("img", name=re.compile("Sharpe by fast and slow")).locator("title")
    expect(cells).to_have_count(9)
    best = told["result"]["best"]
    chosen = page.locator(".study-trials td.chosen")
    expect(chosen.nth(1)).to_have_text(str(best["params"]["fast"]))
    expect(chosen.nth(2)).to_have_text(str(best["params"]["slow"]))
    page.get_by_role("link", name=f"Promote trial {best['number'] + 1}", exact=True).click()
    expect(page.get_by_label("fast", exact=True)).to_have_value(str(best["params"]["fast"]), timeout=WAIT_MS)
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
