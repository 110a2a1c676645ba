"""The market's rows as lists, in the order in which both engines take them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tidemill.errors import UsageError
from tidemill.research.history import History

_PART = 2048


class Rows:
    """All bars of a history by end, then by instrument. Raises `UsageError` `history_invalid` for bars that
    cannot be played."""

    def __init__(self, history: History) -> None:
        tracks = list(history.tracks.values())
        for name, track in history.tracks.items():
            wrong = (
                (track.start <= 0) | (track.end <= track.start) | (track.low <= 0)
                | (track.low > np.minimum(track.open, track.close))
                | (track.high < np.maximum(track.open, track.close))
            )  # fmt: skip
            wrong[1:] |= track.start[1:] < track.end[:-1]
            if wrong.any():
                raise UsageError(
                    "history_invalid",
                    f"bar {int(np.argmax(wrong))} of {name} is not one that can be traded",
                    hint="bars follow each other from 1970 on, and prices are above 0, from low to high",
                )
        ends = np.concatenate([track.end for track in tracks])
        numbers = np.repeat(np.arange(len(tracks)), [len(track) for track in tracks])
        order = np.lexsort((numbers, ends))

        def column(name: str) -> list[int]:
            found: list[int] = np.concatenate([getattr(track, name) for track in tracks])[order].tolist()
            return found

        self.number: list[int] = numbers[order].tolist()
        self.start, self.end = column("start"), column("end")
        self.open, self.high, self.low, self.close = map(column, ("open", "high", "low", "close"))
        volume = np.nan_to_num(np.concatenate([track.volume for track in tracks])[order], nan=0.0)
        self.volume: list[float] = volume.tolist()
        self.last: list[bool] = np.append(np.diff(ends[order]) != 0, True).tolist() if len(ends) else []
        """Whether no later row ends at the same time."""
        self.openings: list[int] = np.argsort(np.array(self.start, np.int64), kind="stable").tolist()
        """Rows by start."""
        self.parts = self._steps()
        """Where the stream is cut, as numbers of rows: after each part a strategy may act."""
        self.long = False
        """A part may have many steps, and the strategy acts after its last one alone."""

    def __len__(self) -> int:
        return len(self.end)

    def _steps(self) -> list[int]:
        return [at + 1 for at, last in enumerate(self.last) if last]

    def cut(self, acts: Sequence[int]) -> None:
        """Cuts the stream at the steps that hold these rows alone, and so that no part is too long."""
        self.long = True
        wanted = {*acts}
        self.parts, size, due = [], 0, False
        for at, last in enumerate(self.last):
            size += 1
            due |= at in wanted
            if last and (due or size >= _PART or at + 1 == len(self)):
                self.parts.append(at + 1)
                size, due = 0, False

    def path(self, at: int) -> tuple[int, ...]:
        """The prices in the order in which they are taken to have been traded: of high and low the one nearer
        to the open first, the low where both are as near."""
        begin, high, low, close = self.open[at], self.high[at], self.low[at], self.close[at]
        return (begin, high, low, close) if high - begin < begin - low else (begin, low, high, close)

    def steps(self) -> list[tuple[int, int]]:
        """First row and the one past the last of each step."""
        return list(itertools.pairwise([0, *self._steps()]))
