"""The catalogue of datasets: what is stored, and what people say of it; searched, counted, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tidemill.address import named
from tidemill.errors import ConflictError, UsageError
from tidemill.home import Home
from tidemill.metadata import Metadata, catalogue, collector
from tidemill.metadata.catalogue import Entry
from tidemill.model.collector import EXCHANGES, SIM_PREFIX
from tidemill.model.interval import DAY, STORED

FACETS = ("venue", "kind", "category", "status")
SORTS = ("id", "rows", "bytes", "start", "end", "completeness", "accessed", "venue", "kind", "category")
_TEXTS = ("id", "instrument", "venue", "kind", "category", "description", "licence")


def joined(
    stored: Iterable[Mapping[str, Any]],
    entries: Mapping[str, Entry],
    collecting: Collection[str],
    subscribed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Each stored dataset (`LiveView.datasets`) with what people said of it; `collecting` are the venues that
    are wanted."""
    return [_joined(row, entries.get(str(row["id"])), collecting, subscribed) for row in stored]


def of_home(home: Home, stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As `joined`, with what the home's database says; a home without one says nothing."""
    if named("TIDEMILL_DATABASE_URL") is None and not home.database.exists():
        return joined(stored, {}, ())
    metadata = Metadata.of(home)
    try:
        with metadata.read() as connection:
            wanted = {one.name for one in collector.every(connection, wanted=True)}
            return joined(stored, catalogue.every(connection), wanted)
    finally:
        metadata.close()


def _joined(
    row: Mapping[str, Any], entry: Entry | None, collecting: Collection[str], subscribed: Collection[str]
) -> dict[str, Any]:
    said = entry or Entry(str(row["id"]))
    days = max(1, -(-(row["end"] - row["start"] + 1) // DAY))
    sources = list(row.get("sources", ()))
    live = "live" in sources and row["venue"] in collecting
    return {
        **row,
        "description": said.description or _described(row),
        "category": said.category or category(str(row["venue"])),
        "licence": said.licence,
        "resolution": STORED[0] if row["kind"] == "bars" else "event",
        "rows_per_day": round(row["rows"] / days, 1),
        "status": "collecting" if live else "stored",
        "lineage": sources,
        "retention_days": said.retention_days,
        "accessed": said.accessed,
        "subscribed": row["id"] in subscribed,
    }


def deletable(
    row: Mapping[str, Any], collecting: Collection[str], *, confirm: bool, lake_alone: bool
) -> None:
    """Raises `UsageError` `confirm_missing` where live rows would go unasked, `ConflictError` where they are
    being collected or lie in a database."""
    if "live" not in row.get("sources", ()):
        return  # it can be fetched or imported again
    name = str(row["id"])
    if row["venue"] in collecting:
        raise ConflictError(
            "dataset_collecting",
            f"{name} is being collected",
            hint=f"stop {row['venue']} first: DELETE /api/v1/collection/stop?venue={row['venue']}",
        )
    if not lake_alone:
        raise ConflictError(
            "dataset_elsewhere",
            f"the newest rows of {name} lie in a database, and only the lake's can be deleted",
            hint="`tidemill data drain` moves them into the lake",
        )
    if not confirm:
        raise UsageError(
            "confirm_missing",
            f"{name} was collected live: no venue gives it again",
            hint="say confirm=true where it is meant",
        )


def _described(row: Mapping[str, Any]) -> str:
    kinds = {
        "bars": "Bars",
        "trades": "Trades",
        "quotes": "Best bids and offers",
        "levels": "Order book levels",
    }
    return f"{kinds.get(str(row['kind']), str(row['kind']))} of {row['instrument']}"


def category(venue: str) -> str:
    """What a dataset of this venue is where nobody has said it."""
    if venue.startswith(SIM_PREFIX):
        return "simulated"
    return "crypto" if venue in EXCHANGES else "other"


def search(
    rows: Iterable[Mapping[str, Any]], text: str | None = None, only: Mapping[str, str | None] | None = None
) -> list[dict[str, Any]]:
    """Those that have every word of `text` in their texts, and each facet that is named in `only`."""
    words = (text or "").casefold().split()
    found = []
    for row in rows:
        said = " ".join(str(row.get(name) or "") for name in _TEXTS).casefold()
        if all(word in said for word in words) and all(
            value is None or row[name] == value for name, value in (only or {}).items()
        ):
            found.append(dict(row))
    return found


def facets(
    rows: Sequence[Mapping[str, Any]], text: str | None, only: Mapping[str, str | None]
) -> dict[str, dict[str, int]]:
    """How many datasets each value of a facet would give, with the text and the other facets as they are."""
    counts = {}
    for name in FACETS:
        others = {key: value for key, value in only.items() if key != name}
        counts[name] = dict(sorted(Counter(str(row[name]) for row in search(rows, text, others)).items()))
    return counts


def ordered(rows: Iterable[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """By a column of `SORTS`, the greatest first where it is written `-rows`; unknown values come last, equal
    ones by id."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    if name not in SORTS:
        raise UsageError(
            "sort_unknown", f"datasets are not sorted by {name[:40]!r}", hint=f"have: {', '.join(SORTS)}"
        )
    by_id = sorted(rows, key=lambda row: str(row["id"]), reverse=down and name == "id")
    known = [row for row in by_id if row.get(name) is not None]
    unknown = [row for row in by_id if row.get(name) is None]
    return sorted(known, key=lambda row: row[name], reverse=down) + unknown
