"""`tidemill strategy` as people type it: exit codes, what it says, and what it leaves alone."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tidemill.cli import main
from tidemill.home import Home
from tidemill.metadata import Metadata, strategy
from tidemill.metadata.strategy import Text
from tidemill.stores.lake import Lake
from tidemill.strategies import library

CHEAT = '''
from tidemill.strategy import Bar, Strategy

SEEN = {}


class Cheat(Strategy):
    """Buys what rose at the next bar, when it was run before."""

    def on_bar(self, bar: Bar) -> None:
        later = SEEN.get(bar.start + 60_000_000_000)
        SEEN[bar.start] = bar.close
        if later is not None and later > bar.close and not self.position(bar.instrument):
            self.buy(bar.instrument, 1)
'''


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def run(home: Home, *words: str) -> int:
    return main(["strategy", *words, "--home", str(home.path)])


def test_a_new_strategy_is_written_once_and_checked(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "new", "mine") == 0
    out, err = capsys.readouterr()
    path = library.folder(home) / "mine.py"
    assert out.strip() == str(path)
    assert "tidemill strategy check mine" in err
    path.write_text(path.read_text() + "# mine now\n")
    assert run(home, "new", "mine", "--event") == 6
    assert path.read_text().endswith("# mine now\n")
    assert "strategy_exists" in capsys.readouterr().err
    assert run(home, "check", "mine", "--bars", "300") == 0
    out, err = capsys.readouterr()
    assert "the same in 9 runs" in out
    assert "after 50 bars" in out
    assert "tidemill backtest run mine" in err
    assert run(home, "check", str(path), "--bars", "300", "--param", "period=7", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["strategy"], said["warm_up"], said["findings"]) == ("mine", 7, [])
    assert not home.database.exists()


def test_all_are_listed_with_their_faults(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "new", "mine", "--event", "--json") == 0
    folder = library.folder(home)
    (folder / "broken.py").write_text("x = (1\n")
    (folder / "missing.py").write_text("import nothing_like_it\n" + (folder / "mine.py").read_text())
    (folder / "late.py").write_text((folder / "mine.py").read_text().replace("Param(50,", "Param(5 * 10,"))
    home.create()
    metadata = Metadata.of(home)
    with metadata.write() as connection:
        strategy.create(connection, "stored", Text("import sys; sys.exit(7)"), actor="me")
    metadata.close()
    capsys.readouterr()
    assert run(home, "ls", "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["items"]}
    assert set(found) == {*library.ours(), "mine", "broken", "missing", "late", "stored"}
    assert found["sma_cross"]["params"][0]["name"] == "fast"
    assert (found["mine"]["origin"], found["mine"]["kind"], found["mine"]["faults"]) == (
        "folder",
        "event",
        [],
    )
    assert "never closed" in found["broken"]["faults"][0]["message"]
    assert "nothing_like_it" in found["missing"]["faults"][0]["message"]
    assert (found["late"]["params"][0]["default"], found["late"]["faults"]) == (50, [])
    assert (found["stored"]["origin"], found["stored"]["version"]) == ("database", 1)
    assert run(home, "ls") == 0
    out, err = capsys.readouterr()
    assert "donchian_breakout" in out
    assert "tidemill strategy show NAME" in err


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("new", "No-Name"), 2, "arguments_unfit"), (("new", "../x"), 2, "arguments_unfit"),
        (("new", "sma_cross"), 6, "strategy_exists"), (("show", "sma_crss"), 5, "strategy_unknown"),
        (("check", "none.py"), 5, "file_unknown"),
        (("check", "sma_cross", "--param", "fast=1"), 2, "parameter_invalid"),
        (("check", "sma_cross", "--param", "x=1"), 2, "parameter_unknown"),
        (("check", "sma_cross", "--param", "fast"), 2, "arguments_unfit"),
        (("check", "sma_cross", "BTC-USD"), 5, "home_unknown"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_so(
    home: Home, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, code: str
) -> None:
    assert run(home, *words) == status
    assert f"error {code}" in capsys.readouterr().err
    assert not home.path.exists()


def test_a_planted_look_ahead_is_refused(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cheat.py"
    path.write_text(CHEAT)
    assert run(home, "check", str(path), "--bars", "200", "--json") == 2
    out, err = capsys.readouterr()
    error = json.loads(err.splitlines()[-1])["error"]
    assert error["code"] == "lookahead_found"
    assert "at the bar of MADE-A.up known at 2023-11-14T2" in error["message"]
    assert json.loads(out)["findings"][0]["way"] == "again"


def test_code_of_the_database_is_checked_in_the_sandbox_and_code_that_fails_says_where(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.create()
    metadata = Metadata.of(home)
    with metadata.write() as connection:
        strategy.create(connection, "stored", Text(CHEAT), actor="me")
    metadata.close()
    assert run(home, "check", "stored", "--bars", "200", "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(err.splitlines()[-1])["error"]["code"] == "lookahead_found"
    assert json.loads(out)["findings"][0]["way"] == "again"
    assert "tidemill_strategy_stored" not in sys.modules
    assert run(home, "show", "stored") == 0
    assert "class Cheat" in capsys.readouterr().out
    path = tmp_path / "fails.py"
    path.write_text(CHEAT.replace("SEEN[bar.start] = bar.close", "1 / 0"))
    assert run(home, "check", str(path)) == 2
    said = capsys.readouterr().err
    assert "strategy_failed" in said
    assert "line 12" in said


def test_on_bars_that_are_stored(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.create()
    minute, count = 60_000_000_000, 400
    closes = 15_000 + np.random.default_rng(1).integers(-40, 41, count).cumsum()
    Lake(home.lake).import_bars(
        "AAPL.polygon", "1m",
        {
            "start": 1_700_000_000_000_000_000 // minute * minute + np.arange(count) * minute, "open": closes,
            "high": closes + 5, "low": closes - 5, "close": closes, "volume": [100] * count,
            "trades": [7] * count, "price_scale": 2, "size_scale": 0,
        },
        source="polygon", chunk="all", ts_recv=time.time_ns(),
    )  # fmt: skip
    words = ("check", "donchian_breakout", "AAPL", "--interval", "1m", "--bars", "300", "--json")
    assert run(home, *words) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["instruments"], said["bars"], said["findings"]) == (["AAPL.polygon"], 300, [])
    assert said["decisions"] > 3
    assert run(home, "check", "pairs_spread", "AAPL", "--interval", "1m") == 2
    assert "market_unfit" in capsys.readouterr().err
    assert run(home, "check", "sma_cross", "MSFT") == 5
