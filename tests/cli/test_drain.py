"""`tidemill data drain`: from a window back to the lake alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.postgres import Postgres as Server
from tests.stores.test_window import contents, fill
from tidemill.cli import main
from tidemill.home import Lock
from tidemill.stores.lake import Lake
from tidemill.stores.postgres import Postgres
from tidemill.stores.window import Window, in_use


def test_a_window_is_drained(postgres: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = postgres.database()
    (tmp_path / "run").mkdir()
    window = Window(Postgres(url), Lake(tmp_path / "lake"))
    fill(window, days=1)
    before = contents(window)
    words = ["data", "drain", "--home", str(tmp_path), "--store", url]
    lock = Lock(tmp_path / "run" / "recorder.lock", "the recorder")
    assert main(words) == 6
    lock.close()
    assert in_use(window.lake)
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "220 rows moved" in said
    assert contents(Lake(tmp_path / "lake")) == before
    assert not in_use(window.lake)
    window.close()


def test_only_a_window_can_be_drained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEMILL_STORE_URL", raising=False)
    assert main(["data", "drain", "--home", str(tmp_path)]) == 2
    assert "which has no window" in capsys.readouterr().err
    assert main(["data", "drain", "--home", str(tmp_path / "none"), "--store", "postgresql://x/y"]) == 5
