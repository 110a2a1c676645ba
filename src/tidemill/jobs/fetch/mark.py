"""Which units of a job are done, in few words: chunks are fetched nearly in order, so a few ranges say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Mark:
    """A set of numbers from 0."""

    def __init__(self, text: str = "") -> None:
        """From what `str` gave: "0-57,60"."""
        self._numbers: set[int] = set()
        for word in text.split(",") if text else ():
            low, _, high = word.partition("-")
            self._numbers.update(range(int(low), int(high or low) + 1))

    def add(self, numbers: Iterable[int]) -> None:
        self._numbers.update(numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """First and last of each run."""
        first = last = None
        for number in sorted(self._numbers):
            if first is None or last is None or number != last + 1:
                if first is not None and last is not None:
                    yield first, last
                first = number
            last = number
        if first is not None and last is not None:
            yield first, last

    def __str__(self) -> str:
        return ",".join(f"{low}-{high}" if high > low else f"{low}" for low, high in self.ranges())
