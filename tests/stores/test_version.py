"""Versions of bars: whenever an answer differs, so does its version, whatever was written meanwhile."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.make import NAMES, SECOND, START, trades
from tests.stores.test_live import World
from tidemill.stores import live as live_module
from tidemill.stores.lake import Lake
from tidemill.stores.live import LiveView

MINUTE = 60 * SECOND
SPANS = ((START, START + 3 * MINUTE), (None, START + 2 * MINUTE), (START + MINUTE, START + 5 * MINUTE))


def imported(home: Path, name: str, first: int, price: int, chunk: str) -> None:
    starts = START + (first + np.arange(2)) * MINUTE
    whole = np.full(2, price)
    columns = {
        "start": starts, "open": whole, "high": whole, "low": whole, "close": whole,
        "volume": np.full(2, 10), "trades": np.full(2, 1), "price_scale": 1, "size_scale": 8,
    }  # fmt: skip
    Lake(home / "lake").import_bars(name, "1m", columns, source="test", chunk=chunk, ts_recv=START)


def seen(view: LiveView, name: str) -> dict[tuple[object, str], tuple[str, bytes]]:
    """Version and answer of each span and interval."""
    found = {}
    for span in SPANS:
        for interval in ("1m", "2m", "1h"):
            version, _ = view.version(name, interval, *span)
            answer = view.bars(name, interval, *span)
            text = repr((answer.bars.tobytes(), answer.current.tobytes(), answer.through, answer.gaps))
            found[span, interval] = version, text.encode()
    return found


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(st.sampled_from(["imports", "imports", "nothing"]), st.integers(0, 6), st.integers(1, 99)),
        min_size=1,
        max_size=5,
    )
)
def test_without_a_journal_another_answer_has_another_version(steps: list[tuple[str, int, int]]) -> None:
    home = Path(tempfile.mkdtemp(prefix="tm-version-"))
    name = "BTC-USD.acme"
    try:
        imported(home, name, 0, 7, "first")
        view = LiveView(home, follow=False)
        known: dict[tuple[object, str], dict[str, bytes]] = {}
        for number, (step, first, price) in enumerate(steps):
            if step == "imports":
                imported(home, name, first, price, f"{number}")
            for key, (version, answer) in seen(view, name).items():
                assert known.setdefault(key, {}).setdefault(version, answer) == answer
            assert view.version(name, "1m", *SPANS[0])[1]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_what_lies_outside_leaves_the_version(tmp_path: Path) -> None:
    name = "BTC-USD.acme"
    imported(tmp_path, name, 0, 7, "first")
    view = LiveView(tmp_path, follow=False)
    before = view.version(name, "1m", *SPANS[0])
    imported(tmp_path, name, 600, 7, "later")
    assert view.version(name, "1m", *SPANS[0]) == before
    assert view.list_version() != LiveView(tmp_path / "empty", follow=False).list_version()


def test_with_a_journal_every_record_and_every_file_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    view = LiveView(tmp_path, follow=False)
    name = NAMES[0]
    world.write(trades(3_000, seed=1))
    versions = [view.version(name, "1m", *SPANS[0])]
    world.record()
    versions.append(view.version(name, "1m", *SPANS[0]))
    world.write(trades(1, start=START + 30 * SECOND, first_id=9_000))  # late: it changes a closed bar
    versions.append(view.version(name, "1m", *SPANS[0]))
    assert len({text for text, _ in versions}) == 3
    # A tail shows stored bars of up to a minute ago: only then it is sure.
    assert not any(exact for _, exact in versions)
    now = time.monotonic()
    monkeypatch.setattr(live_module.time, "monotonic", lambda: now + 61)
    assert view.version(name, "1m", *SPANS[0]) == (versions[-1][0], True)
    world.journal.close()
