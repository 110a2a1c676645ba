"""`tidemill study` and `td.study`: made, shown, listed and removed on a home without a platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tidemill as tm
from tests.research.market import NAME, keep, market
from tidemill.cli import main
from tidemill.home import Home


@pytest.mark.timeout(300)
def test_a_study_from_the_command_line_and_from_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.at(str(tmp_path / "h"))
    home.create()
    keep(home, market(800))
    at = ["--home", str(home.path)]
    words = ["study", "run", "sma_cross", NAME, "--param", "fast=5:15:5", "--param", "slow=40,60"]
    assert (
        main([*words, "--cost", "taker=0.0005", "--end", "2021-01-01", "--workers", "1", "--json", *at]) == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert (made["state"], made["trials"]) == ("done", 6)
    assert made["result"]["honesty"]["ledger_trials"] == 6
    assert main(["study", "show", made["id"], *at]) == 0
    shown = capsys.readouterr().out
    assert made["result"]["verdict"]["text"] in shown.replace("\n", " ")
    assert "deflated Sharpe ratio" in shown

    td = tm.connect(home.path)
    again = td.study(
        "sma_cross", NAME, "1h", end="2021-01-01", params={"fast": (5, 15, 5), "slow": [40, 60]},
        settings={"costs": {"taker": "0.0005"}}, workers=1,
    )  # fmt: skip
    assert again.result["digest"] == made["result"]["digest"]
    assert again.best == made["result"]["best"]["params"]
    # The same trials again are no new ones.
    assert again.honesty["ledger_trials"] == 6
    assert again.trials.height == 6
    assert again.heatmap("slow", "fast").columns == ["fast", "slow=40", "slow=60"]
    td.close()

    assert main(["study", "ls", "--json", *at]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["items"]] == [again.id, made["id"]]
    assert main(["study", "resume", made["id"], "--json", *at]) == 6
    assert main(["study", "rm", made["id"], "--json", *at]) == 0
    capsys.readouterr()
    assert main(["study", "show", made["id"], "--json", *at]) == 5
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "study_unknown"
    assert main(["study", "run", "sma_crss", NAME, "--json", *at]) == 5
