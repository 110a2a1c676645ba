"""`tidemill bench http`: figures of every path, over a service of its own."""

from __future__ import annotations

import json

import pytest

from tidemill.cli import bench_http, main


@pytest.mark.timeout(300)
def test_every_path_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "http", "--instruments", "4", "--rows", "1500", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["instruments"], told["rows"]) == (4, 1_500)
    assert told["paths"].keys() == {*bench_http.LINES, "bars of a market that moves"}
    for found in told["paths"].values():
        assert 0 < found["cold_p50"] <= found["cold_p99"]
        assert 0 < found["warm_p50"] <= found["warm_p99"]
        assert found["cold_cpu"] > 0 < found["warm_cpu"]
