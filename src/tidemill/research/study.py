"""A study: many trials of one strategy by worker processes, each kept before the next is asked for, and a
verdict on the best of them.

What a study finds depends on its plan, the strategy's source and the history alone: not on the number of
workers, and not on how often it was killed and resumed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import orjson

from tidemill import __version__
from tidemill.errors import ConflictError, UsageError
from tidemill.research import mapped, setting, source, verdict, walk
from tidemill.research.backtest import Stage
from tidemill.research.crew import Answer, Crew, Workers
from tidemill.research.history import History
from tidemill.research.ledger import Entry
from tidemill.research.period import YEAR, calendar_of
from tidemill.research.plan import Plan
from tidemill.research.sampler import Sampler
from tidemill.research.space import Params
from tidemill.research.trial import Trial, best

ALL: Final = "all"
Progress = Callable[[int, int, str], None]


class Paused(Exception):
    """It was asked to stop, and has."""


class Keeper(Protocol):
    """Where trials are kept."""

    def kept(self, part: str) -> Sequence[Trial]:
        """Those of a part of the study that are there."""

    def keep(self, part: str, trials: Sequence[Trial], entries: Sequence[Entry]) -> None:
        """Keeps them, and their entries of the ledger, together or not at all."""


class Study:
    """One study at work."""

    def __init__(
        self,
        plan: Plan,
        history: History,
        keeper: Keeper,
        folder: Path,
        *,
        code: source.Code | None = None,
        workers: int = 1,
        progress: Progress = lambda _done, _total, _note: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """`folder` is for the mapped history: it is made, and goes when the study ends. `code` is what the
        plan's reference stands for; what may run here is found without."""
        self._plan, self._history, self._keeper = plan, history, keeper
        self._folder, self._workers = folder, workers
        self._progress, self._cancelled = progress, cancelled
        self._code = code or source.of(source.load(plan.strategy), plan.strategy)
        self._done = 0
        self._total = 0
        self.crew: Workers | None = None
        self._lookback_known: int | None = None
        self._fixed = _Fingerprints(plan, self._code.text)

    def run(self) -> verdict.Findings:
        """Makes the trials that are not there yet, and judges. Raises `Paused` when it was asked to stop, and
        `UsageError` `study_failed` where no trial has come to an end."""
        plan = self._plan
        stage = Stage(self._history, plan.settings)
        axis = np.asarray(stage._end[stage._last])
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            with self._hired() as self.crew:
                whole = mapped.write(self._history, self._folder / ALL)
                made = self._folds(len(axis), 0)[0]
                count = plan.sampled().total
                self._total = count * (1 + len(made)) + len(made)
                trials = self._tried(ALL, whole, self._history.digest)
                chosen = best(trials)
                if chosen is None:
                    raise _nothing(trials)
                year = YEAR[calendar_of(self._history.tracks)]
                found = verdict.of(self.crew, str(whole), plan, self._history, trials, chosen, year)
                if not made:
                    return found
                return replace(found, walked=self._walked(axis, found.longest, year))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _hired(self) -> Workers:
        order = {
            "strategy": self._code.reference, "settings": setting.json(self._plan.settings),
            "objectives": list(self._plan.objectives),
        }  # fmt: skip
        if self._code.trusted:
            return Crew(self._workers, order, self._code.kind)
        from tidemill.research.guest_crew import GuestCrew  # only where there is code to be guarded

        return GuestCrew(self._workers, order, self._code, self._folder)

    # ── trials ────────────────────────────────────────────────────────────────────────────────────

    def _tried(self, part: str, stage: Path, data: str) -> list[Trial]:
        """All trials of a part: those that are kept, and the rest, which are made."""
        known = {trial.number: trial for trial in self._keeper.kept(part)}
        self._done += len(known)
        sampler = self._plan.sampled()
        found: list[Trial] = []
        for first, asked in self._asked(sampler):
            missing = []
            for number, params in enumerate(asked, first):
                if number not in known:
                    missing.append((number, params))
                elif known[number].params != params:
                    raise ConflictError(
                        "study_changed",
                        f"trial {number} of this study was made with other parameters than are asked for now",
                        hint="the sampler's library has changed: make a new study",
                    )
            self._make(part, stage, data, missing, known)
            batch = [known.pop(number) for number in range(first, first + len(asked))]
            sampler.tell(batch)
            found += batch
        return found

    def _asked(self, sampler: Sampler) -> Iterator[tuple[int, list[Params]]]:
        for first in range(0, sampler.total, self._plan.batch):
            yield first, sampler.ask(first, min(self._plan.batch, sampler.total - first))

    def _make(
        self,
        part: str,
        stage: Path,
        data: str,
        missing: Sequence[tuple[int, Params]],
        known: dict[int, Trial],
        first: int | None = None,
    ) -> None:
        assert self.crew is not None  # noqa: S101 - only while it runs
        params = dict(missing)
        items = [{"key": number, "params": given} for number, given in missing]
        self._tell(part)
        for answers in self.crew.work(str(stage), items, first=first):
            trials = [_trial(answer, params[answer.key]) for answer in answers]
            entries = [] if first is not None else [self._fixed.entry(trial, data) for trial in trials]
            self._keeper.keep(part, trials, entries)
            known.update((trial.number, trial) for trial in trials)
            self._done += len(trials)
            self._tell(part)

    def _tell(self, part: str) -> None:
        self._progress(self._done, self._total, "trials" if part == ALL else f"walk-forward {part}")
        if self._cancelled():
            raise Paused

    # ── walk-forward ──────────────────────────────────────────────────────────────────────────────

    def _folds(self, steps: int, holding: int) -> tuple[list[walk.Fold], int]:
        """The folds, and the purge before what is outside: never more than half of what is inside."""
        plan = self._plan
        if not plan.walk_forward:
            return [], 0
        most = steps // (plan.walk_forward + walk.RATIO) * walk.RATIO // 2
        purge = min(self._lookback() + holding, most)
        return walk.folds(steps, plan.walk_forward, anchored=plan.anchored, purge=purge), purge

    def _lookback(self) -> int:
        """Steps that the strategy looks back at its largest parameters."""
        if self._lookback_known is None:
            space = self._plan.space
            corners = [space.at(0), space.at(space.size - 1)]
            corners += [corners[0] | {axis.name: corners[1][axis.name]} for axis in space.axes]
            assert self.crew is not None  # noqa: S101 - only while it runs
            self._lookback_known = self.crew.lookback(list(self._history.tracks), corners)
        return self._lookback_known

    def _walked(self, axis: Any, holding: int, year: int) -> dict[str, Any]:
        """`holding` is how many bars the best trial of the whole history holds a position at most."""
        made, purge = self._folds(len(axis), holding)
        chosen: dict[int, Trial] = {}
        outside: dict[int, Trial] = {}
        lookback = self._lookback()
        for fold in made:
            inside = walk.cut(self._history, axis, fold.first, fold.past)
            folder = mapped.write(inside, self._folder / f"in.{fold.number}")
            trials = self._tried(f"in.{fold.number}", folder, inside.digest)
            shutil.rmtree(folder)
            top = best(trials)
            if top is None:
                continue
            chosen[fold.number] = top
            # What it looks back on comes before: returns count from where the stretch begins.
            part = f"out.{fold.number}"
            known = {trial.number: trial for trial in self._keeper.kept(part)}
            self._done += len(known)
            if not known:
                begin = max(0, min(fold.out - 1, fold.out - lookback - 1))
                tested = walk.cut(self._history, axis, begin, fold.end)
                folder = mapped.write(tested, self._folder / part)
                first = int(axis[fold.out - 1])
                self._make(part, folder, tested.digest, [(0, top.params)], known, first=first)
                shutil.rmtree(folder)
            outside[fold.number] = known[0]
        found = walk.summed(made, chosen, outside, axis, self._plan.space, year)
        return {"purge": purge, "anchored": self._plan.anchored, **found}


