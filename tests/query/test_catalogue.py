"""The catalogue: joined, searched, counted, in order."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.errors import ConflictError, UsageError
from tidemill.metadata.catalogue import Entry
from tidemill.model.interval import DAY
from tidemill.query import catalogue


def row(name: str, kind: str = "trades", rows: int = 10, **rest: Any) -> dict[str, Any]:
    return {
        "id": f"{name}:{kind}", "instrument": name, "venue": name.rpartition(".")[2], "kind": kind,
        "rows": rows, "start": 0, "end": 2 * DAY - 1, "bytes": rows, "complete": True, "gaps": 0,
        "completeness": 1.0, "status": "stored", "sources": ["live"], **rest,
    }  # fmt: skip


ROWS = catalogue.joined(
    [
        row("BTC-USD.kraken", rows=30),
        row("BTC-USD.kraken", "bars", 20),
        row("ETH-USD.sim-kraken", rows=10),
        row("AAPL.polygon", "bars", 40, sources=["polygon"]),
    ],
    {"AAPL.polygon:bars": Entry("AAPL.polygon:bars", "Apple by the minute", "equity", "vendor", 30, 7)},
    ["kraken"],
    {"BTC-USD.kraken:bars"},
)


def test_what_people_said_stands_beside_what_is_stored() -> None:
    apple, bars = ROWS[3], ROWS[1]
    assert (apple["description"], apple["category"], apple["licence"]) == (
        "Apple by the minute", "equity", "vendor",
    )  # fmt: skip
    assert (apple["retention_days"], apple["accessed"], apple["lineage"]) == (30, 7, ["polygon"])
    assert (apple["status"], apple["rows_per_day"], apple["resolution"]) == ("stored", 20.0, "1s")
    assert (bars["status"], bars["category"], bars["subscribed"]) == ("collecting", "crypto", True)
    assert ROWS[2]["category"] == "simulated"
    assert ROWS[0]["resolution"] == "event"


def test_every_word_must_be_there() -> None:
    def ids(text: str, **only: str) -> list[str]:
        return [one["id"] for one in catalogue.search(ROWS, text, only)]

    assert ids("APPLE minute") == ["AAPL.polygon:bars"]
    assert ids("btc bars") == ["BTC-USD.kraken:bars"]
    assert ids("", venue="kraken", kind="trades") == ["BTC-USD.kraken:trades"]
    assert ids("nothing such") == []


def test_facets_count_what_each_choice_would_give() -> None:
    counts = catalogue.facets(ROWS, None, {"venue": "kraken", "kind": None})
    assert counts["venue"] == {"kraken": 2, "polygon": 1, "sim-kraken": 1}
    assert counts["kind"] == {"bars": 1, "trades": 1}
    assert counts["status"] == {"collecting": 2}
    assert catalogue.facets(ROWS, "apple", {})["category"] == {"equity": 1}


def test_order() -> None:
    def ids(sort: str) -> list[int]:
        return [one["rows"] for one in catalogue.ordered(ROWS, sort)]

    assert ids("rows") == [10, 20, 30, 40]
    assert ids("-rows") == [40, 30, 20, 10]
    assert catalogue.ordered(ROWS, "accessed")[0]["id"] == "AAPL.polygon:bars"
    assert catalogue.ordered(ROWS, "-id")[0]["id"] == "ETH-USD.sim-kraken:trades"
    with pytest.raises(UsageError, match="not sorted by"):
        catalogue.ordered(ROWS, "price")


def test_what_is_collected_is_not_deleted_unasked() -> None:
    live, apple = ROWS[0], ROWS[3]
    catalogue.deletable(apple, ["polygon"], confirm=False, lake_alone=False)
    for collecting, confirm, alone, error, code in (
        (["kraken"], True, True, ConflictError, "dataset_collecting"),
        ([], True, False, ConflictError, "dataset_elsewhere"),
        ([], False, True, UsageError, "confirm_missing"),
    ):
        with pytest.raises(error) as told:
            catalogue.deletable(live, collecting, confirm=confirm, lake_alone=alone)
        assert told.value.code == code
    catalogue.deletable(live, [], confirm=True, lake_alone=True)
