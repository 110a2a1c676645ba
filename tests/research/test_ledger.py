"""The ledger: every trial once, for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tidemill.metadata import Metadata
from tidemill.research import ledger
from tidemill.research.ledger import Entry


@pytest.fixture(params=["sqlite", "postgres"])
def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Metadata]:
    place = tmp_path / "db" if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    opened = Metadata.open(place)
    yield opened
    opened.close()


def test_trials_are_counted_once_with_the_variance_of_their_ratios(metadata: Metadata) -> None:
    ratios = np.random.default_rng(0).standard_normal(300) * 0.01 + 5.0
    entries = [Entry(f"f{n}", float(ratio), 100) for n, ratio in enumerate(ratios)]
    with metadata.write() as connection:
        ledger.record(connection, "sma_cross", "A@1h", entries[:200], source="study:a")
        ledger.record(connection, "sma_cross", "A@1h", entries[100:], source="study:b")
        ledger.record(connection, "sma_cross", "A@1h", [Entry("none", None, 0)], source="run:a")
        ledger.record(connection, "sma_cross", "B@1h", entries[:5], source="run:b")
        ledger.record(connection, "other", "A@1h", entries[:1], source="run:c")
        ledger.record(connection, "other", "A@1h", [], source="run:c")
    with metadata.read() as connection:
        found = ledger.count(connection, "sma_cross", "A@1h")
        assert found.trials == 301
        assert found.variance == pytest.approx(float(ratios.var(ddof=1)), rel=1e-9)
        assert ledger.count(connection, "sma_cross", "B@1h").trials == 5
        assert ledger.count(connection, "other", "A@1h") == ledger.Count(1, 0.0)
        assert ledger.count(connection, "nobody", "A@1h") == ledger.Count(0, 0.0)


def test_a_dataset_has_one_name_whatever_the_order() -> None:
    assert ledger.dataset(["B.x", "A.x"], "1h") == ledger.dataset(["A.x", "B.x"], "1h") == "A.x,B.x@1h"
