"""Getting data: a fetch says what it takes, a file shows what would be kept, and both become jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen
from tests.system.harness import until

pytestmark = pytest.mark.timeout(240)  # the first test starts the platform
WAIT_MS = 30_000


def test_a_file_is_shown_before_it_is_kept_and_then_imported(screen: Screen, tmp_path: Path) -> None:
    file = tmp_path / "acme.csv"
    rows = [f"2024-01-02T09:{minute:02}:00Z,10.5,10.9,10.4,10.8,1200" for minute in range(30, 50)]
    rows[3] = rows[3].replace("10.9", "nonsense")
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    page = screen.open("/data/get?from=file").page
    page.get_by_label("File to import").set_input_files(file)
    kept = page.get_by_role("region", name="What would be kept")
    expect(kept.get_by_text("Of the first 20 rows 19 are good, 1 would be set aside")).to_be_visible(
        timeout=WAIT_MS
    )
    expect(kept.get_by_text(re.compile("Line 5: high"))).to_be_visible()
    page.get_by_role("textbox", name="Instrument").fill("ACME.browser")
    page.get_by_role("textbox", name="Instrument").press("Enter")
    expect(kept.get_by_role("cell", name="ACME.browser").first).to_be_visible(timeout=WAIT_MS)
    page.get_by_label("Save the recipe as").fill("acme minutes")
    kept.get_by_role("button", name="Import").click()
    jobs = page.get_by_role("complementary", name="Jobs")
    expect(jobs.get_by_text("ACME.browser").first).to_be_visible(timeout=WAIT_MS)
    stored = "/api/v1/data/ACME.browser/bars?interval=1m"
    until(
        lambda: page.evaluate(f"fetch('{stored}').then(a => a.json()).then(b => (b.ts ?? []).length)") == 19,
        "its bars are stored",
        60,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert [text for text in screen.complaints if "404" not in text] == []


def test_what_is_no_table_is_said(screen: Screen, tmp_path: Path) -> None:
    file = tmp_path / "picture.parquet"
    file.write_bytes(b"PAR1" + bytes(range(256)) * 8)
    page = screen.open("/data/get?from=file").page
    page.get_by_label("File to import").set_input_files(file)
    expect(page.get_by_text("The file could not be loaded")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("button", name="Another file").click()
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()


def test_a_fetch_says_what_it_takes_and_what_is_missing(screen: Screen) -> None:
    page = screen.open("/data/get").page
    provider = page.get_by_role("combobox", name=re.compile("^Provider"))
    expect(provider).to_be_visible(timeout=WAIT_MS)
    provider.select_option("polygon")
    expect(page.get_by_text("POLYGON_API_KEY")).to_be_visible()
    fetch = page.get_by_role("button", name="Fetch", exact=True)
    expect(fetch).to_be_disabled()
    provider.select_option("coinbase")
    page.get_by_label("Symbols, as the provider spells them").fill("BTC-USD")
    takes = page.get_by_role("region", name="What it takes")
    expect(takes.get_by_text(re.compile("at most [0-9]"))).to_be_visible(timeout=WAIT_MS)
    expect(fetch).to_be_enabled()
    page.get_by_label("First day, UTC").fill("2026-11-20")
    page.get_by_label("Last day, UTC").fill("2026-11-10")
    expect(page.get_by_text("The last day lies before the first.")).to_be_visible()
    expect(fetch).to_be_disabled()


@pytest.mark.parametrize("screen", [{"viewport": {"width": 360, "height": 760}}], indirect=True)
@pytest.mark.parametrize("path", ["/data/get", "/data/get?from=file"])
def test_it_fits_a_phone(screen: Screen, path: str) -> None:
    page = screen.open(path).page
    expect(page.get_by_role("group", name="From where")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
