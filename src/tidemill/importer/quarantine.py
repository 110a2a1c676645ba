"""Rows that were not kept, with why: counted all, written down up to a bound, never dropped unseen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

from tidemill.errors import DataQualityError
from tidemill.importer import bound
from tidemill.importer.raw import Bad


class Quarantine:
    """`DIR/quarantine/<import>/rows.jsonl`: an object a line with `line`, `reason` and `text`."""

    def __init__(self, path: Path | None, *, strict: bool = False, label: str = "the file") -> None:
        """Without a path rows are only counted. `strict` raises at the first."""
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._strict = strict
        self._label = label
        self._file: IO[str] | None = None

    @property
    def rows(self) -> int:
        return self.reasons.total()

    def add(self, found: Iterable[Bad]) -> None:
        """Takes rows in. Raises `DataQualityError` with the first where the import is strict."""
        for bad in found:
            if self._strict:
                raise DataQualityError(
                    "import_row_bad",
                    f"{self._label} line {bad.line}: {bad.reason}: {bad.text[:200]}",
                    hint="mend the line, or import without --strict: bad rows are then put aside",
                )
            # A reason with a number in it is one reason, however many numbers there are.
            self.reasons[bad.reason if len(self.reasons) < 100 else "other"] += 1
            if self.path is not None and self.rows <= bound.QUARANTINE_ROWS_MAX:
                if self._file is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self._file = self.path.open("w")
                text = bad.text[: bound.QUARANTINE_TEXT_MAX]
                self._file.write(json.dumps({"line": bad.line, "reason": bad.reason, "text": text}) + "\n")

    def as_dict(self) -> dict[str, int]:
        """Count of each reason, the most frequent first."""
        return dict(self.reasons.most_common())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
