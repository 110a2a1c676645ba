"""The shapes of answers, for the API document and the clients made from it.

Answers are not checked against these while serving (bars leave pre-encoded); the tests do that.
`Text64` is a 64-bit integer as a decimal string, `DecimalText` a price or size as the venue printed it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidemill.model.collector import VENUE

Text64 = Annotated[str, Field(pattern=r"^-?\d+$", description="64-bit integer as text")]
DecimalText = Annotated[str, Field(description="exact decimal as text")]
Decimal19 = Annotated[str, Field(pattern=r"^-?[0-9]{1,19}(\.[0-9]{1,18})?$", description="decimal text")]
Time = Annotated[str, Field(description="ns since the epoch (UTC) as text, or ISO 8601 with time=iso")]
GapState = Literal["open", "filled", "unfillable"]
PartState = Literal["starting", "live", "stale", "reconnecting", "idle", "draining", "failed", "stopped"]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    """An answer that carries what a part said, which may grow."""

    model_config = ConfigDict(extra="allow")


class Error(Answer):
    """The one error shape."""

    code: str
    category: str
    message: str
    hint: str
    retryable: bool
    docs: str
    request_id: str | None


class Configuration(Answer):
    version: str
    mode: Literal["SIMULATED", "REPLAY", "PAPER", "LIVE"] | None
    """None while no venue is collected: prices are neither live nor made up then, they are history."""
    profile: Literal["local", "team"]
    home: str
    port: int
    database: Literal["sqlite", "postgresql"]
    redis: Literal["none", "live", "away"]
    stream: str
    bridge_port: int | None
    intervals: list[str]
    venues: list[str]
    protocols: list[str]
    features: list[str]


class PartHealth(Answer):
    part: str
    state: PartState
    ready: bool
    pid: int | None
    detail: str | None
    since: Time | None


class Health(Answer):
    live: bool
    ready: bool
    parts: list[PartHealth]


class Live(Answer):
    live: bool


class LastTrade(Answer):
    price: DecimalText
    ts_event: Time


class Instrument(Answer):
    instrument: str
    venue: str
    symbol: str
    base: str
    quote: str
    tick: DecimalText | None
    lot: DecimalText | None
    price_scale: int
    size_scale: int
    status: str
    last: LastTrade | None


class Instruments(Answer):
    items: list[Instrument]
    next: str | None


class Days(Answer):
    """UTC days in a row, the first of them named."""

    first: Annotated[str, Field(description="a date, 2026-11-20")]
    rows: Annotated[list[int] | None, Field(description="of each day; null where the store does not look")]
    completeness: Annotated[
        list[float | None], Field(description="of each day, 0 to 1; null where its market was shut")
    ]


class Dataset(Answer):
    id: str
    name: str
    instrument: str
    venue: str
    kind: str
    description: str
    category: str
    licence: str | None
    resolution: Annotated[str, Field(description="event, or the shortest interval of its bars")]
    rows: int
    rows_per_day: float
    start: Time | None
    end: Time | None
    bytes: int
    complete: bool
    completeness: Annotated[float, Field(description="share of what there was, 0 to 1")]
    gaps: int
    status: Literal["collecting", "stored"]
    delivery: Literal["live", "history", "generated"]
    access: Annotated[
        Literal["built-in", "public", "key-set", "needs-key", "own"],
        Field(description="what it takes to have more of its venue"),
    ]
    recent: Annotated[Days | None, Field(description="its newest days, where `days` asks for them")] = None
    lineage: Annotated[list[str], Field(description="who brought it: live, a provider, an import")]
    retention_days: Annotated[int | None, Field(description="null: kept for ever")]
    accessed: Time | None
    subscribed: bool


class Datasets(Answer):
    items: list[Dataset]
    total: Annotated[int, Field(description="on all pages")]
    facets: Annotated[
        dict[str, dict[str, int]],
        Field(description="how many there are of each venue, kind, category, status, resolution, …"),
    ]
    next: str | None


class DatasetField(Answer):
    """A column of a dataset, as SQL and the Python client have it."""

    name: str
    type: Annotated[str, Field(description="as DuckDB names it")]
    unit: str | None
    nullable: bool
    meaning: str


class DatasetFields(Answer):
    dataset: str
    items: list[DatasetField]


class DatasetEdit(Answer):
    """What people say of a dataset. What is left out stays; null takes it away."""

    description: Annotated[str | None, Field(max_length=2_000, pattern=r"^[^\x00]*$")] = None
    category: Annotated[str | None, Field(max_length=64, pattern=r"^[^\x00]*$")] = None
    licence: Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")] = None
    retention_days: Annotated[int | None, Field(ge=1, le=36_500)] = None


class Subscription(Answer):
    dataset: str
    subscribed: bool
    changed: bool


class Position(Answer):
    epoch: int
    sequence: int


class SeriesGap(Answer):
    channel: str
    cause: str
    start: Time
    end: Time | None
    missing: int
    state: GapState


class CurrentBar(Answer):
    """The bar that is still open."""

    ts: Time
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int


Settling = Annotated[
    int,
    Field(description="so many of the last bars have just ended: a trade that is late may still change them"),
]


class Bars(Answer):
    """Closed bars as columns of one length, ascending; `current` is the open one."""

    instrument: str
    interval: str
    ts: list[Time]
    open: list[float | None]
    high: list[float | None]
    low: list[float | None]
    close: list[float | None]
    volume: list[float | None]
    trades: list[int]
    revision: list[int]
    current: CurrentBar | None
    settling: Settling
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    next: str | None = Field(description="cursor to older bars")


class BarRow(Answer):
    ts: Time
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText
    trades: int
    revision: int


class BarRows(Answer):
    """The same with format=rows."""

    instrument: str
    interval: str
    items: list[BarRow]
    current: CurrentBar | None
    settling: Settling
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    next: str | None


class IndicatorParam(Answer):
    name: str
    kind: Literal["int", "float"]
    default: float
    low: float | None = Field(description="both ends are included; null: TA-Lib says it only when asked")
    high: float | None


class IndicatorOutput(Answer):
    name: str
    draw: Literal["line", "histogram", "band", "marks"]
    pane: Literal["price", "own", "volume"]
    first: int = Field(description="index of the first value of a series without gaps")
    shift: int = Field(description="bars by which it is drawn later, or earlier where negative")


Memory = Literal["window", "fading", "whole"]


class Indicator(Answer):
    name: str
    title: str
    description: str
    source: str
    inputs: list[str]
    params: list[IndicatorParam]
    outputs: list[IndicatorOutput]
    memory: Memory
    warm_up: int | None = Field(description="with the default parameters; null: it remembers everything")


class Indicators(Answer):
    items: list[Indicator]


Params = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[float, Field(strict=True)]], Field(max_length=32)
]


class IndicatorAsk(Answer):
    indicator: Annotated[str, Field(min_length=1, max_length=64)]
    params: Params = Field(default_factory=dict)


class Calculate(Answer):
    """`indicator` with its `params`, or several in `indicators`, of one series of bars."""

    instrument: Annotated[str, Field(min_length=1, max_length=200)]
    interval: Annotated[str, Field(max_length=16)] = "1m"
    indicator: Annotated[str | None, Field(max_length=64)] = None
    params: Params = Field(default_factory=dict)
    indicators: Annotated[list[IndicatorAsk] | None, Field(min_length=1, max_length=32)] = None
    start: Annotated[str | None, Field(max_length=64)] = None
    end: Annotated[str | None, Field(max_length=64)] = None
    last: Annotated[
        str | None, Field(max_length=16, description="such as 90d: back from the end, or now")
    ] = None
    limit: Annotated[int, Field(ge=1, le=500_000, strict=True)] = 5_000
    cursor: Annotated[str | None, Field(max_length=1000)] = None
    since: Annotated[
        str | None, Field(max_length=64, description="where those begin that remember everything")
    ] = None
    adjusted: Literal["raw", "none", "split", "all"] = "raw"
    known: Annotated[str | None, Field(max_length=64)] = None
    format: Literal["columns", "rows", "arrow", "csv", "parquet"] = "columns"
    time: Literal["ns", "iso"] = "ns"


class IndicatorSubscribe(Answer):
    """The `subscribe` of /ws/indicators."""

    id: Annotated[int, Field(strict=True, ge=0, lt=2**53)]
    instrument: Annotated[str, Field(min_length=1, max_length=200)]
    interval: Annotated[str, Field(max_length=16)] = "1m"
    indicator: Annotated[str, Field(min_length=1, max_length=64)]
    params: Params = Field(default_factory=dict)
    start: Annotated[str | None, Field(max_length=64)] = None
    limit: Annotated[int, Field(strict=True, ge=1, le=50_000)] = 500
    since: Annotated[str | None, Field(max_length=64)] = None


class CalculatedFacts(Answer):
    indicator: str
    params: dict[str, float]
    outputs: list[IndicatorOutput]
    memory: Memory
    warm_up: int | None
    began: Time | None = Field(description="start of the first bar that was taken in")
    current: dict[str, float | None] | None = Field(description="of the bar that is still open")


class CalculatedColumns(CalculatedFacts):
    values: dict[str, list[float | None]] = Field(
        description="by output, as long as ts; null before the first"
    )


class CalculatedSeries(Answer):
    """Values of closed bars, ascending."""

    instrument: str
    interval: str
    ts: list[Time]
    indicators: list[CalculatedColumns]
    current: Time | None = Field(description="start of the bar that is still open")
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    next: str | None


class CalculatedRows(Answer):
    """The same with format=rows: `ts` and the outputs by name, of several `rsi.rsi`."""

    instrument: str
    interval: str
    items: list[dict[str, Any]]
    indicators: list[CalculatedFacts]
    current: Time | None
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    next: str | None


class Historical(Answer):
    """The newest bars as columns, and what leads to older ones."""

    request_id: str
    instrument: str
    interval: str
    ts: list[Time]
    open: list[float | None]
    high: list[float | None]
    low: list[float | None]
    close: list[float | None]
    volume: list[float | None]
    trades: list[int]
    revision: list[int]
    current: CurrentBar | None
    settling: Settling
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    before: Annotated[
        Text64 | None, Field(description="for /historical/chunk; null: there are no older bars")
    ]


class Lease(Answer):
    session_id: str
    heartbeat_s: int
    expires: Time


class LeaseBeat(Answer):
    session_id: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")]


class StockTable(Answer):
    table: Annotated[str, Field(description="its name in the catalogue")]
    instrument: str
    venue: str
    category: str
    rows: int
    start: Time | None
    end: Time | None


class StockTables(Answer):
    items: list[StockTable]


class StockRow(Answer):
    ts: Time
    open: DecimalText | None
    high: DecimalText | None
    low: DecimalText | None
    close: DecimalText | None
    volume: DecimalText | None
    revision: int
    transactions: int | None
    vwap: Annotated[float | None, Field(description="null where not all of its trades are stored")]
    market_time: Annotated[str, Field(description="ISO 8601 in the market's zone")]
    sma_20: float | None
    ema_20: float | None
    rsi_14: float | None
    is_projection: bool
    projection_source: str | None


class StockFacts(Answer):
    table: str
    instrument: str
    interval: str
    zone: str
    complete: bool
    gaps: list[SeriesGap]
    more: Annotated[bool, Field(description="there are rows beyond these")]


class StockData(StockFacts):
    items: list[StockRow]


class StockChart(StockFacts):
    columns: dict[str, list[Any]]


class StockChartAsk(Answer):
    table: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
    interval: Annotated[str, Field(max_length=16)] = "1d"
    start: Annotated[str | None, Field(max_length=64)] = None
    end: Annotated[str | None, Field(max_length=64)] = None
    limit: Annotated[int, Field(ge=1, le=50_000)] = 1_000
    indicators: Annotated[list[Literal["sma_20", "ema_20", "rsi_14"]], Field(max_length=3)] = [
        "sma_20",
        "ema_20",
        "rsi_14",
    ]
    projections: bool = True


class ProjectedRow(Answer):
    ts: Annotated[str, Field(max_length=64, description="start of its interval")]
    open: Decimal19
    high: Decimal19
    low: Decimal19
    close: Decimal19
    volume: Decimal19 | None = None


class Projections(Answer):
    interval: Annotated[str, Field(pattern=r"^[0-9]{1,9}(s|m|h|d|w|mo)$")]
    source: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
    rows: Annotated[list[ProjectedRow], Field(min_length=1, max_length=5_000)]


class Projected(Answer):
    instrument: str
    rows: int


class Trade(Answer):
    epoch: int
    sequence: int
    ts_event: Time
    ts_recv: Time
    price: DecimalText
    size: DecimalText
    aggressor: Literal["buy", "sell", "none"]
    id: Text64 | None


class Trades(Answer):
    """`items` with format=rows (the default), `columns` with format=columns."""

    instrument: str
    items: list[Trade] | None = None
    columns: dict[str, list[Any]] | None = None
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    next: str | None


class Quote(Answer):
    epoch: int
    sequence: int
    ts_event: Time
    ts_recv: Time
    bid_price: DecimalText | None
    bid_size: DecimalText | None
    ask_price: DecimalText | None
    ask_size: DecimalText | None


class Quotes(Answer):
    instrument: str
    items: list[Quote] | None = None
    columns: dict[str, list[Any]] | None = None
    through: Position | None
    complete: bool
    gaps: list[SeriesGap]
    next: str | None


class Book(Answer):
    """Levels best first, each [price, size]."""

    instrument: str
    epoch: int | None
    sequence: int | None
    ts_event: Time | None
    ts_recv: Time | None
    valid: bool
    bids: list[tuple[DecimalText, DecimalText]]
    asks: list[tuple[DecimalText, DecimalText]]


class Query(Answer):
    """One SELECT over the datasets of docs/query.md."""

    sql: Annotated[str, Field(min_length=1, max_length=100_000)]
    limit: Annotated[int, Field(ge=1, le=1_000_000, description="rows at most; 100,000 of JSON")] = 10_000
    format: Literal["columns", "rows", "arrow", "csv", "parquet"] = "columns"
    time: Literal["ns", "iso"] = "ns"
    timeout_s: Annotated[float | None, Field(gt=0, le=3600)] = None
    preview: Annotated[bool, Field(description="how large the whole answer is, without its rows")] = False
    as_job: Annotated[bool, Field(description="the whole answer as a file, by a job: 202")] = False


class QueryReads(Answer):
    """What an answer was made of."""

    store: Literal["lake"]
    versions: Annotated[dict[str, int], Field(description="of each table of the lake")]
    note: str | None


class QueryAnswer(Answer):
    """`columns` with format=columns, `items` with format=rows, neither with `preview`."""

    names: list[str]
    types: Annotated[list[str], Field(description="of each column, as DuckDB names it")]
    rows: Annotated[int, Field(description="in this answer; in the whole one with `preview`")]
    truncated: bool = False
    bytes: Annotated[int | None, Field(description="of the whole answer, about; with `preview`")] = None
    reads: QueryReads
    elapsed_ms: int
    columns: dict[str, list[Any]] | None = None
    items: list[dict[str, Any]] | None = None


class DataMetadata(Answer):
    instrument: Instrument
    datasets: list[Dataset]
    intervals: list[str]
    gaps: list[SeriesGap]


class Gap(Answer):
    id: int
    venue: str
    instrument: str | None
    channel: str
    cause: str
    opened_at: Time
    ended_at: Time | None
    ts_event_open: Time
    ts_event_end: Time | None
    missing: int
    state: GapState
    epoch: int
    sequence: int
    venue_sequence_open: str | None
    venue_sequence_end: str | None


class Gaps(Answer):
    items: list[Gap]
    next: str | None


class Rate(Answer):
    ts: Time
    messages_per_s: float


class CollectorStatus(Open):
    """What the collector answered, with what is wanted of it and what it costs."""

    venue: str
    part: str
    state: PartState
    wanted: bool
    protocol: str
    instruments: list[str]
    pid: int | None
    gaps_today: int
    cpu_percent: float | None
    rss_bytes: int | None
    history: list[Rate]


class PartStatus(Open):
    part: str
    state: PartState
    pid: int | None
    cpu_percent: float | None
    rss_bytes: int | None


class CollectionStatus(Answer):
    collectors: list[CollectorStatus]
    parts: list[PartStatus]
    pipeline: dict[str, Any]


class CollectionStart(Answer):
    """What is asked for. Without instruments: those of the last time, else the venue's usual ones."""

    venue: Annotated[str, Field(pattern=f"^{VENUE.pattern}$")]
    instruments: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]] | None, Field(max_length=500)
    ] = None
    protocol: Annotated[str | None, Field(max_length=32)] = None


