"""The page of notebooks: what there is, and what it says where the lab cannot be opened."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Screen

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 60_000


def test_the_notebooks_are_shown(screen: Screen) -> None:
    page = screen.open("/charts").page
    page.get_by_role("link", name="Research", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(10, timeout=WAIT_MS)
    expect(page.get_by_role("article", name="An event study")).to_contain_text("3-event-study.ipynb")
    expect(page.get_by_role("button", name="Open JupyterLab")).to_be_enabled()
    expect(page.get_by_role("button", name="Copy tidemill lab")).to_be_visible()
    assert page.title() == "Research · Tidemill"
    assert screen.complaints == []


@pytest.mark.parametrize("screen", [{"viewport": {"width": 360, "height": 760}}], indirect=True)
def test_it_says_what_to_install_and_fits_a_phone(screen: Screen) -> None:
    def without(route: Route) -> None:
        told = route.fetch().json()
        told |= {"state": "missing", "kinds": []}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    screen.page.route("**/api/v1/lab", without)
    page = screen.open("/research").page
    expect(page.get_by_text("JupyterLab is not installed")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("pip install 'tidemill[notebook]'")).to_be_visible()
    expect(page.get_by_role("button", name="Open An event study")).to_be_disabled()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
