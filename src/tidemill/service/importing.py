"""The shapes of what concerns files that people bring."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tidemill.service.schema import Answer, DecimalText, Text64, Time

UploadId = Annotated[str, Field(min_length=1, max_length=64, description="from POST /api/v1/data/uploads")]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$"


class Upload(Answer):
    """A file that waits for its import, for a day."""

    upload: str
    name: str
    bytes: int
    sha256: str


class ImportAsk(Answer):
    """A file and how it is read: guessed, or by a saved recipe's name, or by a whole recipe; `changes` are
    fields of the recipe that are known better."""

    upload: UploadId
    member: Annotated[str | None, Field(max_length=200, description="of an archive with several files")] = (
        None
    )
    recipe: Annotated[str | dict[str, Any] | None, Field(description="a name, or a recipe")] = None
    changes: dict[str, Any] = Field(default_factory=dict)


class ImportStart(ImportAsk):
    """The same, to be kept."""

    strict: Annotated[bool, Field(description="end at the first bad row")] = False
    save_recipe: Annotated[str | None, Field(pattern=_NAME, description="save the recipe as this")] = None
    priority: Annotated[int, Field(ge=-10, le=10)] = 0


class ImportColumn(Answer):
    name: str
    type: str
    example: str


class ImportBad(Answer):
    line: int
    reason: str
    text: str


class ImportSample(Answer):
    rows: int
    bad: int
    skipped: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    instruments: list[str]
    start: Text64 | None
    end: Text64 | None


class Preview(Answer):
    """What would come of a file. `recipe` is null while something is `open`; `rows` are as they would be
    kept, prices and sizes as exact decimal text."""

    name: str
    bytes: int
    shape: str
    packed: str
    columns: list[ImportColumn]
    recipe: dict[str, Any] | None
    draft: dict[str, Any]
    reusable: dict[str, Any] | None = None
    confidence: float
    notes: list[str]
    open: list[str]
    rows: list[dict[str, Any]]
    bad: list[ImportBad]
    sample: ImportSample | None


class Recipe(Answer):
    name: str
    recipe: dict[str, Any]
    changed: Time
    actor: str


class Recipes(Answer):
    items: list[Recipe]


class Fact(Answer):
    """A dated fact: `ratio` of a split (new shares for one old), `amount` or `factor` of a dividend, `symbol`
    of a change."""

    instrument: str
    kind: str
    date: str
    ts_known: Time
    source: str
    ratio: str | None
    amount: DecimalText | None
    factor: str | None
    currency: str | None
    symbol: str | None
    zone: str
    void: bool


class Facts(Answer):
    items: list[Fact]
