"""Which store a setting means."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.recorder.test_kill import start_recorder
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.stores.lake import Lake
from tidemill.stores.opening import is_lake, open_store, place
from tidemill.stores.postgres import Postgres
from tidemill.stores.table import BARS
from tidemill.stores.window import WINDOW, Window

URL = "postgresql://quant:s3cret@db.example:5433/ticks"


def test_without_a_setting_it_is_the_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEMILL_STORE_URL", raising=False)
    found = open_store(tmp_path)
    assert isinstance(found, Lake)
    assert found.path == tmp_path / "lake"
    assert (is_lake(), place(tmp_path)) == (True, str(tmp_path / "lake"))
    assert not found.path.exists()


def test_a_database_is_a_window_before_the_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_STORE_URL", URL)
    found = open_store(tmp_path)  # nobody is asked yet
    assert isinstance(found, Window)
    assert isinstance(found.hot, Postgres)
    assert found.lake.path == tmp_path / "lake"
    assert not is_lake()
    assert place(tmp_path) == "postgresql://db.example:5433/ticks"
    assert isinstance(open_store(tmp_path, "lake"), Lake)


def test_another_scheme_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(tmp_path, "mysql://quant:s3cret@db/ticks")
    assert caught.value.code == "address_invalid"
    assert "s3cret" not in str(caught.value)


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("psycopg", "tidemill.stores.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError) as caught:
        open_store(tmp_path, URL)
    assert caught.value.code == "extra_missing"
    assert "tidemill[postgres]" in caught.value.hint


def test_a_lake_whose_newest_rows_lie_elsewhere_is_not_recorded_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEMILL_STORE_URL", raising=False)
    home = Home(tmp_path / "home")
    home.create()
    Lake(home.lake).append(BARS, BARS.empty(), {WINDOW: 1})
    assert start_recorder(home.path).wait(60) == 6
    assert "store_elsewhere" in (tmp_path / "recorder.log").read_text()
