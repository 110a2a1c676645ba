"""Background rounds: one that fails is said once and tried again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from tidemill.service.round import Round, Turn


def test_a_round_that_fails_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[object] = [OSError("full"), OSError("full"), 1, OSError("full")]

    def work() -> object:
        answer = answers.pop(0) if answers else 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def test() -> None:
        rounds = Round(work, 0.01, "it cannot be done")
        rounds.start()
        while answers:
            await asyncio.sleep(0.01)
        await rounds.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert [record.getMessage() for record in caplog.records] == ["it cannot be done: full"] * 2


def test_rounds_are_one_services_until_it_ends(tmp_path: Path) -> None:
    first, second = Turn(tmp_path / "lock"), Turn(tmp_path / "lock")
    assert first.mine()
    assert first.mine()
    assert not second.mine()
    first.release()
    assert second.mine()
    assert not first.mine()
    second.release()