class CollectionWanted(Answer):
    venue: str
    protocol: str
    instruments: list[str]
    wanted: bool
    changed: bool


class LogLine(Open):
    ts: Text64 | None
    level: str
    part: str
    message: str


class Logs(Answer):
    items: list[LogLine]


class Job(Answer):
    id: str
    kind: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "poisoned"]
    progress: float
    owner: str
    created: Time
    started: Time | None
    ended: Time | None
    detail: dict[str, Any]
    error: Error | None
    priority: int
    attempts: int
    attempts_max: int
    note: Annotated[str | None, Field(description="what it does now")]
    done: Annotated[int | None, Field(description="in units")]
    total: Annotated[int | None, Field(description="in units; null where it is not known")]
    unit: str | None
    rate: Annotated[float | None, Field(description="units per second")]
    eta_s: Annotated[float | None, Field(description="seconds to go")]
    cancel_asked: bool
    result: dict[str, Any] | None


class Jobs(Answer):
    items: list[Job]
    next: str | None


class JobSubmit(Answer):
    """What is asked for. `detail` is the kind's own; `key` names it to the caller while it has not ended."""

    kind: Annotated[str, Field(min_length=1, max_length=64)]
    detail: dict[str, Any] = Field(default_factory=dict)
    priority: Annotated[int, Field(ge=-10, le=10, description="higher goes first")] = 0
    key: Annotated[str | None, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")] = None


class JobLogLine(Answer):
    ts: Time
    level: str
    text: str


class JobLogs(Answer):
    items: list[JobLogLine]
    next: int = Field(description="pass as `after` to get what comes later")


Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Version = Annotated[int, Field(ge=1, le=999_999_999, description="of the database; else its newest")]
Symbols = Annotated[list[Word], Field(min_length=1, max_length=1000)]


class FetchAsk(Answer):
    """A span of history of some symbols, each spelled as the provider does. `interval` is of bars; what is
    fetched is the longest stored one that makes it. Without `end` it ends where what can be had ends."""

    provider: Word
    symbols: Symbols
    kind: Literal["bars", "trades"] = "bars"
    interval: Annotated[str, Field(min_length=1, max_length=16)] = "1m"
    start: Annotated[str, Field(min_length=1, max_length=64)]
    end: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    workers: Annotated[int, Field(ge=1, le=50)] = 8
    options: Annotated[dict[Word, Word], Field(max_length=20)] = Field(default_factory=dict)
    again: Annotated[bool, Field(description="fetch what is held, too")] = False

    def detail(self) -> dict[str, Any]:
        """As the job takes it."""
        left_out = {"priority", "key"} | ({"interval"} if self.kind == "trades" else set())
        return self.model_dump(exclude=left_out, exclude_none=True)


class Fetch(FetchAsk):
    """What to fetch. `key` names the job to the caller while it has not ended."""

    priority: Annotated[int, Field(ge=-10, le=10, description="higher goes first")] = 0
    key: Annotated[str | None, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")] = None


class StocksFetch(Fetch):
    """Bars of stocks to fetch."""

    kind: Literal["bars"] = "bars"


class FetchJob(Answer):
    """The job; `new` is false where one of the same key had not ended."""

    job_id: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "poisoned"]
    new: bool


class FetchSeries(Answer):
    symbol: str
    instrument: str
    chunks: int
    held: Annotated[int, Field(description="chunks that are here already")]
    rows: int
    requests: int
    bytes: int


class FetchEstimate(Answer):
    """The order as it was understood, and what is not here yet of it: at most so many rows, by the provider's
    limits in so many seconds."""

    provider: str
    symbols: list[str]
    kind: Literal["bars", "trades"]
    interval: str | None = None
    start: str
    end: str
    workers: int
    options: dict[str, str]
    again: bool
    chunks: int
    held: int
    rows: int
    requests: int
    bytes: int
    seconds: float
    items: list[FetchSeries]


class ProviderSecret(Answer):
    name: str
    variables: Annotated[list[str], Field(description="of the environment, the first that is set counts")]
    required: bool
    set: bool


class ProviderLimits(Answer):
    per_s: float
    burst: int
    workers: int


class Provider(Answer):
    name: str
    summary: str
    site: str
    kinds: list[Literal["bars", "trades"]]
    intervals: list[str]
    limits: ProviderLimits
    delay_s: float
    credentials: list[ProviderSecret]
    ready: Annotated[bool, Field(description="every secret that it needs is set")]


class Providers(Answer):
    items: list[Provider]


class ProviderSymbol(Answer):
    symbol: str
    instrument: str
    name: str
    kind: str


class ProviderSymbols(Answer):
    items: list[ProviderSymbol]


class SessionKey(Answer):
    """The one-use key of the printed address."""

    key: Annotated[str, Field(min_length=16, max_length=128)]


class Session(Answer):
    subject: str
    scopes: list[str]
    expires: Time | None


class Ticket(Answer):
    ticket: str
    expires: Time


class CommandEntry(Answer):
    id: str
    method: str
    path: str
    scope: str
    effect: Literal["read", "write", "trade"]
    summary: str


class Commands(Answer):
    items: list[CommandEntry]


class Event(Answer):
    id: int
    ts: Time
    actor: str
    kind: str
    subject: str
    cause: str | None
    data: dict[str, Any]


class Events(Answer):
    items: list[Event]
    next: int = Field(description="pass as `after` to get what comes later")
