"""A study as Python has it: `td.study(…)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.errors import UsageError
from tidemill.metadata import study as rows
from tidemill.research import plan as plans
from tidemill.research import source, studio
from tidemill.research.space import Range
from tidemill.strategies.api import Strategy

if TYPE_CHECKING:
    import polars as pl

    from tidemill.home import Home
    from tidemill.metadata import Metadata


class StudyResult:
    """What came of a study. `result` has all of it, as the API does (docs/studies.md)."""

    def __init__(self, found: rows.Study, trials: list[rows.Row]) -> None:
        self.id = found.id
        self.plan = found.plan
        self.result: dict[str, Any] = found.result or {}
        self._rows = trials

    def __repr__(self) -> str:
        return f"<tidemill study {self.id}: {self.verdict['text']}>" if self.result else f"<study {self.id}>"

    @property
    def best(self) -> dict[str, Any]:
        """The best trial's parameters."""
        return dict(self.result["best"]["params"])

    @property
    def verdict(self) -> dict[str, Any]:
        """`grade` (luck, doubtful, holds), `text` and `cautions`."""
        return dict(self.result["verdict"])

    @property
    def honesty(self) -> dict[str, Any]:
        """Trials made, of the study and ever, deflated Sharpe ratio, probability of overfitting, …"""
        return dict(self.result["honesty"])

    @property
    def walk_forward(self) -> dict[str, Any] | None:
        """Folds, the equity outside, WFE, drift; None where it was not asked for."""
        found: dict[str, Any] | None = self.result["walk_forward"]
        return found

    @property
    def trials(self) -> pl.DataFrame:
        """A row for each trial on the whole history: number, parameters, metrics, value, error."""
        import polars as pl

        lines = [
            {
                "number": one.number, **one.params, **one.metrics,
                "value": one.vals[0] if one.vals else None, "error": one.error,
            }
            for one in self._rows
        ]  # fmt: skip
        return pl.DataFrame(lines, infer_schema_length=None)

    def heatmap(self, x: str | None = None, y: str | None = None) -> pl.DataFrame:
        """Mean value by two parameters: a row for each value of `y`, a column for each of `x`. The first two
        where they are not named. Raises `UsageError` `parameter_unknown` where there is no such pair."""
        import polars as pl

        for one in self.result["heatmaps"]:
            if x in (None, one["x"], one["y"]) and y in (None, one["x"], one["y"]) and (x is None or x != y):
                turned = x == one["y"] or y == one["x"]
                names = (one["y"], one["x"]) if turned else (one["x"], one["y"])
                across, down = (one["ys"], one["xs"]) if turned else (one["xs"], one["ys"])
                values = list(map(list, zip(*one["values"], strict=True))) if turned else one["values"]
                columns = {
                    f"{names[0]}={value}": [row[at] for row in values] for at, value in enumerate(across)
                }
                return pl.DataFrame({names[1]: down, **columns})
        raise UsageError(
            "parameter_unknown",
            f"the study has no heatmap of {x} and {y}",
            hint="two of its parameters that have a range",
        )


def make(
    home: Home,
    metadata: Metadata,
    strategy: type[Strategy] | str,
    asked: Mapping[str, Any],
    *,
    workers: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> StudyResult:
    """Plans and runs a study here and now."""
    given = {name: value for name, value in asked.items() if value is not None}
    if isinstance(strategy, str):
        plan = plans.of(given, code=source.find(home, metadata, strategy, own=True))
    else:
        plan = plans.of(given, strategy=strategy)
    made = studio.create(metadata, plan, owner="owner")
    studio.run(
        home, metadata, made.id, workers=workers, progress=progress or (lambda _done, _total, _note: None),
        own=True,
    )  # fmt: skip
    return find(metadata, made.id)


def find(metadata: Metadata, study_id: str) -> StudyResult:
    """A study that was made before."""
    with metadata.read() as connection:
        found = rows.one(connection, study_id)
        return StudyResult(found, rows.trials(connection, study_id, "all", returns=False))


def answered(study: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> StudyResult:
    """The same of what REST says of a study and of its trials."""
    found = rows.Study(
        id=study["id"], family=study["family"], dataset=study["dataset"], state=study["state"],
        owner=study["owner"], created=int(study["created"]),
        ended=None if study["ended"] is None else int(study["ended"]), plan=study["plan"], data=None,
        source=None, job=study["job_id"], error=study["error"], result=study["result"],
    )  # fmt: skip
    lines = [
        rows.Row(one["part"], one["number"], one["params"], one["values"], one["metrics"], b"", one["error"])
        for one in trials
    ]
    return StudyResult(found, lines)


__all__ = ["Range", "StudyResult", "answered", "find", "make"]
