"""A report is one page that asks nobody for anything, and whatever a run holds leaves it escaped."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.browser.conftest import FLAGS, chromium
from tests.research import hand
from tests.research.test_store import row
from tidemill.errors import UsageError
from tidemill.research import report, summary
from tidemill.research.conduct import prices
from tidemill.research.history import History
from tidemill.research.run import Costs, Settings
from tidemill.research.store import SCHEMAS, Row
from tidemill.research.thin import thinned

HOSTILE = "</script><img src=x onerror=alert(1)>'\"&\u2028"


def run(hours: int = 24 * 120, target: Any = None, **rest: Any) -> tuple[Row, dict[str, pa.Table]]:
    history: History = hand.history(hours)
    settings = Settings(costs=Costs(taker="0.001"))
    outcome = hand.outcome(history, settings, target)
    said = summary.of(outcome, history, settings, trials=7, trial_variance=0.001)
    tables = {
        **{name: getattr(outcome, name) for name in ("orders", "fills", "equity", "trades")},
        "days": said.days,
        "prices": prices(history),
    }
    kept = row(
        1, instruments=(hand.NAME,), summary=said.json(), start=hand.START,
        end=hand.START + hours * hand.HOUR, outcome_digest="o" * 64,
        settings={
            "cash": "100000", "limit_fill": "touch", "engine": "fast", "as_recorded": False,
            "costs": {"taker": "0.001", "maker": "0", "spread_bps": "0", "slippage_bps": "0",
                      "slippage_ticks": 0, "leverage": "1"},
        },
    )  # fmt: skip
    return replace(kept, **rest), tables


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_nothing_is_fetched_and_no_script_runs_but_its_own() -> None:
    page = report.html(*run())
    assert len(page) < 300_000
    for tag, attributes in Tags(page).found:
        assert tag not in ("link", "img", "iframe", "object", "form", "base"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            assert name not in ("src", "href", "style"), (tag, name, value)
    assert report.POLICY in page
    assert "unsafe" not in report.POLICY
    assert "@import" not in page
    assert "url(" not in page


def test_whatever_a_run_holds_is_escaped() -> None:
    kept, tables = run(
        strategy=HOSTILE, params={HOSTILE: HOSTILE}, source=HOSTILE, origin=HOSTILE, engine=HOSTILE,
        instruments=(HOSTILE,), version=HOSTILE, interval=HOSTILE,
    )  # fmt: skip
    said: dict[str, Any] = json.loads(json.dumps(kept.summary))
    said |= {"benchmark": HOSTILE, "notes": [HOSTILE], "cautions": [{"code": HOSTILE, "text": HOSTILE}]}
    for name in ("fills", "trades", "prices"):
        at = tables[name].schema.get_field_index("instrument")
        hostile = pa.array([HOSTILE] * len(tables[name]))
        tables[name] = tables[name].set_column(at, tables[name].schema.field(at), hostile)
    page = report.html(replace(kept, summary=said), tables)
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "\u2028" not in re.search(r'id="data">(.*?)</script>', page, re.S).group(1)  # type: ignore[union-attr]
    assert {tag for tag, _ in Tags(page).found if tag == "img"} == set()


def test_a_sharpe_ratio_stands_beside_its_trials() -> None:
    page = report.html(*run())
    assert "best of 7 trials" in page
    assert "after 7 trials" in page
    assert "Likely luck." in page


@pytest.mark.parametrize("hours", [1, 2, 30, 24 * 3])
@pytest.mark.parametrize("share", [0.0, 1.0, np.nan])
def test_short_runs_have_a_report(hours: int, share: float) -> None:
    assert "</html>" in report.html(*run(hours, np.full(hours, share)))


def test_a_failed_run_has_none() -> None:
    kept, tables = run()
    with pytest.raises(UsageError):
        report.html(replace(kept, state="failed", summary=None), tables)


def test_tables_for_other_programs() -> None:
    kept, tables = run()
    told = json.loads(report.json(kept, tables))
    assert set(told["tables"]) == set(SCHEMAS)
    assert told["tables"]["fills"]["price"][0] == f"{tables['fills']['price'][0].as_py():f}".rstrip("0")
    assert told["created"] == str(kept.created)
    with zipfile.ZipFile(io.BytesIO(report.parquet(kept, tables))) as archive:
        for name in SCHEMAS:
            assert pq.read_table(io.BytesIO(archive.read(f"{name}.parquet"))).equals(tables[name])
        assert json.loads(archive.read("run.json"))["fingerprint"] == kept.fingerprint
    with zipfile.ZipFile(io.BytesIO(report.csv(kept, tables))) as archive:
        lines = archive.read("trades.csv").decode().splitlines()
    assert len(lines) == len(tables["trades"]) + 1
    assert report.csv(kept, tables) == report.csv(kept, tables)


def test_a_formula_in_a_name_is_text_to_a_spreadsheet() -> None:
    kept, tables = run()
    trades = tables["trades"]
    tables["trades"] = trades.set_column(
        0, trades.schema.field(0), pa.array(["=cmd|' /C calc'!A0"] * len(trades))
    )
    with zipfile.ZipFile(io.BytesIO(report.csv(kept, tables))) as archive:
        assert "\"'=cmd" in archive.read("trades.csv").decode()


@pytest.mark.parametrize("most", [2, 3, 10, 99, 1000])
def test_no_peak_is_lost(most: int) -> None:
    values = np.random.default_rng(1).normal(size=500).cumsum()
    at = thinned(values, most)
    assert len(at) <= max(most, 4)
    assert (np.diff(at) > 0).all()
    assert (at[0], at[-1]) == (0, 499)
    if most >= 4:
        assert values.argmax() in at
        assert values.argmin() in at


def test_a_browser_draws_it(tmp_path: Path) -> None:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on PATH")
    from playwright.sync_api import sync_playwright

    file = tmp_path / "run.html"
    file.write_text(report.html(*run(strategy=HOSTILE)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.goto(file.as_uri())
            page.wait_for_selector("#equity path.line")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator(".chart svg").count() == 6
            assert page.locator("#price .mark").count() > 10
            page.hover("#equity svg")
            assert "strategy" in (page.text_content("#equity .tip") or "")
            page.click("button[data-log=equity]")
            assert page.get_attribute("button[data-log=equity]", "aria-pressed") == "true"
            assert said == []
        browser.close()
