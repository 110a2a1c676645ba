"""Revised bars: each is told once, whatever was killed in between; those of before anyone asked are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemill.metadata import Metadata, event, setting
from tidemill.service import revision
from tidemill.service.revision import Revisions


class View:
    """Stands in for the view: bars by position."""

    def __init__(self) -> None:
        self.bars: list[dict[str, Any]] = []

    def add(self, sequence: int, number: int = 1) -> None:
        self.bars.append(
            {"instrument": "BTC-USD.kraken", "interval": "1m", "ts": 1795275432436746116 + sequence,
             "revision": number, "epoch": 3, "sequence": sequence}
        )  # fmt: skip

    def call(self, ask: Callable[[Any], Any]) -> Any:
        return ask(self)

    def venues(self) -> list[str]:
        return ["kraken"]

    def revised(self, venue: str, after: tuple[int, int] | None, limit: int = 1000) -> list[dict[str, Any]]:
        assert venue == "kraken"
        return [bar for bar in self.bars if after is None or (bar["epoch"], bar["sequence"]) > after][:limit]


@pytest.fixture
def metadata(tmp_path: Path) -> Metadata:
    return Metadata.open(tmp_path / "tidemill.db")


def told(metadata: Metadata) -> list[event.Event]:
    with metadata.read() as connection:
        return event.after(connection, 0, 1000)


def test_each_is_told_once_and_only_what_came_after_the_first_look(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revision, "BARS", 2)
    view: Any = View()
    for sequence in (5, 6, 7):
        view.add(sequence)
    assert Revisions(metadata, view).read() == 0
    assert told(metadata) == []
    for sequence in (8, 9, 10):
        view.add(sequence, 2)
    # Another process each time: what it knows is in the database.
    assert [Revisions(metadata, view).read() for _ in range(3)] == [2, 1, 0]
    rows = told(metadata)
    assert [(row.kind, row.subject, row.actor) for row in rows] == [
        ("bar_revised", "BTC-USD.kraken", "service")
    ] * 3
    # Beyond 2^53 as text, as everywhere.
    assert rows[0].data == {"interval": "1m", "ts": "1795275432436746124", "revision": 2}


def test_an_event_and_how_far_it_was_told_are_kept_together(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    view: Any = View()
    Revisions(metadata, view).read()
    view.add(5)

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(setting, "keep", fail)
        with pytest.raises(OSError, match="disk"):
            Revisions(metadata, view).read()
    assert told(metadata) == []
    assert Revisions(metadata, view).read() == 1


def test_two_services_that_look_at_once_tell_each_bar_once(metadata: Metadata) -> None:
    class Overtaken(View):
        """Another service reads, tells and commits between the look of this one and its telling."""

        overtaking = False

        def revised(
            self, venue: str, after: tuple[int, int] | None, limit: int = 1000
        ) -> list[dict[str, Any]]:
            found = super().revised(venue, after, limit)
            if self.overtaking:
                self.overtaking = False
                Revisions(metadata, view).read()
            return found

    view: Any = Overtaken()
    Revisions(metadata, view).read()
    for sequence in (5, 6):
        view.add(sequence)
    view.overtaking = True
    assert Revisions(metadata, view).read() == 0
    assert len(told(metadata)) == 2
