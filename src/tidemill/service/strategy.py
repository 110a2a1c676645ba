"""The shapes of what concerns strategies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tidemill.service.schema import Answer, Time

StrategyName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="lower-case letters, digits and _",
    ),
]
Origin = Literal["builtin", "folder", "database"]
Kind = Literal["signal", "event"]
_TEXT = r"^[^\x00]*$"
Code = Annotated[
    str, Field(min_length=1, max_length=262_144, pattern=_TEXT, description="the text of the module")
]
Words = Annotated[str, Field(max_length=4_000, pattern=_TEXT)]
Author = Annotated[str, Field(max_length=200, pattern=_TEXT)]
Parameters = Annotated[
    dict[str, int | float | bool | str],
    Field(max_length=100, description="values that are other than the code's defaults"),
]


class StrategyParam(Answer):
    """A parameter and what it may be; numbers have a range, both ends included."""

    name: str
    kind: Literal["int", "float", "bool", "str"]
    default: int | float | bool | str
    low: int | float | None
    high: int | float | None
    step: int | float | None
    choices: list[int | float | bool | str]
    help: str


class StrategyFault(Answer):
    """What is wrong with the text, and where; lines and columns count from 1."""

    message: str
    line: int | None
    column: int | None


class StrategySummary(Answer):
    name: str
    origin: Annotated[Origin, Field(description="ours, a file of DIR/strategies, or the database")]
    kind: Annotated[Kind | None, Field(description="by signal, or event after event")]
    title: str
    description: str
    author: str
    params: list[StrategyParam]
    faults: list[StrategyFault]
    trusted: Annotated[bool, Field(description="may run in the service; else in the sandbox alone")]
    sha256: Annotated[str, Field(description="of the text")]
    version: Annotated[int | None, Field(description="of the database")]
    parameters: Parameters
    performance_metrics: Annotated[
        dict[str, Any] | None, Field(description="of the newest run that was kept")
    ]
    created: Time | None
    changed: Time | None


class Strategies(Answer):
    items: list[StrategySummary]
    total: Annotated[int, Field(description="on all pages")]
    next: str | None


class Strategy(StrategySummary):
    """One strategy with its text; `ETag` is its version."""

    code: str
    path: Annotated[str | None, Field(description="of a file in DIR/strategies")]


class StrategyText(Answer):
    """A text that is looked at, not kept."""

    code: Code


class StrategyDescription(Answer):
    class_name: str
    kind: Kind | None
    title: str
    description: str
    author: str
    params: list[StrategyParam]
    faults: list[StrategyFault]


class StrategyCreate(Answer):
    name: StrategyName
    code: Code
    description: Words = ""
    parameters: Parameters = Field(default_factory=dict)
    author: Annotated[Author | None, Field(description="who asks, when left out")] = None


class StrategyChange(Answer):
    """The next version. What is left out stays; the version that was changed is named here or by If-Match."""

    code: Code | None = None
    description: Words | None = None
    parameters: Parameters | None = None
    author: Author | None = None
    version: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None


class StrategyVersion(Answer):
    name: str
    version: int
    description: str
    author: str
    sha256: str
    parameters: Parameters
    created: Time


class StrategyVersions(Answer):
    items: list[StrategyVersion]
    next: str | None


class StrategyVersionText(StrategyVersion):
    code: str


class StrategyApply(Answer):
    """A strategy on a chart: of its last `limit` bars."""

    strategy: StrategyName
    instrument: Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]
    others: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]],
        Field(max_length=20, description="further instruments that it runs on"),
    ] = Field(default_factory=list)
    interval: Annotated[str, Field(max_length=16)] = "1h"
    parameters: Parameters = Field(default_factory=dict)
    limit: Annotated[int, Field(ge=2, le=20_000)] = 1_000


class StrategyMarker(Answer):
    ts: Time
    instrument: str
    side: Literal["buy", "sell"]
    target: Annotated[float | None, Field(description="wanted share of equity, of one by signal")]
    price: Annotated[float, Field(description="close where it was decided, or of the fill")]


class StrategyTarget(Answer):
    """The wanted share of equity at each close; null leaves things as they are."""

    instrument: str
    ts: Annotated[list[Time], Field(description="starts of the bars, as on the chart")]
    target: list[float | None]


class StrategyApplied(Answer):
    strategy: str
    origin: Origin
    kind: Kind
    version: int | None
    instrument: str
    interval: str
    parameters: Parameters
    job_id: Annotated[str | None, Field(description="the backtest of one that is not ours (202)")]
    shown: Annotated[list[Literal["targets", "markers"]], Field(description="what is in this answer")]
    warm_up: Annotated[
        int | None, Field(description="bars before its values can be relied on; null: none can")
    ]
    targets: list[StrategyTarget]
    markers: list[StrategyMarker]


class StrategyProblem(Answer):
    """A mark in a text. Lines and columns count from 1; the end's column is the first that is not marked."""

    severity: Literal["error", "warning", "hint"]
    code: str
    message: str
    line: int
    column: int
    end_line: int
    end_column: int


class StrategyDiagnosis(Answer):
    """What a text says, and every mark in it, in the order of its lines."""

    about: StrategyDescription
    problems: list[StrategyProblem]


class StrategyCheckAsk(Answer):
    """A text, run again and again on less: over the last bars of these instruments, or over made-up ones."""

    code: Code
    name: StrategyName = "strategy"
    parameters: Parameters = Field(default_factory=dict)
    instruments: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]], Field(max_length=20)
    ] = Field(default_factory=list)
    interval: Annotated[str, Field(max_length=16)] = "1h"
    bars: Annotated[int, Field(ge=50, le=20_000, description="of each instrument")] = 1_500


class StrategyFinding(Answer):
    """The first decision that another run does not make."""

    way: Annotated[
        Literal["again", "cut", "moved"],
        Field(description="on the same bars, on fewer of them, or on the same twenty years earlier"),
    ]
    ts: Annotated[Time, Field(description="when the bar was known after which they differ")]
    instrument: str
    whole: Annotated[str, Field(description="what it did at first")]
    other: Annotated[str, Field(description="what it did then")]


class StrategyCheck(Answer):
    """What came of a check. Where the code fails, `runs` is 0 and a problem says why."""

    instruments: list[str]
    bars: int
    decisions: int
    runs: int
    warm_up: Annotated[
        int | None, Field(description="bars before its signals can be relied on; null: none can")
    ]
    findings: list[StrategyFinding]
    problems: list[StrategyProblem]


class StrategyTemplate(Answer):
    """A text to begin with, which runs as it is."""

    name: str
    code: str


class StrategyWord(Answer):
    """A name that a strategy can be written with."""

    name: str
    kind: Literal["class", "function", "method", "property", "column", "indicator", "hook"]
    signature: Annotated[str, Field(description="as it is called, or its type")]
    text: str
    params: list[str]
    gives: Annotated[str, Field(description="the class of its value, where `members` tells of that one")]
    outputs: Annotated[list[str], Field(description="of an indicator")]


class StrategyLanguage(Answer):
    """What strategies are written with, in this version: for editors."""

    names: Annotated[list[StrategyWord], Field(description="of `tidemill.strategy`")]
    members: Annotated[
        dict[str, list[StrategyWord]], Field(description="behind a dot, by the class before it")
    ]
    keywords: list[str]
    builtins: list[str]
