"""`td.bars(adjusted=…)`: the stored bars, in the shares of today or of then; the stored ones stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidemill
from tidemill.errors import UsageError
from tidemill.metadata import Metadata, fact
from tidemill.model import fact as model
from tidemill.model import time as times
from tidemill.stores.imported import keep
from tidemill.stores.lake import Lake


@pytest.fixture
def td(tmp_path: Path) -> Any:
    days = np.array([times.parse(f"2024-06-{day:02}") for day in (3, 4, 5, 6)], np.int64)
    prices = np.array([4000, 4040, 1010, 1020], np.int64)
    columns = {
        "start": days, "open": prices, "high": prices, "low": prices, "close": prices, "price_scale": 1,
        "volume": np.array([10, 20, 30, 40]), "size_scale": 0, "trades": np.zeros(4, np.int64),
    }  # fmt: skip
    lake = Lake.of(tmp_path)
    keep(lake, "X.lean", "1d", columns, source="lean", chunk="1", ts_recv=1)
    lake.close()
    metadata = Metadata.open(tmp_path / "tidemill.db")
    told = [
        model.fact(instrument="X.lean", kind="split", date="2024-06-05", ratio="4", source="lean"),
        model.fact(instrument="X.lean", kind="dividend", date="2024-06-06", amount="1.01", source="lean"),
    ]
    with metadata.write() as connection:
        fact.add(connection, told, actor="owner")
    metadata.close()
    with tidemill.connect(tmp_path) as client:
        yield client


def test_prices_in_the_shares_of_today(td: Any) -> None:
    closes = {
        name: td.bars("X.lean", "1d", adjusted=name)["close"].to_list() for name in ("raw", "split", "all")
    }
    assert closes["raw"] == [400.0, 404.0, 101.0, 102.0]
    assert closes["split"] == [100.0, 101.0, 101.0, 102.0]
    assert closes["all"] == pytest.approx([99.0, 99.99, 99.99, 102.0])
    assert td.bars("X.lean", "1d", adjusted="split")["volume"].to_list() == [40.0, 80.0, 30.0, 40.0]
    exact = td.bars("X.lean", "1d", adjusted="all", exact=True)
    assert exact["close"].to_list() == ["99.0000000", "99.9900000", "99.9900000", "102.0"]


def test_prices_as_they_were_known(td: Any) -> None:
    assert td.bars("X.lean", "1d", adjusted="all", known="2024-06-04")["close"].to_list()[0] == 400.0
    assert td.bars("X.lean", "1d", adjusted="all", known="2024-06-05")["close"].to_list()[0] == 100.0


def test_weeks_are_refused(td: Any) -> None:
    with pytest.raises(UsageError, match="1w"):
        td.bars("X.lean", "1w", adjusted="split")
    with pytest.raises(UsageError, match="cannot be"):
        td.bars("X.lean", "1d", adjusted="yes")
