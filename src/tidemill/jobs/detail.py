"""Reading what was asked of a job: known fields of the right kind, or one error that names the field."""

from __future__ import annotations

from typing import Any

from tidemill import errors


class Detail:
    """Takes fields out of what was asked; `done` refuses what is left."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._left = dict(given)

    def text(
        self, name: str, default: str | None = None, *, choices: tuple[str, ...] = (), most: int = 200
    ) -> str | None:
        """A text of at most `most` characters."""
        value = self._left.pop(name, default)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= most:
            raise unfit(name, f"{value!r:.60} is no word of 1 to {most} characters")
        if choices and value not in choices:
            raise unfit(name, f"{value!r} is none of {', '.join(choices)}")
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._left.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise unfit(name, f"{value!r:.60} is no whole number from {low} to {high}")
        return value

    def words(self, name: str, default: list[str]) -> list[str]:
        """A list of at most 1000 words."""
        value = self._left.pop(name, default)
        good = isinstance(value, list) and len(value) <= 1000
        if not good or not all(isinstance(word, str) and 0 < len(word) <= 200 for word in value):
            raise unfit(name, f"{value!r:.60} is no list of words")
        return list(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self._left.pop(name, default)
        if not isinstance(value, bool):
            raise unfit(name, f"{value!r:.60} is neither true nor false")
        return value

    def pairs(self, name: str) -> dict[str, str]:
        """At most 20 words by name."""
        value = self._left.pop(name, None) or {}
        good = isinstance(value, dict) and len(value) <= 20
        if not good or not all(
            isinstance(word, str) and 0 < len(word) <= 200 for pair in value.items() for word in pair
        ):
            raise unfit(name, f"{value!r:.60} is no object of words")
        return dict(value)

    def values(self, name: str) -> dict[str, int | float | bool | str]:
        """At most 100 numbers, flags and words by name."""
        value = self._left.pop(name, None) or {}
        good = isinstance(value, dict) and len(value) <= 100
        if not good or not all(
            isinstance(key, str)
            and 0 < len(key) <= 64
            and isinstance(one, int | float | bool | str)
            and len(str(one)) <= 200
            and "\x00" not in f"{key}{one}"
            for key, one in value.items()
        ):
            raise unfit(name, f"{value!r:.60} is no object of numbers, flags and words")
        return dict(value)

    def done(self) -> None:
        """Raises for a field that the kind does not know."""
        for name in self._left:
            raise unfit(name, "it is not known here")


def unfit(name: str, why: str) -> errors.UsageError:
    """The error for a field that does not fit."""
    return errors.UsageError(
        "detail_unfit",
        f"the job's detail {name[:60]!r}: {why}",
        hint="docs/jobs.md lists what each kind takes",
    )
