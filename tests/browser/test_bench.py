"""The bench of our own start works with the browser that is here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from benches.contest import ROOT
from benches.program import environment

from tests.browser.conftest import chromium


@pytest.mark.timeout(300)
def test_both_starts_are_measured() -> None:
    if chromium() is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium on PATH; install Debian's `chromium` or set CHROMIUM")
    command = [sys.executable, "-m", "benches.run", "--tiny", "start"]
    said = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.count("moving candle | tidemill |") == 2, said.stdout
