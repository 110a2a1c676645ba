"""The tables. Times are int64 nanoseconds UTC; JSON columns hold objects or lists, never text."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)

# A number that SQLite gives out itself must be its INTEGER, which has 64 bits there.
Number = BigInteger().with_variant(Integer(), "sqlite")

tables = MetaData(
    naming_convention={
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# What happened, in order. Ids only grow and are never used again: a client that has seen 7 asks for 8.
events = Table(
    "events",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("ts", BigInteger, nullable=False),
    Column("actor", String, nullable=False),  # who: "owner", "cli", "service"
    Column("kind", String, nullable=False),  # what: "collector_started", "session_opened", …
    Column("subject", String, nullable=False),  # to what: a venue, a job, a setting
    Column("cause", String),  # why: the request's id, or the fault
    Column("data", JSON, nullable=False),
    sqlite_autoincrement=True,
)

# The wanted state of every collector ever asked for. The supervisor makes the processes follow it.
collectors = Table(
    "collectors",
    tables,
    Column("name", String, primary_key=True),  # the venue's name here: "kraken", "sim-kraken"
    Column("protocol", String, nullable=False),
    Column("url", String),
    Column("rest_url", String),
    Column("instruments", JSON, nullable=False),  # names without the venue; empty = the venue's default
    Column("wanted", Boolean, nullable=False),
    Column("owner", String, nullable=False),
    Column("changed", BigInteger, nullable=False),
)

# One-use keys of `tidemill up` and `tidemill open`: only their SHA-256 is kept.
keys = Table(
    "keys",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("hash", String, nullable=False, unique=True),
    Column("purpose", String, nullable=False),  # what it is exchanged for: "session"
    Column("subject", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
)

# Browser sessions; the cookie is signed, this table is what a logout changes.
sessions = Table(
    "sessions",
    tables,
    Column("id", String, primary_key=True),
    Column("subject", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)

# The gap ledger: every known hole in what a venue sent or a journal kept.
gaps = Table(
    "gaps",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("venue", String, nullable=False),
    Column("instrument", String, nullable=False),  # "" = the whole venue (NULLs would not be unique)
    Column("channel", String, nullable=False),  # all, trades, quotes, book
    Column("cause", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # position of the opening record
    Column("sequence", BigInteger, nullable=False),
    Column("opened_at", BigInteger, nullable=False),  # ts_recv of the opening and of the end
    Column("ended_at", BigInteger),
    Column("ts_event_open", BigInteger, nullable=False),  # the venue's time of the last good record …
    Column("ts_event_end", BigInteger),  # … and of the first good one after
    Column("missing", BigInteger, nullable=False),  # records, -1 unknown
    Column("state", String, nullable=False),  # of the missing data: open, filled, unfillable
    Column("venue_sequence_open", BigInteger),  # the venue's own id of the last good record …
    Column("venue_sequence_end", BigInteger),  # … and of the first good one after
    UniqueConstraint("venue", "epoch", "sequence", "instrument", "channel"),
    Index("ix_gaps_venue_opened", "venue", "opened_at"),
    Index("ix_gaps_opened", "opened_at", "id"),
    sqlite_autoincrement=True,
)

# Work longer than a request: a queue and its history. Who works on a job holds a lease and a token.
jobs = Table(
    "jobs",
    tables,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),  # queued, running, done, failed, cancelled, poisoned
    Column("progress", Float, nullable=False),  # 0 to 1
    Column("owner", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger),  # of the newest attempt
    Column("ended", BigInteger),
    Column("detail", JSON, nullable=False),  # what was asked
    Column("error", JSON),  # the one error shape
    Column("priority", Integer, nullable=False, server_default="0"),  # higher goes first
    Column("attempts", Integer, nullable=False, server_default="0"),  # counted before each start
    Column("attempts_max", Integer, nullable=False, server_default="3"),
    Column("token", BigInteger, nullable=False, server_default="0"),  # one more with every claim
    Column("holder", String),  # the worker that has it: host:pid:slot
    Column("lease_until", BigInteger),
    Column("run_after", BigInteger, nullable=False, server_default="0"),
    Column("cancel_asked", Boolean, nullable=False, server_default=false()),
    Column("done", BigInteger),  # in `unit`s, of `total`
    Column("total", BigInteger),
    Column("unit", String),
    Column("rate", Float),  # units per second
    Column("eta_s", Float),
    Column("note", String),  # what it does now
    Column("result", JSON),
    Column("checkpoint", JSON),  # from where the next attempt goes on
    Column("key", String),  # the asker's own name for it, unique while it has not ended
    Index("ix_jobs_created", "created", "id"),
    Index("ix_jobs_queue", "state", "owner", "priority", "created"),
    Index("ix_jobs_owner_started", "owner", "started"),
    Index(
        "uq_jobs_owner_key",
        "owner",
        "key",
        unique=True,
        sqlite_where=text("ended IS NULL"),
        postgresql_where=text("ended IS NULL"),
    ),
)

# What jobs said while they ran.
job_logs = Table(
    "job_logs",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("job_id", String, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("level", String, nullable=False),
    Column("text", String, nullable=False),
    Index("ix_job_logs_job", "job_id", "id"),
    sqlite_autoincrement=True,
)

settings = Table(
    "settings",
    tables,
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
)

# What the columns of files mean, by name: see `importer.recipe`.
recipes = Table(
    "recipes",
    tables,
    Column("name", String, primary_key=True),
    Column("recipe", JSON, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
)

# Files that were imported. The id is made of the file's hash and the recipe: the same again is one row.
imports = Table(
    "imports",
    tables,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),  # the file's
    Column("source", String, nullable=False),  # what its rows say they came from
    Column("hash", String, nullable=False),  # SHA-256 of the file
    Column("recipe", JSON, nullable=False),
    Column("created", BigInteger, nullable=False),  # `ts_recv` of its rows
    Column("ended", BigInteger),  # when all of it was kept
    Column("result", JSON),
    Index("ix_imports_created", "created", "id"),
)

# Splits, dividends, changes of symbols, delistings: what is known of an instrument, and since when.
facts = Table(
    "facts",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("instrument", String, nullable=False),
    Column("kind", String, nullable=False),  # split, dividend, symbol, delisting
    Column("date", String, nullable=False),  # YYYY-MM-DD: the first trading date that it changes
    Column("source", String, nullable=False),
    Column("ts_known", BigInteger, nullable=False),
    Column("value", JSON, nullable=False),  # of the kind, decimals as text
    Column("void", Boolean, nullable=False),  # takes back what this source said before
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("instrument", "kind", "date", "source", "ts_known"),
    Index("ix_facts_instrument", "instrument", "date"),
    sqlite_autoincrement=True,
)

# What people say of a dataset, and what is known of its use. What it holds, its store says.
datasets = Table(
    "datasets",
    tables,
    Column("id", String, primary_key=True),  # "BTC-USD.kraken:trades"
    Column("description", String),
    Column("category", String),
    Column("licence", String),
    Column("retention_days", Integer),  # NULL = for ever
    Column("accessed", BigInteger),  # when rows of it were asked for last
    Column("changed", BigInteger),
)

# Who is told, by `stock_update`, when a dataset has grown.
subscriptions = Table(
    "subscriptions",
    tables,
    Column("dataset", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("created", BigInteger, nullable=False),
)

# Leases on cached answers: one that nobody has renewed for half an hour is over.
leases = Table(
    "leases",
    tables,
    Column("id", String, primary_key=True),
    Column("subject", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)

# Rows that nobody has traded: what a model expects. Never among bars; shown beside them where asked for.
projections = Table(
    "projections",
    tables,
    Column("instrument", String, primary_key=True),
    Column("interval", String, primary_key=True),
    Column("source", String, primary_key=True),  # who projects
    Column("ts", BigInteger, primary_key=True, autoincrement=False),  # start of the interval
    Column("row", JSON, nullable=False),  # open, high, low, close, volume as decimal text
    Column("created", BigInteger, nullable=False),
)

# Studies: what is to be tried, and what came of it.
studies = Table(
    "studies",
    tables,
    Column("id", String, primary_key=True),
    Column("family", String, nullable=False),  # the strategy's name
    Column("dataset", String, nullable=False),  # instruments and interval
    Column("state", String, nullable=False),  # queued, running, paused, done, failed, cancelled
    Column("owner", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("plan", JSON, nullable=False),
    Column("data", String),  # digest of the history of its first trial
    Column("source", String),  # digest of the strategy's source then
    Column("job", String),  # the newest that works on it
    Column("error", JSON),
    Column("result", JSON),
    Index("ix_studies_created", "created", "id"),
)

# The trials of a study: each is kept before the next is asked for, so that none is made twice.
study_trials = Table(
    "study_trials",
    tables,
    Column("study", String, primary_key=True),
    Column("part", String, primary_key=True),  # all, in.1, out.1, …
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("params", JSON, nullable=False),
    Column("vals", JSON, nullable=False),  # of the objectives
    Column("metrics", JSON, nullable=False),
    Column("returns", LargeBinary, nullable=False),  # float32 of each day, little-endian
    Column("error", String),
    Column("created", BigInteger, nullable=False),
)

# The ledger: every trial ever made, of studies and of single runs. Rows are only added, each once.
trials = Table(
    "trials",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("family", String, nullable=False),
    Column("dataset", String, nullable=False),
    Column("fingerprint", String, nullable=False),  # of all that determines it
    Column("sharpe", Float),  # of one day; NULL where it has none
    Column("periods", Integer, nullable=False),
    Column("source", String, nullable=False),  # study:<id>, or run:<id>
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("family", "dataset", "fingerprint"),
    sqlite_autoincrement=True,
)
# Strategies that came over HTTP, one row each with what its newest version says. A deleted one is hidden.
strategies = Table(
    "strategies",
    tables,
    Column("name", String, primary_key=True),
    Column("description", String, nullable=False),
    Column("author", String, nullable=False),
    Column("version", Integer, nullable=False),  # the newest
    Column("metrics", JSON),  # how it did in its newest run that was kept
    Column("created", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("deleted", BigInteger),
)

# What they were at any time. A version never changes, and none is ever taken away.
strategy_versions = Table(
    "strategy_versions",
    tables,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),  # 1, 2, …
    Column("description", String, nullable=False),
    Column("author", String, nullable=False),
    Column("code", String, nullable=False),
    Column("sha256", String, nullable=False),  # of the code in UTF-8
    Column("parameters", JSON, nullable=False),  # values that are other than the code's defaults, by name
    Column("created", BigInteger, nullable=False),
)

# What people want to be told of.
alerts = Table(
    "alerts",
    tables,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("terms", JSON, nullable=False),  # its kind, and what that kind takes
    Column("channels", JSON, nullable=False),
    Column("cooldown_s", Integer, nullable=False),
    Column("once", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("expires", BigInteger),
    Column("owner", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("state", JSON, nullable=False),  # kept between two looks
    Column("fired", BigInteger),
    Column("count", Integer, nullable=False),
    Column("trouble", String),
)

# What happened. Those that `waiting` marks are not told everywhere yet.
firings = Table(
    "firings",
    tables,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("alert", String, nullable=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("noticed", BigInteger, nullable=False),
    Column("value", String, nullable=False),
    Column("message", String, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("channels", JSON, nullable=False),
    Column("deliveries", JSON, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Index("ix_firings_alert", "alert", "id"),
    Index("ix_firings_waiting", "waiting", "id"),
    sqlite_autoincrement=True,
)
