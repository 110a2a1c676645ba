"""`tidemill backtest` and `td.backtest`: data on stdout, talk on stderr, and the same run in both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tidemill as tm
from tests.service.conftest import short_home
from tests.service.journal import MINUTE, START, Venue
from tidemill.cli import main
from tidemill.errors import ConflictError, TidemillError, UsageError
from tidemill.home import Home
from tidemill.strategies.sma_cross import SmaCross
from tidemill.strategy import Bar, Market, Strategy

NAME = "BTC-USD.sim-kraken"
PRICES = ("open", "high", "low", "close")


class Once(Strategy):
    """Buys at the third bar."""

    def start(self, market: Market) -> None:
        self.seen = 0

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 3:
            self.buy(bar.instrument, Decimal("0.5"))


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    place = short_home()
    venue = Venue.make(place, "sim-kraken", "BTC-USD", "ETH-USD")
    for one in ("BTC-USD", "ETH-USD"):
        venue.write(venue.trades(one, 1500, START, MINUTE))
    venue.writer.close()
    yield place
    shutil.rmtree(place.path, ignore_errors=True)


def asked(home: Home, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """What the command said, as JSON."""
    assert main(["backtest", *words, "--home", str(home.path), "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.out) if code == 0 else json.loads(said.err.splitlines()[-1])["error"]


def test_from_a_run_to_its_end(home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["run", "sma_cross", "BTC-USD", "--param", "fast=5", "--param", "slow=20", "--taker", "0.0002"]
    file = tmp_path / "run.html"
    first = asked(home, capsys, *words, "--report", str(file))
    assert first["instruments"] == [NAME]
    assert first["params"] == {"fast": 5, "slow": 20}
    assert [one["factor"] for one in first["stress"]] == [0, 1, 2, 4]
    returned = [one["total_return"] for one in first["stress"]]
    assert returned == sorted(returned, reverse=True)
    assert first["summary"]["numbers"]["total_return"] == returned[1]
    assert "</html>" in file.read_text()
    second = asked(home, capsys, "again", first["id"])
    assert second["outcome_digest"] == first["outcome_digest"]
    assert second["fingerprint"] == first["fingerprint"]
    # The same trial again is no other trial.
    assert second["summary"]["numbers"]["trials"] == first["summary"]["numbers"]["trials"]
    other = asked(home, capsys, *words[:3], "--param", "fast=6", "--param", "slow=20")
    assert other["summary"]["numbers"]["trials"] == first["summary"]["numbers"]["trials"] + 1
    listed = asked(home, capsys, "ls", "--strategy", "sma_cross")["items"]
    assert [one["id"] for one in listed] == [other["id"], second["id"], first["id"]]
    beside = asked(home, capsys, "compare", first["id"], other["id"])["differences"]
    assert beside["param fast"] == [5, 6]
    assert asked(home, capsys, "show", first["id"][:14])["id"] == first["id"]
    assert asked(home, capsys, "rm", second["id"], other["id"])["removed"] == [second["id"], other["id"]]
    assert asked(home, capsys, "show", second["id"], code=5)["code"] == "run_unknown"
    with tm.connect(home.path) as td:
        assert isinstance(td, tm.Client)
        here = td.backtest("sma_cross", NAME, fast=5, slow=20, costs={"taker": 0.0002})
        assert here.fingerprint == first["fingerprint"]
        assert here.digest == first["outcome_digest"]


def test_people_read_tables(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--home", str(home.path)]
    assert main(["backtest", "run", "sma_cross", NAME, "ETH-USD", "--interval", "5m", *place]) == 0
    said = capsys.readouterr()
    assert "deflated sharpe" in said.out
    assert "(best of" in said.out
    assert "tidemill backtest show" in " ".join(said.err.split())
    assert "nothing was paid for trading" in said.err
    assert main(["backtest", "ls", *place]) == 0
    assert "deflated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["run", "sma_cros", NAME], 5, "strategy_unknown"),
        (["run", "sma_cross", "NO-PE.kraken"], 5, "instrument_unknown"),
        (["run", "sma_cross", NAME, "--param", "fast"], 2, "arguments_unfit"),
        (["run", "sma_cross", NAME, "--param", "fast=1e9"], 2, "parameter_invalid"),
        (["run", "sma_cross", NAME, "--taker", "ten"], 2, "costs_invalid"),
        (["run", "sma_cross", NAME, "--engine", "slow"], 5, "engine_unknown"),
        (["run", "sma_cross", NAME, "--limit-fill", "never"], 2, "settings_invalid"),
        (["run", "sma_cross", NAME, "--start", "2001-01-01", "--end", "2001-01-02"], 5, "bars_missing"),
        (["run", "no_such.py", NAME], 5, "file_unknown"),
        (["ls", "--sort", "luck"], 5, "sort_unknown"),
        (["rm", "nope"], 5, "run_unknown"),
    ],
)
def test_what_makes_no_sense(
    home: Home, capsys: pytest.CaptureFixture[str], words: list[str], code: int, error: str
) -> None:
    assert asked(home, capsys, *words, code=code)["code"] == error


def test_a_run_in_python(home: Home, tmp_path: Path) -> None:
    with tm.connect(home.path) as td:
        assert isinstance(td, tm.Client)
        run = td.backtest(Once(), NAME, "1m", cash=50_000)
        assert run.stats["fills"] == 1
        assert run.fills["size"].to_list() == [0.5]
        assert run.fills["price"].to_list() == [td.bars(NAME, "1m")["open"][3]]
        assert run.trades["closed"].to_list() == [None]
        assert run.orders["state"].to_list() == ["filled"]
        assert run.equity["equity"][-1] == run.stats["final_equity"]
        assert str(run.equity["ts"].dtype) == "Datetime(time_unit='ns', time_zone='UTC')"
        assert run.stress.is_empty()
        assert "class Once" in run.row.source
        assert run.again().digest == run.digest
        assert run.id in repr(run)
        assert "best of" in run._repr_html_()
        assert "&lt;" not in run._repr_html_()
        assert td.run(run.id).stats == run.stats
        for name in ("a.html", "a.json", "a.csv.zip", "a.parquet.zip"):
            assert run.report(tmp_path / name).stat().st_size > 1000
        with pytest.raises(UsageError, match=r"a\.pdf"):
            run.report(tmp_path / "a.pdf")
        by_class = td.backtest(SmaCross, NAME, fast=4, slow=9)
        assert by_class.params == {"fast": 4, "slow": 9}
        with pytest.raises(UsageError, match="its parameters already"):
            td.backtest(SmaCross(), NAME, fast=3)


def test_a_plot_is_a_figure(home: Home, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with tm.connect(home.path) as td:
        assert isinstance(td, tm.Client)
        figure = td.backtest("sma_cross", NAME, fast=5, slow=20).plot()
    figure.savefig(tmp_path / "run.png")
    assert len(figure.axes) == 2


def test_code_that_has_changed_is_not_run_again(home: Home, tmp_path: Path) -> None:
    folder = home.path / "strategies"
    folder.mkdir(exist_ok=True)
    file = folder / "my_cross.py"
    source = Path(SmaCross.__module__.replace(".", "/") + ".py")
    text = (Path(tm.__file__).parents[1] / source).read_text()
    file.write_text(text)
    with tm.connect(home.path) as td:
        assert isinstance(td, tm.Client)
        run = td.backtest("my_cross", NAME)
        assert td.run(run.id).again().digest == run.digest
        file.write_text(text + "# another\n")
        with pytest.raises(ConflictError) as refused:
            td.run(run.id).again()
        assert refused.value.code == "run_code_changed"


def test_rows_that_were_revised_are_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tidemill.research import history

    with tm.connect(home.path) as td:
        assert isinstance(td, tm.Client)
        run = td.backtest("sma_cross", NAME, fast=5, slow=20)
        load = history.load

        def revised(*given: Any, **rest: Any) -> history.History:
            found = load(*given, **rest)
            track = found.tracks[NAME]
            dearer = {name: getattr(track, name) + 1 for name in PRICES}
            return replace(found, tracks={NAME: replace(track, **dearer)})

        monkeypatch.setattr(history, "load", revised)
        with pytest.raises(TidemillError, match="revised") as differs:
            run.again()
        assert differs.value.code == "run_differs"
