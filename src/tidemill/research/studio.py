"""Studies of a home: planned, run and shown, with what they keep in its metadata database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tidemill.errors import TidemillError
from tidemill.home import Home
from tidemill.metadata import Metadata
from tidemill.metadata import study as rows
from tidemill.research import history, ledger, source, verdict
from tidemill.research.plan import Plan
from tidemill.research.study import Paused, Progress, Study, digest
from tidemill.research.trial import Trial

FOLDER = "studies"


class Kept:
    """Trials of one study in the database: each with its entry of the ledger, in one transaction."""

    def __init__(self, metadata: Metadata, study_id: str, plan: Plan) -> None:
        self._metadata, self._id, self._plan = metadata, study_id, plan

    def kept(self, part: str) -> Sequence[Trial]:
        with self._metadata.read() as connection:
            return [trial(row) for row in rows.trials(connection, self._id, part)]

    def keep(self, part: str, trials: Sequence[Trial], entries: Sequence[ledger.Entry]) -> None:
        plan = self._plan
        made = [
            rows.Row(
                part, one.number, one.params, list(one.values), dict(one.metrics),
                one.returns.astype("<f4").tobytes(), one.error,
            )
            for one in trials
        ]  # fmt: skip
        with self._metadata.write() as connection:
            rows.keep(connection, self._id, made)
            ledger.record(connection, plan.family, plan.dataset, entries, source=f"study:{self._id}")


def trial(row: rows.Row) -> Trial:
    """A row as a trial."""
    returns = np.frombuffer(row.returns, "<f4")
    return Trial(row.number, row.params, tuple(row.vals), row.metrics, returns, row.error)


def create(metadata: Metadata, plan: Plan, *, owner: str) -> rows.Study:
    """A new study, queued."""
    with metadata.write() as connection:
        return rows.create(connection, plan.family, plan.dataset, plan.json(), owner=owner)


def run(
    home: Home,
    metadata: Metadata,
    study_id: str,
    *,
    workers: int,
    progress: Progress = lambda _done, _total, _note: None,
    cancelled: Callable[[], bool] = lambda: False,
    actor: str = "owner",
    own: bool = False,
) -> dict[str, Any]:
    """Runs a study, or what is left of it, and keeps its result, which is returned. `own` says that whoever
    asked runs this process: their files run as they do. Other code but the package's runs in the sandbox.

    Raises `Paused` when it was asked to stop: its state says what for, and `cancelled` where nobody said;
    `ConflictError` `study_changed`; and what its history and its strategy raise, as which it is failed."""
    from tidemill.stores.live import LiveView

    with metadata.read() as connection:
        plan = Plan.of_json(rows.one(connection, study_id).plan)
    try:
        code = source.find(home, metadata, plan.strategy, own=own)
        view = LiveView(home.path, follow=False)
        loaded = history.load(
            view, plan.instruments, plan.interval, plan.start, plan.end,
            as_recorded=plan.settings.as_recorded,
        )  # fmt: skip
        with metadata.write() as connection:
            rows.begin(
                connection,
                study_id,
                loaded.digest,
                hashlib.sha256(code.text.encode("utf-8", "replace")).hexdigest(),
            )
        kept = Kept(metadata, study_id, plan)
        found = Study(
            plan, loaded, kept, home.path / FOLDER / study_id,
            code=code, workers=workers, progress=progress, cancelled=cancelled,
        ).run()  # fmt: skip
        with metadata.read() as connection:
            count = ledger.count(connection, plan.family, plan.dataset)
        result: dict[str, Any] = verdict.finite(
            {"digest": _digest(metadata, study_id), "data": loaded.digest, **verdict.told(found, count)}
        )
    except Paused:
        with metadata.write() as connection:
            if rows.one(connection, study_id).state == "running":
                rows.move(connection, study_id, "cancelled", actor=actor)
        raise
    except TidemillError as error:
        if error.code != "study_changed":
            with metadata.write() as connection:
                rows.move(connection, study_id, "failed", actor=actor, error=error.as_dict())
        raise
    with metadata.write() as connection:
        rows.move(connection, study_id, "done", actor=actor, result=result)
    return result


def _digest(metadata: Metadata, study_id: str) -> str:
    with metadata.read() as connection:
        found: dict[str, list[Trial]] = {}
        for row in rows.trials(connection, study_id):
            found.setdefault(row.part, []).append(trial(row))
    return digest(found)


def shown(found: rows.Study, *, trials: int | None = None) -> dict[str, Any]:
    """A study as JSON, without its result; times as int ns."""
    plan: Mapping[str, Any] = found.plan
    return {
        "id": found.id, "state": found.state, "family": found.family, "dataset": found.dataset,
        "owner": found.owner, "created": found.created, "ended": found.ended, "job_id": found.job,
        "plan": plan, "error": found.error, "trials": trials, "trials_wanted": wanted(Plan.of_json(plan)),
    }  # fmt: skip


def wanted(plan: Plan) -> int:
    """Trials that it makes in all, on every stretch of history."""
    many = plan.space.size if plan.trials is None else plan.trials
    if plan.sampler in ("grid", "random") and (plan.sampler == "grid" or plan.space.finite):
        many = min(many, plan.space.size)
    return many * (1 + plan.walk_forward) + plan.walk_forward
