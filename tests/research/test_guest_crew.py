"""Studies of code that came from elsewhere: in the sandbox, to the bits of those outside of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.research.market import NAME, market
from tests.research.test_study import Memory
from tidemill import sandbox
from tidemill.errors import UsageError
from tidemill.research import guest_crew, ledger, plan, source, study, verdict
from tidemill.research.history import History
from tidemill.strategies import library, sma_cross

pytestmark = [
    pytest.mark.skipif(not sandbox.available().ok, reason="this machine cannot isolate"),
    pytest.mark.timeout(300),
]
OURS = Path(sma_cross.__file__).read_text()


def guarded(folder: Path, text: str, name: str = "sma_cross") -> source.Code:
    """Code that nothing here imports."""
    path = folder / f"{name}.py"
    path.write_text(text)
    return source._guest(library.file(path), name)


def made(
    history: History, folder: Path, code: source.Code, workers: int = 1, **asked: Any
) -> tuple[Memory, dict[str, Any]]:
    memory = Memory()
    given = {"instruments": [NAME], "interval": "1h", "settings": {"costs": {"taker": "0.0002"}}, **asked}
    chosen = plan.of(given, code=code)
    work = study.Study(chosen, history, memory, folder / "mapped", code=code, workers=workers)
    return memory, verdict.told(work.run(), ledger.Count(len(memory.entries), 0.0))


def test_in_the_sandbox_and_outside_of_it_a_study_is_the_same_to_the_bit(tmp_path: Path) -> None:
    history = market(1_200)
    asked: dict[str, Any] = {"params": {"fast": "5:15:5", "slow": [40, 60]}, "walk_forward": 2}
    inside, told = made(history, tmp_path, guarded(tmp_path, OURS), 2, **asked)
    outside, said = made(history, tmp_path, source.of(sma_cross.SmaCross), 1, **asked)
    assert (inside.digest, sorted(inside.entries)) == (outside.digest, sorted(outside.entries))
    assert told == said
    assert set(inside.parts) == {"all", "in.1", "out.1", "in.2", "out.2"}


MIXED = """
import os, sys, threading
from pathlib import Path
from tidemill.strategy import Param, Strategy, when

class Mixed(Strategy):
    what = Param("good", choices=("good", "raise", "exit", "read", "write", "hang", "lie"))

    def signal(self, bars):
        if self.what == "raise":
            raise ValueError("not this")
        if self.what == "exit":
            os._exit(3)
        if self.what == "read":
            raise OSError(f"{sorted(os.listdir('/shown'))} {os.path.exists('/etc/passwd')}")
        if self.what == "write":
            Path("/shown/all/head.json").write_text("{}")
        if self.what == "hang":
            threading.Event().wait()
        if self.what == "lie":
            sys.modules["tidemill.research.bench"].Bench.tried = lambda *all: _Lie()
        print("talk" * 1000)
        return when(bars.close > bars.sma(5), 1.0, 0.0)

class _Lie:
    said = {"values": [9e9], "metrics": {"fills": 7, "sharpe": 1e300}}
    outcome = None
    import numpy
    returns = numpy.zeros(3, "float32")
"""


def test_what_fails_dies_or_hangs_costs_its_trial_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_crew, "PIECE_S_MAX", 5.0)
    history, code = market(400), guarded(tmp_path, MIXED, "mixed")
    memory, told = made(
        history, tmp_path, code, 2, params={"what": ["good", "raise", "exit", "read", "write", "hang"]}
    )
    errors = [one.error for _, one in sorted(memory.parts["all"].items())]
    assert errors[0] is None
    assert "ValueError: not this (mixed.py:11)" in str(errors[1])
    assert "sandbox_died: the process of the code ended with exit code 3" in str(errors[2])
    assert "OSError: ['all'] False" in str(errors[3])
    assert "OSError: [Errno 30] Read-only file system" in str(errors[4])
    assert "sandbox_timeout" in str(errors[5])
    assert told["failed"] == 5
    # What it says of itself beside its returns is measured here, and what cannot be is no trial.
    with pytest.raises(UsageError, match="gave no outcome of a trial"):
        made(history, tmp_path, code, params={"what": ["lie", "good"]}, seed=1)
    assert not (tmp_path / "mapped").exists()


def test_who_stops_a_study_waits_for_no_guest(tmp_path: Path) -> None:
    code, memory = guarded(tmp_path, MIXED, "mixed"), Memory()
    chosen = plan.of({"instruments": [NAME], "params": {"what": ["good", "hang"]}}, code=code)
    work = study.Study(
        chosen, market(400), memory, tmp_path / "mapped", code=code, workers=2,
        cancelled=lambda: bool(memory.parts),
    )  # fmt: skip
    with pytest.raises(study.Paused):
        work.run()
    assert len(memory.parts["all"]) == 1
    assert not [one for one in threading.enumerate() if one.name.startswith("guest")]
    assert work.crew is not None
    assert all(not Path(f"/proc/{pid}").exists() for pid in work.crew.pids)
