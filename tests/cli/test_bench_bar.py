"""`tidemill bench resample` and `bench bars`: figures of every party."""

from __future__ import annotations

import json

import pytest

from tidemill.cli import main


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("resample", {"trades_to_1m", "seconds_to_1m", "trades_to_all", "vwap_by_day"}),
        ("bars", {"newest_5000_bars"}),
    ],
)
def test_all_parties_are_measured(command: str, found: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", command, "--rows", "10000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("rows") == 10_000
    assert set(told) == found
    for one in told.values():
        assert "tidemill" in one["median_ms"]
        assert set(one["ratio"]) == set(one["median_ms"]) - {"tidemill"}
        assert all(spent > 0 for spent in one["median_ms"].values())
