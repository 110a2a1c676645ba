"""What a guest tells of a check is read as words of code that nobody trusts."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.research import checked
from tidemill.strategies import template

SOURCE = template.text("mine", event=True)
GOOD: dict[str, Any] = {
    "instruments": ["A.up"], "bars": 3, "decisions": 2, "runs": 9, "warm_up": None,
    "findings": [{"way": "cut", "ts": "60", "instrument": "A.up", "whole": "buy 1", "other": "nothing"}] * 2,
}  # fmt: skip


def test_a_finding_is_a_mark_at_the_function_that_decides() -> None:
    found = checked._read(GOOD, SOURCE)
    assert (found.instruments, found.bars, found.warm_up, len(found.findings)) == (("A.up",), 3, None, 2)
    (mark,) = found.problems  # the first of each way
    assert "def on_bar" in SOURCE.splitlines()[mark.line - 1]


@pytest.mark.parametrize(
    "lie",
    [
        {"bars": -1},
        {"runs": True},
        {"decisions": "2"},
        {"warm_up": 2**60},
        {"findings": 3},
        {"findings": [{}]},
        {"instruments": None},
        {"findings": [{**GOOD["findings"][0], "way": "up"}]},
        {"findings": [{**GOOD["findings"][0], "ts": "soon"}]},
        {"findings": [{**GOOD["findings"][0], "ts": str(2**70)}]},
    ],
)
def test_lies_are_refused(lie: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        checked._read({**GOOD, **lie}, SOURCE)


def test_a_failure_stands_within_the_text() -> None:
    lines = SOURCE.count("\n") + 1
    for told in ({"line": 10**9}, {"line": -3}, {"line": "x"}, {"lines": [{"line": 4}, 7]}, {}):
        (mark,) = checked._read({"failed": {"text": "no\x00\ud800" * 999, **told}}, SOURCE).problems
        assert 1 <= mark.line <= lines
        assert len(mark.message) <= 600
        mark.message.encode()


def test_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "WAIT_S", 0.01)
    for _ in range(checked.TURNS):
        checked._turns.acquire()
    try:
        with pytest.raises(checked.RateLimitError) as refused:
            checked.check(SOURCE, "mine", {}, 100, None)
        assert refused.value.code == "check_busy"
    finally:
        for _ in range(checked.TURNS):
            checked._turns.release()
