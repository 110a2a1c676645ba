"""The shapes of studies, in and out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tidemill.service.schema import Answer, Time, Version, Word

State = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
Objective = Literal["sharpe", "total_return", "calmar", "sortino"]
Moment = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Scalar = int | float | bool | str | None


class StudyAsk(Answer):
    """What is to be tried: a strategy that the platform has, on instruments and an interval; for each
    parameter a range (`5:50:5`), a list of values, or one value."""

    strategy: Word
    version: Version | None = None
    instruments: Annotated[list[Word], Field(min_length=1, max_length=100)]
    interval: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[^\x00]*$")] = "1h"
    start: Moment | None = None
    end: Moment | None = None
    params: dict[str, str | int | float | bool | list[int | float | bool | str]] = Field(
        default_factory=dict, description='{"fast": "5:50:5", "slow": [50, 100]}; all ranges when left out'
    )
    sampler: Literal["grid", "random", "tpe", "cmaes", "nsga2"] = "grid"
    trials: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    batch: Annotated[int, Field(ge=1, le=100_000, description="trials asked for at a time")] | None = None
    objective: Annotated[str | list[str], Field(description="one, or a list with nsga2, grid, random")] = (
        "sharpe"
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="cash, costs, limit_fill, as_recorded")
    walk_forward: Annotated[int, Field(ge=0, le=50, description="folds; 0 for none")] = 0
    anchored: bool = False
    workers: Annotated[int, Field(ge=0, le=256, description="0: one for each processor")] = 0
    priority: Annotated[int, Field(ge=-10, le=10)] = 0


class StudyJob(Answer):
    """The study, and the job that runs it."""

    job_id: str
    study_id: str
    state: State


class Study(Answer):
    """A study; `trials` of `trials_wanted` are made. `plan` is all that determines its trials."""

    id: str
    state: State
    family: str
    dataset: str
    owner: str
    created: Time
    ended: Time | None
    job_id: str | None
    plan: dict[str, Any]
    error: dict[str, Any] | None
    trials: int | None
    trials_wanted: int


class Studies(Answer):
    items: list[Study]
    next: str | None


class Progress(Study):
    """A study with how far it is, and its result once it is done."""

    rate: float | None = Field(description="trials a second")
    eta_s: float | None
    result: dict[str, Any] | None


class Trial(Answer):
    """One trial; `part` is `all`, or `in.1`, `out.1`, … of a walk-forward."""

    part: str
    number: int
    state: Literal["done", "failed"]
    params: dict[str, Scalar]
    values: list[float | None]
    metrics: dict[str, float | None]
    error: str | None


class Trials(Answer):
    items: list[Trial]
    next: str | None


class StudyResult(Answer):
    """What came of a study: the best trial, the verdict on it, and what that rests on."""

    id: str
    digest: str
    data: str
    verdict: dict[str, Any]
    best: dict[str, Any]
    front: list[dict[str, Any]]
    honesty: dict[str, Any]
    walk_forward: dict[str, Any] | None
    stable_zone: dict[str, Any]
    costs: dict[str, Any]
    perturbed: dict[str, Any]
    chances: dict[str, Any]
    importance: dict[str, float | None]
    heatmaps: list[dict[str, Any]]
    parallel: dict[str, Any]
    failed: int
