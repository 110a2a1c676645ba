"""The frames that a `Client` and a `Remote` answer with: columns and types of each, one shape for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.errors import ResourceError

if TYPE_CHECKING:
    import polars as pl

# time: UTC with ns; number: float64, or decimal text when exact; id: the venue's, null where it has none.
_TICK = {"ts_event": "time", "ts_recv": "time", "price": "number", "size": "number"}
_POSITION = {"epoch": "int", "sequence": "int"}
SHAPES: Mapping[str, Mapping[str, str]] = {
    "bars": {
        "ts": "time", **dict.fromkeys(("open", "high", "low", "close", "volume"), "number"),
        "trades": "int", "revision": "int",
    },
    "trades": {**_TICK, "aggressor": "text", "id": "int", **_POSITION},
    "quotes": {**_TICK, "side": "text", **_POSITION},
    "instruments": {
        **dict.fromkeys(("instrument", "venue", "symbol", "base", "quote", "tick", "lot"), "text"),
        "price_scale": "int", "size_scale": "int", "status": "text",
        "last_price": "number", "last_ts_event": "time",
    },
    "gaps": {
        **dict.fromkeys(("venue", "instrument", "channel", "cause"), "text"), **_POSITION,
        **dict.fromkeys(("opened_at", "ended_at", "ts_event_open", "ts_event_end"), "time"),
        **dict.fromkeys(("missing", "venue_sequence_open", "venue_sequence_end"), "int"),
        "state": "text",
    },
    "datasets": {
        **dict.fromkeys(("id", "instrument", "venue", "kind"), "text"),
        "rows": "int", "start": "time", "end": "time", "bytes": "int", "complete": "bool", "status": "text",
    },
}  # fmt: skip


def of(
    shape: str, found: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, exact: bool = False
) -> pl.DataFrame:
    """Columns, or lines, as a frame of a shape; what the shape does not name is left out. Times are ns; they
    and numbers may be text, as JSON has them. `exact` numbers are text already."""
    import polars as pl

    types = {
        "time": pl.Datetime("ns", "UTC"), "number": pl.String if exact else pl.Float64,
        "int": pl.Int64, "text": pl.String, "bool": pl.Boolean,
    }  # fmt: skip
    columns = SHAPES[shape]
    if not isinstance(found, Mapping):
        lines = list(found)
        found = {name: [line.get(name) for line in lines] for name in columns}
    made = []
    for name, what in columns.items():
        series = pl.Series(name, found[name])
        made.append((series.cast(pl.Int64) if what == "time" else series).cast(types[what]))
    return pl.DataFrame(made)


def indicator(ts: Any, columns: Mapping[str, Any]) -> pl.DataFrame:
    """Values of an indicator by output, float64 with null for NaN, beside the starts of their bars (ns)."""
    import polars as pl

    made = [pl.Series("ts", ts).cast(pl.Int64).cast(pl.Datetime("ns", "UTC"))]
    return pl.DataFrame(
        made + [pl.Series(name, values, pl.Float64, nan_to_null=True) for name, values in columns.items()]
    )


def answered(body: bytes, facts: Mapping[str, Any], *, whole: bool, exact: bool) -> pl.DataFrame:
    """The answer to a query, an Arrow stream, as a frame: decimals are float64 unless `exact`. Raises
    `ResourceError` `query_too_large` where the `whole` answer was wanted and there is more of it."""
    import polars as pl
    import pyarrow as pa

    if whole and facts["truncated"]:
        raise ResourceError(
            "query_too_large",
            f"the answer has more than {facts['rows']:,} rows",
            hint="aggregate, or name a limit; `tidemill data query … --as-job` writes all of it to a file",
        )
    with pa.ipc.open_stream(body) as reader:
        found = pl.from_arrow(reader.read_all())
    assert isinstance(found, pl.DataFrame)  # noqa: S101 - a table was read
    return found if exact else found.with_columns(pl.col(pl.Decimal).cast(pl.Float64))