class _Fingerprints:
    """What the ledger knows a trial by. All but its parameters and its rows is the same for a study."""

    def __init__(self, plan: Plan, text: str) -> None:
        self._fixed = {
            "source": hashlib.sha256(text.encode()).hexdigest(),
            "settings": setting.json(plan.settings),
            "version": __version__,
        }

    def entry(self, trial: Trial, data: str) -> Entry:
        parts = self._fixed | {"data": data, "params": dict(sorted(trial.params.items()))}
        name = hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return Entry(name, trial.metrics.get("period_sharpe"), len(trial.returns))


def digest(parts: Mapping[str, Sequence[Trial]]) -> str:
    """SHA-256 over all trials with what came of them: equal studies have equal digests, to the bit."""
    found = hashlib.sha256()
    for part in sorted(parts):
        for trial in sorted(parts[part], key=lambda one: one.number):
            found.update(orjson.dumps([part, trial.json()], option=orjson.OPT_SORT_KEYS))
            found.update(trial.returns.astype("<f4").tobytes())
    return found.hexdigest()


def _trial(answer: Answer, params: Params) -> Trial:
    told = answer.told
    if "error" in told:
        return Trial(answer.key, params, error=str(told["error"]))
    return Trial(answer.key, params, tuple(told["values"]), dict(told["metrics"]), answer.returns)


def _nothing(trials: Sequence[Trial]) -> UsageError:
    failed = next((one.error for one in trials if one.error is not None), None)
    what = f"the first said: {failed}" if failed else "none of them has traded"
    return UsageError(
        "study_failed", f"no trial of {len(trials):,} has a value; {what}"[:600],
        hint="run the strategy once: `tidemill backtest run`",
    )  # fmt: skip
