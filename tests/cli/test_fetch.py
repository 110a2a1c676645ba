"""`tidemill fetch` as people type it: estimated, done here without a platform, followed with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import Office
from tests.jobs.conftest import home as home
from tests.jobs.conftest import kinds as kinds
from tests.jobs.conftest import local as local
from tidemill.home import Home
from tidemill.stores.api import Query
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS

pytestmark = pytest.mark.timeout(400)

WORDS = ("fetch", "made", "AAA,BBB", "--interval", "1m", "--start", "2026-01-01", "--end", "2026-01-02")


def tidemill(home: Home, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidemill", *words, "--home", str(home.path)],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_without_a_platform_it_is_estimated_and_done_here(home: Home, kinds: dict[str, str]) -> None:
    said = tidemill(home, kinds, *WORDS, "--estimate", "--json")
    assert said.returncode == 0, said.stderr
    estimate = json.loads(said.stdout)
    done = tidemill(home, kinds, *WORDS, "--workers", "50", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["state"], job["result"]["rows"]) == ("done", estimate["rows"])
    assert json.loads(done.stderr.splitlines()[0])["progress"]["kind"] == "fetch"
    rows = Lake(home.lake).read(BARS, Query(interval="1m"))
    assert len(rows) == estimate["rows"]
    shown = tidemill(home, kinds, *WORDS, "--estimate")
    assert "AAA.made" in shown.stdout
    assert "0 requests for 0 rows" in shown.stderr
    again = tidemill(home, kinds, *WORDS)
    assert "0 requests, 8 chunks were held already" in again.stderr
    assert "tidemill data show AAA.made" in again.stderr


def test_with_a_platform_its_worker_does_it(local: Office, kinds: dict[str, str]) -> None:
    local.start()
    later = tidemill(local.home, kinds, *WORDS, "--detach")
    assert later.returncode == 0, later.stderr
    job_id = later.stdout.strip()
    assert local.ended(job_id).state == "done"
    done = tidemill(local.home, kinds, *WORDS, "--kind", "trades", "--json", "--option", "chunk_s=7200")
    assert json.loads(done.stdout)["result"]["chunks"] == 24


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("fetch", "nobody", "AAA", "--start", "2026-01-01"), "provider_unknown", 5),
        (("fetch", "made", "AAA"), "arguments_unfit", 2),
        (("fetch", "made", "AAA", "--start", "2026-01-01", "--option", "x"), "arguments_unfit", 2),
        ((*WORDS, "--option", "fault=key"), "credential_refused", 4),
    ],
)
def test_what_goes_wrong_is_told(
    home: Home, kinds: dict[str, str], tmp_path: Path, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    answer = tidemill(home, kinds, *words, "--json")
    assert answer.returncode == exit_code
    last: dict[str, Any] = json.loads(answer.stdout or answer.stderr.splitlines()[-1])
    assert last["error"]["code"] == code
