"""Newest bars in files: those of this version of the store or none, whatever lies on disk."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stores.test_version import imported
from tidemill.errors import NotFoundError
from tidemill.model.bar import BAR, Bars
from tidemill.model.interval import STANDARD
from tidemill.stores import newest as module
from tidemill.stores import series
from tidemill.stores.live import LiveView
from tidemill.stores.newest import Newest
from tidemill.stores.table import BARS

NAME = "BTC-USD.acme"
ALWAYS = (-(2**63), 2**63 - 1)


def bars(count: int, seed: int = 1) -> Bars:
    dice = np.random.default_rng(seed)
    made = np.frombuffer(dice.bytes(count * BAR.itemsize), BAR).copy()
    made["start"] = np.arange(count)
    return made


def same(found: tuple[int, Bars] | None, wanted: Bars) -> bool:
    return found is not None and found[1].tobytes() == wanted.tobytes()


def test_what_was_kept_is_found_by_its_version_alone(tmp_path: Path) -> None:
    kept, wanted = Newest(tmp_path / "cache" / "bars"), bars(500)
    assert kept.get(NAME, "1m", "v1", 10) is None
    kept.put(NAME, "1m", "v1", 500, wanted)
    other = Newest(tmp_path / "cache" / "bars")  # another process
    assert same(other.get(NAME, "1m", "v1", 500), wanted)
    for asked in (
        (NAME, "1m", "v2", 10),
        (NAME, "1s", "v1", 10),
        ("ETH-USD.acme", "1m", "v1", 10),
        (NAME, "1m", "v1", 501),
    ):
        assert other.get(*asked) is None
    kept.put(NAME, "1m", "v2", 500, bars(500, 2))
    assert kept.get(NAME, "1m", "v1", 1) is None
    assert same(other.get(NAME, "1m", "v2", 1), bars(500, 2))
    found = other.get(NAME, "1m", "v2", 1)
    assert found is not None
    assert not found[1].flags.writeable
    assert [path.name.count(".") for path in (tmp_path / "cache" / "bars").iterdir()] == [0]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_damaged_file_is_none(tmp_path: Path, data: Any) -> None:
    kept, wanted = Newest(tmp_path), bars(20)
    kept.put(NAME, "1m", "v1", 20, wanted)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    how = data.draw(st.sampled_from(["cut", "bit", "foreign", "longer"]))
    if how == "cut":
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    elif how == "longer":
        path.write_bytes(whole + b"\0")
    elif how == "foreign":
        path.write_bytes(data.draw(st.binary(max_size=200)))
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :]
        )
    assert kept.get(NAME, "1m", "v1", 1) is None
    kept.put(NAME, "1m", "v1", 20, wanted)
    assert same(kept.get(NAME, "1m", "v1", 20), wanted)


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 10_000)
    monkeypatch.setattr(module, "_LOOK_BYTES", 1_000)
    kept = Newest(tmp_path)
    for number in range(40):
        kept.put(f"C{number}.acme", "1m", "v1", 5, bars(5))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 11_500
    assert same(kept.get("C39.acme", "1m", "v1", 5), bars(5))
    assert kept.get("C0.acme", "1m", "v1", 5) is None
    kept.put(NAME, "1m", "v1", module.BARS_MAX + 1, bars(5))
    assert kept.get(NAME, "1m", "v1", 1) is None


def test_a_place_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    kept = Newest(tmp_path / "file" / "bars")
    kept.put(NAME, "1m", "v1", 5, bars(5))
    assert kept.get(NAME, "1m", "v1", 1) is None


def test_another_reader_maps_what_the_first_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(tmp_path, NAME, 0, 7, "first")
    first, second = LiveView(tmp_path, follow=False), LiveView(tmp_path, follow=False)
    wanted = first.bars(NAME, "1m").bars
    with monkeypatch.context() as patch:
        patch.setattr(series, "stored", lambda *_: pytest.fail("the store was read"))
        np.testing.assert_array_equal(second.bars(NAME, "1m").bars, wanted)
    # What comes in makes another version: both show it at once, and rebuilt files show the same.
    for step in range(1, 4):
        imported(tmp_path, NAME, step, 7 + step, f"{step}")
        shown = [view.bars(NAME, "1m").bars for view in (first, second, LiveView(tmp_path, follow=False))]
        assert len(shown[0]) == 2 + step
        assert {one.tobytes() for one in shown} == {shown[0].tobytes()}


def test_the_other_intervals_are_made_ready_in_the_background(tmp_path: Path) -> None:
    imported(tmp_path, NAME, 0, 7, "first")
    with contextlib.closing(LiveView(tmp_path)) as view:
        view.bars(NAME, "1m")
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "cache" / "bars").iterdir())) < len(STANDARD) - 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    other = LiveView(tmp_path, follow=False)
    assert other._flat
    kept = {text: other._flat.get(NAME, text, other.store.version(BARS, *ALWAYS), 5_000) for text in STANDARD}
    # Of one-minute bars there are none that are shorter.
    assert {text for text, found in kept.items() if found is None} == {"1s", "5s", "15s", "30s"}
    for text in ("5m", "4h", "1w"):
        np.testing.assert_array_equal(other.bars(NAME, text, limit=3).bars, other.bars(NAME, text, 0).bars)


@pytest.mark.parametrize("interval", ["1m", "7m", "1h", "1w"])
@pytest.mark.parametrize("limit", [1, 2, 3, 400])
def test_newest_bars_are_the_last_of_all(tmp_path: Path, interval: str, limit: int) -> None:
    for at in range(5):
        imported(tmp_path, NAME, at * 660, 7 + at, f"{at}")
    view = LiveView(tmp_path, follow=False)
    every = view.bars(NAME, interval, 0, None, 100_000).bars
    for _ in range(2):
        found = view.bars(NAME, interval, limit=limit)
        np.testing.assert_array_equal(found.bars, every[-limit:])
        assert found.more == (len(every) > limit)
    unknown = LiveView(tmp_path)
    with contextlib.closing(unknown), pytest.raises(NotFoundError):
        unknown.bars("NOBODY.acme", interval)


def test_another_lake_in_the_same_place_is_another(tmp_path: Path) -> None:
    imported(tmp_path, NAME, 0, 7, "first")
    before = LiveView(tmp_path, follow=False).bars(NAME, "1m").bars
    shutil.rmtree(tmp_path / "lake")
    imported(tmp_path, NAME, 0, 8, "first")
    after = LiveView(tmp_path, follow=False).bars(NAME, "1m").bars
    assert (before["close"].tolist(), after["close"].tolist()) == ([7, 7], [8, 8])


def test_it_is_whole_while_many_write(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.stores.test_newest import *\n"
        "kept = Newest(Path(sys.argv[1]))\n"
        "for n in range(50):\n"
        "    kept.put(NAME, '1m', 'v1', 500, bars(500, int(sys.argv[2])))\n"
        "    found = kept.get(NAME, '1m', 'v1', 500)\n"
        "    assert any(same(found, bars(500, seed)) for seed in (1, 2)), n\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), seed]) for seed in ("1", "2")]
    assert [one.wait(120) for one in running] == [0, 0]
