"""What the supervisor holds on to when something around it fails."""

from __future__ import annotations

import json

import pytest

from tidemill.log import Log
from tidemill.model.collector import Collector
from tidemill.supervisor.supervisor import Steady


def test_a_database_that_fails_for_a_while_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = [Collector("kraken", "kraken")], [Collector("binance", "binance")]
    answers = [first, OSError("disk I/O error"), OSError("disk I/O error"), second, OSError("disk I/O error")]

    def read() -> list[Collector]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wanted = Steady(read, Log("supervisor"))
    assert [wanted(), wanted()] == [first, first]
    # Said once for as long as it lasts, and again when it comes again.
    assert [json.loads(line)["cause"] for line in capsys.readouterr().err.splitlines()] == [
        "OSError: disk I/O error"
    ]
    assert [wanted(), wanted()] == [second, second]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_nothing_starts_on_what_was_never_read() -> None:
    def read() -> list[Collector]:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        Steady(read, Log("supervisor"))
